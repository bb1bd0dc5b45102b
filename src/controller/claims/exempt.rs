//! Claims that the webhook configuration's selectors exempt: they are left alone until selectors or labels change.

use futures::{Stream, StreamExt, stream};
use kube::runtime::reflector::ObjectRef;

use super::triggers::waiting_claims;
use crate::cluster::cache::CachedClaim;
use crate::controller::context::Context;
use crate::model::claim::Claim;

/// Waits until it is known what is exempt.
pub async fn wait_until_known(ctx: &Context) {
    // An error means that the process is ending.
    let _ = ctx.selectors.clone().wait_for(Option::is_some).await;
}

/// All claims that wait, each time that other ones are exempt.
pub fn after_change(ctx: &Context) -> impl Stream<Item = ObjectRef<CachedClaim>> + Send + use<> {
    let claims = ctx.cluster.claims.store().clone();
    let changes = stream::unfold(ctx.selectors.clone(), async |mut selectors| {
        selectors.changed().await.ok().map(|()| ((), selectors))
    });
    changes.flat_map(move |()| stream::iter(waiting_claims(&claims, |_| true)))
}

/// Whether the API server would not have asked about a claim.
pub async fn is_exempt(ctx: &Context, claim: &Claim) -> kube::Result<bool> {
    let namespace = ctx.cluster.namespace(&claim.namespace).await?;
    let selectors = ctx.selectors.borrow();
    Ok(selectors
        .as_ref()
        .is_some_and(|selectors| selectors.exempts(&namespace.labels, &claim.labels).is_some()))
}

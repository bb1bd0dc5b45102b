//! Finds claims that the selectors of the webhook configuration exempt. Such a claim is not provisioned until the
//! selectors or the labels change.

use futures::{Stream, StreamExt, stream};
use kube::runtime::reflector::ObjectRef;

use super::triggers::waiting_claims;
use crate::cluster::cache::CachedClaim;
use crate::controller::context::Context;
use crate::model::claim::Claim;

/// Waits until the webhook configuration has been read.
pub async fn wait_until_known(ctx: &Context) {
    // An error means that the process is ending.
    let _ = ctx.selectors.clone().wait_for(Option::is_some).await;
}

/// Returns a stream of all waiting claims, repeated at each change of the selectors.
pub fn after_change(ctx: &Context) -> impl Stream<Item = ObjectRef<CachedClaim>> + Send + use<> {
    let claims = ctx.cluster.claims.store().clone();
    let changes = stream::unfold(ctx.selectors.clone(), async |mut selectors| {
        selectors.changed().await.ok().map(|()| ((), selectors))
    });
    changes.flat_map(move |()| stream::iter(waiting_claims(&claims, |_| true)))
}

/// Returns whether the selectors exempt this claim, so that the API server does not send it to the webhook.
pub async fn is_exempt(ctx: &Context, claim: &Claim) -> kube::Result<bool> {
    let namespace = ctx.cluster.namespace(&claim.namespace).await?;
    let selectors = ctx.selectors.borrow();
    Ok(selectors
        .as_ref()
        .is_some_and(|selectors| selectors.exempts(&namespace.labels, &claim.labels).is_some()))
}

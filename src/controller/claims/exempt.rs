//! Claims that the webhook configuration's selectors exempt: they are left alone until selectors or labels change.

use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use kube::runtime::reflector::ObjectRef;

use super::{CatchUp, is_waiting};
use crate::cluster::cache::CachedClaim;
use crate::model::claim::Claim;

/// Waits until it is known what is exempt.
pub(super) async fn known(catch_up: &CatchUp) {
    // An error means that the process is ending.
    let _ = catch_up.selectors.clone().wait_for(Option::is_some).await;
}

/// All claims that wait, each time that other ones are exempt.
pub(super) fn changed(catch_up: &CatchUp) -> impl Stream<Item = ObjectRef<CachedClaim>> + Send + use<> {
    let claims = catch_up.provisioner.cluster.claims.store().clone();
    let changes = stream::unfold(catch_up.selectors.clone(), async |mut selectors| {
        selectors.changed().await.ok().map(|()| ((), selectors))
    });
    changes.flat_map(move |()| {
        let waiting: Vec<Arc<CachedClaim>> = claims.state_filter(is_waiting);
        stream::iter(waiting.into_iter().map(|claim| ObjectRef::from(&*claim)))
    })
}

impl CatchUp {
    /// Whether the API server would not have asked about a claim.
    pub(super) async fn is_exempt(&self, claim: &Claim) -> kube::Result<bool> {
        let namespace = self.provisioner.cluster.namespace(&claim.namespace).await?;
        let selectors = self.selectors.borrow();
        Ok(selectors
            .as_ref()
            .is_some_and(|selectors| selectors.exempts(&namespace.labels, &claim.labels).is_some()))
    }
}

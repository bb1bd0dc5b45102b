//! Who has waited for a server that answers again. The gates let the oldest of them go first.
//!
//! Only what has failed: what is under way finds out by itself, and what fails after that is tried again soon.

use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::Volumes;
use super::claims::{CatchUp, is_waiting, key};
use crate::cluster::cache::{CachedClaim, CachedVolume};

/// Volumes to be bound, or to be cleaned up.
pub(super) fn volumes(volumes: &Arc<Volumes>) -> impl Stream<Item = ObjectRef<CachedVolume>> + Send + use<> {
    let volumes = Arc::clone(volumes);
    volumes.outages.back().flat_map(move |back| {
        let theirs = volumes.cluster.volumes.store().state_filter(|volume| {
            let record = volume.read().record.as_ref();
            volumes.pauses.has(&volume.name_any()) && record.is_ok_and(|record| back.may_be(record.share.server()))
        });
        stream::iter(theirs.into_iter().map(|volume| ObjectRef::from(&*volume)))
    })
}

/// Claims without a volume.
pub(super) fn claims(catch_up: &Arc<CatchUp>) -> impl Stream<Item = ObjectRef<CachedClaim>> + Send + use<> {
    let catch_up = Arc::clone(catch_up);
    catch_up.outages.back().flat_map(move |back| {
        let theirs = catch_up.provisioner.cluster.claims.store().state_filter(|claim| {
            let failed = key(&claim.namespace().unwrap_or_default(), &claim.name_any());
            is_waiting(claim)
                && catch_up.pauses.has(&failed)
                && claim
                    .class
                    .as_deref()
                    .and_then(|class| catch_up.server_of(class))
                    .is_some_and(|server| back.may_be(&server))
        });
        stream::iter(theirs.into_iter().map(|claim| ObjectRef::from(&*claim)))
    })
}

//! Who has waited for a server that answers again. The gates let the oldest of them go first.
//!
//! Only what has failed: what is under way finds out by itself, and what fails after that is tried again soon.

use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::Volumes;
use super::catch_up::{CatchUp, class_of, is_waiting, key};
use crate::volume::Volume;

/// Volumes to be bound, or to be cleaned up.
pub(super) fn volumes(volumes: &Arc<Volumes>) -> impl Stream<Item = ObjectRef<PersistentVolume>> + Send + use<> {
    let volumes = Arc::clone(volumes);
    volumes.outages.back().flat_map(move |back| {
        let theirs = volumes.cluster.volumes.store().state_filter(|volume| {
            volumes.pauses.has(&volume.name_any())
                && Volume::read(volume)
                    .record
                    .is_ok_and(|record| back.may_be(record.share.server()))
        });
        stream::iter(theirs.into_iter().map(|volume| ObjectRef::from(&*volume)))
    })
}

/// Claims without a volume.
pub(super) fn claims(catch_up: &Arc<CatchUp>) -> impl Stream<Item = ObjectRef<PersistentVolumeClaim>> + Send + use<> {
    let catch_up = Arc::clone(catch_up);
    catch_up.outages.back().flat_map(move |back| {
        let theirs = catch_up.provisioner.cluster.claims.store().state_filter(|claim| {
            let failed = key(&claim.namespace().unwrap_or_default(), &claim.name_any());
            is_waiting(claim)
                && catch_up.pauses.has(&failed)
                && class_of(claim)
                    .and_then(|class| catch_up.server_of(class))
                    .is_some_and(|server| back.may_be(&server))
        });
        stream::iter(theirs.into_iter().map(|claim| ObjectRef::from(&*claim)))
    })
}

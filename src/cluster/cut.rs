//! What is kept of the objects that are watched: as little as is used, for there may be ten thousand of them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Namespace, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimStatus,
    PersistentVolumeStatus,
};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::core::PartialObjectMeta;

use crate::names::{self, annotation};

/// What Kubernetes' own marks on volumes begin with.
const VOLUME_MARKS: &str = "pv.kubernetes.io/";

/// All but who wrote what.
pub fn class(class: &mut StorageClass) {
    class.metadata.managed_fields = None;
}

/// All but who wrote what.
pub fn namespace(namespace: &mut PartialObjectMeta<Namespace>) {
    namespace.metadata.managed_fields = None;
}

/// What [`crate::volume::Volume`] and [`crate::policy::takeover`] read.
pub fn volume(volume: &mut PersistentVolume) {
    let meta = &mut volume.metadata;
    meta.managed_fields = None;
    meta.owner_references = None;
    keep(&mut meta.annotations, |key| {
        key.starts_with(names::PREFIX) || key.starts_with(VOLUME_MARKS) || key == annotation::BETA_CLASS
    });
    keep(&mut meta.labels, |key| key == names::AREA);
    volume.status = volume.status.take().map(|status| PersistentVolumeStatus {
        phase: status.phase,
        ..PersistentVolumeStatus::default()
    });
}

/// Whether it waits for a volume, and which one it names. Its policy is read live.
pub fn claim(claim: &mut PersistentVolumeClaim) {
    let meta = &mut claim.metadata;
    meta.managed_fields = None;
    meta.owner_references = None;
    meta.labels = None;
    keep(&mut meta.annotations, |key| {
        [annotation::BETA_CLASS, annotation::SELECTED_NODE].contains(&key)
    });
    claim.spec = claim.spec.take().map(|spec| PersistentVolumeClaimSpec {
        storage_class_name: spec.storage_class_name,
        volume_name: spec.volume_name,
        ..PersistentVolumeClaimSpec::default()
    });
    claim.status = claim.status.take().map(|status| PersistentVolumeClaimStatus {
        phase: status.phase,
        ..PersistentVolumeClaimStatus::default()
    });
}

fn keep(map: &mut Option<BTreeMap<String, String>>, used: impl Fn(&str) -> bool) {
    if let Some(map) = map {
        map.retain(|key, _| used(key));
    }
}

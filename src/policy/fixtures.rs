//! Fixtures for tests of the policy: a valid claim with its class and namespace, and a volume that waits for its claim.
//! Each test shows only what it changes.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};
use uuid::Uuid;

use super::class::Defaults;
use super::decide::Facts;
use super::restore::RestoreFacts;
use crate::model::attributes::Attributes;
use crate::model::candidate::Candidate;
use crate::model::choices::{
    CsiDriver, ExistingDirectory, FreeSpace, OnStorageFailure, Provision, RestoreAttributes, SizeLimit,
};
use crate::model::claim::{Bytes, Claim};
use crate::model::directory::{Directory, Share};
use crate::model::labels::Labels;
use crate::model::namespace::Namespace;
use crate::model::on_delete::OnDelete;
use crate::model::reclaim::Reclaim;
use crate::model::retention::Retention;
use crate::model::source::Source;
use crate::model::topologies::Topologies;
use crate::model::volume::{ClaimRef, Installation, NewVolume, Origin, Phase, Record, Restored, Volume};
use crate::model::volume_source::VolumeSource;

/// The volume of the claim in [`World`].
pub const VOLUME: &str = "pvc-00000000-0000-0000-0000-000000001234";

/// This installation.
pub fn installation() -> Installation {
    Installation {
        provisioner: "bindery.dev/nfs".to_owned(),
        instance: "blue".to_owned(),
    }
}

/// The input of a decision, as JSON; by default a valid claim that is provisioned.
pub struct World {
    pub claim: Value,
    pub class: Value,
    pub namespace: Value,
    pub volume: Option<Volume>,
    /// Existing volumes. The facts contain those that Kubernetes can bind to the claim.
    pub candidates: Vec<Candidate>,
    /// The CSI drivers of the cluster.
    pub csi_drivers: Vec<CsiDriver>,
    /// All StorageClasses, as a list.
    pub classes: Value,
    pub defaults: Defaults,
    pub installation: Installation,
    pub restore: Option<RestoreFacts>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            claim: json!({
                "metadata": {"name": "data"},
                "spec": {
                    "storageClassName": "fast",
                    "accessModes": ["ReadWriteMany", "ReadOnlyMany"],
                    "resources": {"requests": {"storage": "1.5Gi"}},
                },
            }),
            class: json!({
                "metadata": {"name": "fast"},
                "provisioner": "bindery.dev/nfs",
                "parameters": {"server": "nas1", "share": "/export"},
            }),
            namespace: json!({}),
            volume: None,
            candidates: Vec::new(),
            csi_drivers: CsiDriver::ALL.to_vec(),
            classes: json!([]),
            defaults: Defaults::default(),
            installation: installation(),
            restore: None,
        }
    }
}

impl World {
    /// Adds parameters to the class.
    pub fn parameters(&mut self, more: &Value) {
        json_patch::merge(&mut self.class["parameters"], more);
    }

    /// Calls a function with the facts.
    pub fn ask<T>(&self, ask: impl FnOnce(&Facts<'_>) -> T) -> T {
        let claim: PersistentVolumeClaim = serde_json::from_value(self.claim.clone()).unwrap();
        let class: Option<StorageClass> = serde_json::from_value(self.class.clone()).unwrap();
        let claim = Claim::read(&claim, "team-a");
        let as_candidate = |candidate: &Candidate| {
            Candidate::of(
                &candidate.volume,
                Some(&candidate.match_fields),
                &claim,
                &self.installation,
            )
        };
        let candidates: Vec<_> = self.candidates.iter().filter_map(as_candidate).collect();
        let classes: Vec<StorageClass> = serde_json::from_value(self.classes.clone()).unwrap();
        let classes: Vec<_> = classes.into_iter().map(Arc::new).collect();
        ask(&Facts {
            claim: &claim,
            class: class.as_ref(),
            namespace: &Namespace {
                uid: Some("n-1".to_owned()),
                labels: [("team".to_owned(), "blue".to_owned())].into(),
                annotations: serde_json::from_value(self.namespace.clone()).unwrap(),
            },
            volume: self.volume.as_ref(),
            candidates: &candidates,
            csi_drivers: &self.csi_drivers,
            classes: &classes,
            defaults: &self.defaults,
            installation: &self.installation,
            restore: self.restore.as_ref(),
            seed: Uuid::from_u128(0x1234),
        })
    }
}

/// The record on a volume of this installation.
pub fn record(directory: &str) -> Record {
    Record {
        share: Share::parse("nas1", "/export").unwrap(),
        directory: Directory::parse(directory).unwrap(),
        origin: Origin::New,
        on_delete: OnDelete::Archive,
        retention: Retention::Forever,
        retention_text: None,
        identity: None,
        moved_to: Vec::new(),
        share_id: None,
        attributes: Attributes {
            mode: Some(0o777),
            uid: None,
            gid: None,
        },
        group_range: None,
        source: VolumeSource::Nfs,
        restored: None,
        size_limit: SizeLimit::Ignore,
    }
}

/// Archive `team-a/a`, which a claim gives this name.
pub fn restored(named: &str) -> Restored {
    let made = "2026-11-01T16:31:15Z".parse().unwrap();
    let tag = Directory::archive_tag("blue", "pvc-a");
    Restored {
        namespace: "team-a".to_owned(),
        name: "a".to_owned(),
        named: named.to_owned(),
        archive: Directory::parse("team-a-data").unwrap().archive(made, &tag, None, None),
        identity: "1.2:3".parse().unwrap(),
        version: "4".parse().unwrap(),
        attributes: RestoreAttributes::Keep,
    }
}

/// A volume of this installation for claim `team-a/data`, which does not exist yet.
pub fn volume(name: &str, directory: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        uid: "v".to_owned(),
        version: "7".to_owned(),
        created: None,
        deleting: false,
        deleted: None,
        has_finalizer: true,
        phase: Phase::Unbound,
        claim: Some(ClaimRef {
            namespace: "team-a".to_owned(),
            name: "data".to_owned(),
            uid: None,
        }),
        namespace_uid: None,
        class: "fast".to_owned(),
        access_modes: vec!["ReadWriteMany".to_owned()],
        capacity: Bytes::read(&Quantity("1Gi".to_owned())),
        reclaim: Reclaim::Delete,
        gid: None,
        ready: false,
        attempt: None,
        made_for: None,
        usage: None,
        maker: Some(installation()),
        provisioner: None,
        record: Ok(record(directory)),
    }
}

/// A volume that is to be created with this directory.
pub fn new_volume(directory: &str) -> NewVolume {
    NewVolume {
        namespace_uid: None,
        name: format!("pvc-{directory}"),
        claim: ("team-a".to_owned(), "data".to_owned()),
        claim_uid: None,
        class: "fast".to_owned(),
        access_modes: vec!["ReadWriteMany".to_owned()],
        capacity: Bytes::read(&Quantity("1Gi".to_owned())).unwrap(),
        share: Share::parse("nas1", "/export").unwrap(),
        directory: Directory::parse(directory).unwrap(),
        attributes: Attributes {
            mode: Some(0o777),
            uid: None,
            gid: None,
        },
        group_range: None,
        restored: None,
        existing: ExistingDirectory::Deny,
        chosen_by: Source::Class,
        on_delete: OnDelete::Delete,
        retention: Retention::Forever,
        on_failure: OnStorageFailure::Queue,
        provision: Provision::OnCreate,
        free_space: FreeSpace::Ignore,
        size_limit: SizeLimit::Ignore,
        labels: Labels::new(),
        reclaim: Reclaim::Delete,
        source: VolumeSource::Nfs,
        mount_options: vec![],
        topologies: Topologies::default(),
        attempt: "a".to_owned(),
    }
}

//! Builds the PersistentVolume for the API server.

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::{Installation, Origin, Record, Restored, Volume, area};
use crate::model::attributes::Attributes;
use crate::model::choices::{ExistingDirectory, FreeSpace, OnStorageFailure, Provision, SizeLimit};
use crate::model::claim::Bytes;
use crate::model::directory::{Directory, Share};
use crate::model::group::GroupRange;
use crate::model::identity::Identity;
use crate::model::labels::Labels;
use crate::model::location::Location;
use crate::model::names::{self, volume_annotation};
use crate::model::on_delete::OnDelete;
use crate::model::reclaim::Reclaim;
use crate::model::retention::Retention;
use crate::model::share_id::ShareId;
use crate::model::source::Source;
use crate::model::topologies::Topologies;
use crate::model::volume_source::{NewSource, VolumeSource};

/// The keys and values of the annotations that contain the group. The kubelet adds the second one to the groups of a pod with
/// the volume. That is never the root group: files of the container's image belong to it.
pub fn group_annotations(gid: Option<u32>) -> [(&'static str, Option<String>); 2] {
    let text = |gid: Option<u32>| gid.map(|gid| gid.to_string());
    [
        (volume_annotation::GID, text(gid)),
        (volume_annotation::POD_GID, text(gid.filter(|&gid| gid != 0))),
    ]
}

/// A volume that Bindery will create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVolume {
    /// `pvc-<uuid>`.
    pub name: String,
    /// The claim's namespace and name.
    pub claim: (String, String),
    /// The uid of the claim's namespace, if it is known.
    pub namespace_uid: Option<String>,
    /// The claim's uid; `None` in an admission review, where it is not known yet.
    pub claim_uid: Option<String>,
    /// The claim's class.
    pub class: String,
    /// The claim's access modes.
    pub access_modes: Vec<String>,
    /// The claim's request.
    pub capacity: Bytes,
    /// The share of the directory.
    pub share: Share,
    /// The directory.
    pub directory: Directory,
    /// Its mode and owner.
    pub attributes: Attributes,
    /// The range from which a group is chosen before the volume is created; `None` if the group does not depend on other
    /// volumes.
    pub group_range: Option<GroupRange>,
    /// The archive whose directory it gets. `None`: a new directory, or an existing one.
    pub restored: Option<Restored>,
    /// What happens if the directory already exists.
    pub existing: ExistingDirectory,
    /// The object whose template chose the directory.
    pub chosen_by: Source,
    /// What happens to the directory when the claim is gone.
    pub on_delete: OnDelete,
    /// How long it is kept after it was archived.
    pub retention: Retention,
    /// What happens to the claim if the server does not answer.
    pub on_failure: OnStorageFailure,
    /// When the volume is created.
    pub provision: Provision,
    /// Whether its size must fit into the free space of the share.
    pub free_space: FreeSpace,
    /// Whether the server limits the size of the directory.
    pub size_limit: SizeLimit,
    /// Labels from its class.
    pub labels: Labels,
    /// What happens to the volume when the claim is gone.
    pub reclaim: Reclaim,
    /// What the nodes mount.
    pub source: VolumeSource,
    /// Mount options for the nodes.
    pub mount_options: Vec<String>,
    /// The nodes on which pods can use it.
    pub topologies: Topologies,
    /// The id of the attempt that creates it: random in the webhook, the claim's uid in the controller.
    pub attempt: String,
}

impl NewVolume {
    /// Whether an existing volume has the same directory and the same source, which both cannot be changed.
    pub fn is_at(&self, volume: &Volume) -> bool {
        let at = |record: &Record| (record.share.server().to_owned(), record.share.join(&record.directory));
        volume.record.as_ref().is_ok_and(|record| {
            let own = (self.share.server().to_owned(), self.share.join(&self.directory));
            at(record) == own && record.source == self.source
        })
    }

    /// Whether it keeps the group of its archive, which no other volume has.
    pub fn keeps_group(&self) -> bool {
        let own = self.restored.as_ref().and_then(Restored::own_group);
        own.is_some() && own == self.attributes.gid
    }

    /// The location of its directory, with what is known about it.
    pub fn location(&self, share_id: Option<ShareId>, identity: Option<Identity>) -> Location<'_> {
        Location {
            share: &self.share,
            directory: &self.directory,
            share_id,
            identity,
        }
    }

    /// The merge patch (RFC 7396) that changes the volume of an earlier attempt for the same claim into this one. It does
    /// not change the location of the directory, or whether Bindery created the directory.
    pub fn overwrite(&self, origin: Origin, installation: &Installation) -> Value {
        let mut all = json!(self.build(origin, installation));
        let annotations = &mut all["metadata"]["annotations"];
        for key in [
            volume_annotation::SHARE,
            volume_annotation::SUB_DIR,
            volume_annotation::DIRECTORY,
        ] {
            annotations.as_object_mut().map(|annotations| annotations.remove(key));
        }
        annotations[volume_annotation::NAMESPACE_UID] = json!(self.namespace_uid);
        annotations[volume_annotation::UID] = json!(self.attributes.uid.map(|uid| uid.to_string()));
        for (key, gid) in group_annotations(self.attributes.gid) {
            annotations[key] = json!(gid);
        }
        annotations[volume_annotation::GID_RANGE] = json!(self.group_range.map(|range| range.to_string()));
        annotations[volume_annotation::SIZE_LIMIT] = json!(self.recorded_limit());
        let spec = &all["spec"];
        json!({
            "metadata": {"annotations": all["metadata"]["annotations"], "labels": all["metadata"]["labels"]},
            "spec": {
                "accessModes": spec["accessModes"],
                "capacity": spec["capacity"],
                "claimRef": {"uid": self.reference()},
                "mountOptions": spec["mountOptions"],
                "persistentVolumeReclaimPolicy": spec["persistentVolumeReclaimPolicy"],
                "storageClassName": spec["storageClassName"],
            },
        })
    }

    /// The annotation about the limit; none if there is nothing to do for it later.
    fn recorded_limit(&self) -> Option<String> {
        (self.size_limit != SizeLimit::Ignore).then(|| self.size_limit.to_string())
    }

    /// Whether the volume is created with a fence. A volume for an existing claim is fenced until its directory exists:
    /// otherwise the controller manager would bind claim and volume at once. A volume with the directory of an archive is
    /// fenced until Bindery has compared it with its claim: otherwise the controller manager would give the data to any claim
    /// of this name.
    pub fn is_made_fenced(&self) -> bool {
        self.claim_uid.is_some() || self.restored.is_some()
    }

    /// The uid in the new volume's `claimRef`.
    fn reference(&self) -> Option<String> {
        self.is_made_fenced().then(|| names::UNBOUND_UID.to_owned())
    }

    /// Builds the object for the API server.
    pub fn build(&self, origin: Origin, installation: &Installation) -> PersistentVolume {
        let annotations = [
            (volume_annotation::PROVISIONED_BY, installation.provisioner.clone()),
            (volume_annotation::INSTANCE, installation.instance.clone()),
            (volume_annotation::ATTEMPT, self.attempt.clone()),
            (volume_annotation::ON_DELETE, self.on_delete.to_string()),
            (volume_annotation::SHARE, self.share.path().to_owned()),
            (volume_annotation::SUB_DIR, self.directory.to_string()),
            (volume_annotation::DIRECTORY, origin.to_string()),
            (
                volume_annotation::MOUNT_PERMISSIONS,
                format!("{:04o}", self.attributes.mode.unwrap_or_default()),
            ),
            (volume_annotation::ARCHIVE_RETENTION, self.retention.to_string()),
            (volume_annotation::NFS_VERSION, self.share.version().as_str().to_owned()),
        ];
        let optional = [
            (volume_annotation::NAMESPACE_UID, self.namespace_uid.clone()),
            (volume_annotation::UID, self.attributes.uid.map(|uid| uid.to_string())),
            (
                volume_annotation::GID_RANGE,
                self.group_range.map(|range| range.to_string()),
            ),
            (volume_annotation::SIZE_LIMIT, self.recorded_limit()),
        ];
        let optional = optional.into_iter().chain(group_annotations(self.attributes.gid));
        let of_archive = self.restored.iter().flat_map(Restored::annotations);
        let optional = optional
            .filter_map(|(key, value)| Some((key, value?)))
            .chain(of_archive);
        let mut labels = self.labels.clone();
        labels.insert(names::AREA.to_owned(), area(&self.share, &self.directory));
        let mut spec = PersistentVolumeSpec {
            access_modes: Some(self.access_modes.clone()),
            capacity: Some([("storage".to_owned(), Quantity(self.capacity.written.clone()))].into()),
            claim_ref: Some(ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("PersistentVolumeClaim".to_owned()),
                namespace: Some(self.claim.0.clone()),
                name: Some(self.claim.1.clone()),
                uid: self.reference(),
                ..ObjectReference::default()
            }),
            mount_options: Some(self.mount_options.clone()).filter(|options| !options.is_empty()),
            persistent_volume_reclaim_policy: Some(self.reclaim.as_str().to_owned()),
            node_affinity: self.topologies.node_affinity(),
            storage_class_name: Some(self.class.clone()),
            volume_mode: Some("Filesystem".to_owned()),
            ..PersistentVolumeSpec::default()
        };
        let new = NewSource {
            volume: &self.name,
            share: &self.share,
            directory: &self.directory,
            on_delete: self.on_delete,
        };
        self.source.write(new, &mut spec);
        PersistentVolume {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                annotations: Some(
                    annotations
                        .into_iter()
                        .chain(optional)
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect(),
                ),
                labels: Some(labels),
                finalizers: Some(vec![names::FINALIZER.to_owned()]),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
            status: None,
        }
    }
}

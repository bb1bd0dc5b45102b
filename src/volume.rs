//! The PersistentVolume: built from a decision, and read back as facts.
//!
//! The volume is the record of everything that Bindery intends and has done; cleanup reads it there and nowhere else,
//! so it works with the class, the namespace and the claim gone.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NFSVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::names::{self, mark};
use crate::policy::claim::Bytes;
use crate::policy::class::Reclaim;
use crate::policy::directory::{Directory, Share};
use crate::policy::on_delete::OnDelete;
use crate::policy::settings::ExistingDirectory;
use crate::storage::{Attributes, Identity};

/// A volume as it was decided, before anything of it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVolume {
    /// `pvc-<uuid>`.
    pub name: String,
    /// The claim's namespace and name; its uid is not known yet.
    pub claim: (String, String),
    /// The claim's class.
    pub class: String,
    /// The claim's modes.
    pub access_modes: Vec<String>,
    /// The claim's request.
    pub capacity: Bytes,
    /// Where the directory is made.
    pub share: Share,
    /// The directory.
    pub directory: Directory,
    /// Its mode and owner.
    pub attributes: Attributes,
    /// What is done if the directory is there already.
    pub existing: ExistingDirectory,
    /// What becomes of it.
    pub on_delete: OnDelete,
    /// What becomes of the volume.
    pub reclaim: Reclaim,
    /// For the kubelet.
    pub mount_options: Vec<String>,
    /// Which call of the webhook this is.
    pub attempt: String,
}

/// Whose work the directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Bindery makes it.
    New,
    /// It was there before.
    Adopted,
}

/// Who we are: what every volume of ours carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Us {
    /// The provisioner of our classes.
    pub provisioner: String,
    /// The id of this installation.
    pub instance: String,
}

impl NewVolume {
    /// What turns the volume of an earlier try of the same claim into this one, as a merge patch (RFC 7396): all but its
    /// place and whose work the directory is.
    pub fn overwrite(&self, origin: Origin, us: &Us) -> Value {
        let mut all = json!(self.build(origin, us));
        let id = |id: Option<u32>| id.map(|id| id.to_string());
        let marks = &mut all["metadata"]["annotations"];
        for key in [mark::SHARE, mark::SUB_DIR, mark::DIRECTORY] {
            marks.as_object_mut().map(|marks| marks.remove(key));
        }
        marks[mark::UID] = json!(id(self.attributes.uid));
        marks[mark::GID] = json!(id(self.attributes.gid));
        let spec = &all["spec"];
        json!({
            "metadata": {"annotations": all["metadata"]["annotations"]},
            "spec": {
                "accessModes": spec["accessModes"],
                "capacity": spec["capacity"],
                "mountOptions": spec["mountOptions"],
                "persistentVolumeReclaimPolicy": spec["persistentVolumeReclaimPolicy"],
                "storageClassName": spec["storageClassName"],
            },
        })
    }

    /// The object that is sent to the API server.
    pub fn build(&self, origin: Origin, us: &Us) -> PersistentVolume {
        let marks = [
            (mark::PROVISIONED_BY, us.provisioner.clone()),
            (mark::INSTANCE, us.instance.clone()),
            (mark::ATTEMPT, self.attempt.clone()),
            (mark::ON_DELETE, self.on_delete.to_string()),
            (mark::SHARE, self.share.path().to_owned()),
            (mark::SUB_DIR, self.directory.to_string()),
            (
                mark::DIRECTORY,
                if origin == Origin::New { "new" } else { "adopted" }.to_owned(),
            ),
            (mark::MOUNT_PERMISSIONS, format!("{:04o}", self.attributes.mode)),
        ];
        let owner = [(mark::UID, self.attributes.uid), (mark::GID, self.attributes.gid)];
        let owner = owner.into_iter().filter_map(|(key, id)| Some((key, id?.to_string())));
        PersistentVolume {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                annotations: Some(
                    marks
                        .into_iter()
                        .chain(owner)
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect(),
                ),
                labels: Some([(names::AREA.to_owned(), area(&self.share, &self.directory))].into()),
                finalizers: Some(vec![names::FINALIZER.to_owned()]),
                ..ObjectMeta::default()
            },
            spec: Some(PersistentVolumeSpec {
                access_modes: Some(self.access_modes.clone()),
                capacity: Some([("storage".to_owned(), Quantity(self.capacity.written.clone()))].into()),
                claim_ref: Some(ObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("PersistentVolumeClaim".to_owned()),
                    namespace: Some(self.claim.0.clone()),
                    name: Some(self.claim.1.clone()),
                    ..ObjectReference::default()
                }),
                mount_options: Some(self.mount_options.clone()).filter(|options| !options.is_empty()),
                nfs: Some(NFSVolumeSource {
                    server: self.share.server().to_owned(),
                    path: self.share.join(&self.directory),
                    read_only: None,
                }),
                persistent_volume_reclaim_policy: Some(self.reclaim.as_str().to_owned()),
                storage_class_name: Some(self.class.clone()),
                volume_mode: Some("Filesystem".to_owned()),
                ..PersistentVolumeSpec::default()
            }),
            status: None,
        }
    }
}

/// The label by which volumes that may overlap find each other: a hash of the server and the first segment below the
/// share.
pub fn area(share: &Share, directory: &Directory) -> String {
    let first = directory.segments().next().unwrap_or_default();
    let place = format!("nfs://{}{}", share.server(), share.path().trim_end_matches('/'));
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{place}/{first}").as_bytes())
        .simple()
        .to_string()
}

/// A volume as it stands in the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Which object of that name it is.
    pub uid: String,
    /// Which state of that object.
    pub version: String,
    /// Somebody deleted it; finalizers hold it.
    pub deleting: bool,
    /// Our finalizer is on it.
    pub held: bool,
    /// `status.phase`.
    pub phase: Phase,
    /// The claim it is for, and the claim's uid once that is known.
    pub claim: Option<ClaimRef>,
    /// Its class.
    pub class: String,
    /// Its modes.
    pub access_modes: Vec<String>,
    /// Its size in bytes; 0 if it has none.
    pub capacity: u128,
    /// What Kubernetes does with it.
    pub reclaim: Reclaim,
    /// A claim has come and the directory was there for it.
    pub ready: bool,
    /// Who made it, if anybody says so.
    pub maker: Option<Us>,
    /// The directory and its fate; the error says which mark cannot be read.
    pub record: Result<Record, String>,
}

/// The phases that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Bound to its claim, says the controller manager.
    Bound,
    /// Its claim is gone, says the controller manager.
    Released,
    /// Neither (yet).
    Unbound,
}

/// `spec.claimRef`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRef {
    /// The claim's namespace.
    pub namespace: String,
    /// The claim's name.
    pub name: String,
    /// Which claim of that name.
    pub uid: Option<String>,
}

/// What a volume says about its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it is.
    pub share: Share,
    /// What it is called there.
    pub directory: Directory,
    /// Whose work it is.
    pub origin: Origin,
    /// What becomes of it.
    pub on_delete: OnDelete,
    /// Which directory it is, once that is known.
    pub identity: Option<Identity>,
    /// The mode and the owner it is made with.
    pub attributes: Attributes,
}

impl Volume {
    /// Reads a volume. Never fails: whether what it says is enough to act on is for [`crate::policy::plan`] to judge.
    pub fn read(volume: &PersistentVolume) -> Self {
        let empty = BTreeMap::new();
        let meta = &volume.metadata;
        let marks = meta.annotations.as_ref().unwrap_or(&empty);
        let spec = volume.spec.clone().unwrap_or_default();
        let maker = marks.get(mark::PROVISIONED_BY).zip(marks.get(mark::INSTANCE));
        let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
        Self {
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            version: meta.resource_version.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            held: meta.finalizers.iter().flatten().any(|held| held == names::FINALIZER),
            phase: match phase {
                Some("Bound") => Phase::Bound,
                Some("Released" | "Failed") => Phase::Released,
                _ => Phase::Unbound,
            },
            record: record(marks, spec.nfs.as_ref()),
            claim: spec.claim_ref.map(|claim| ClaimRef {
                namespace: claim.namespace.unwrap_or_default(),
                name: claim.name.unwrap_or_default(),
                uid: claim.uid.filter(|uid| !uid.is_empty()),
            }),
            class: spec.storage_class_name.unwrap_or_default(),
            access_modes: spec.access_modes.unwrap_or_default(),
            capacity: spec
                .capacity
                .and_then(|capacity| capacity.get("storage").and_then(Bytes::read))
                .map_or(0, |size| size.bytes),
            // Only a clear `Delete` lets anything be destroyed.
            reclaim: match spec.persistent_volume_reclaim_policy.as_deref() {
                Some("Delete") => Reclaim::Delete,
                _ => Reclaim::Retain,
            },
            ready: marks.get(mark::READY).is_some_and(|ready| ready == "true"),
            maker: maker.map(|(provisioner, instance)| Us {
                provisioner: provisioner.clone(),
                instance: instance.clone(),
            }),
        }
    }
}

fn record(marks: &BTreeMap<String, String>, nfs: Option<&NFSVolumeSource>) -> Result<Record, String> {
    let nfs = nfs.ok_or("spec.nfs is missing")?;
    let get = |key: &str| marks.get(key).ok_or(format!("annotation {key} is missing"));
    let wrong = |key: &'static str| move |error: &dyn std::fmt::Display| format!("annotation {key}: {error}");
    let share = Share::parse(&nfs.server, get(mark::SHARE)?).map_err(|error| wrong(mark::SHARE)(&error))?;
    let directory = Directory::parse(get(mark::SUB_DIR)?).map_err(|error| wrong(mark::SUB_DIR)(&error))?;
    // The source cannot be changed, the marks can: together they must name one place.
    let path = share.join(&directory);
    if path != nfs.path {
        return Err(format!(
            "annotations {} and {} say {path}, spec.nfs.path says {}",
            mark::SHARE,
            mark::SUB_DIR,
            nfs.path
        ));
    }
    Ok(Record {
        share,
        directory,
        origin: match get(mark::DIRECTORY)?.as_str() {
            "new" => Origin::New,
            "adopted" => Origin::Adopted,
            other => return Err(wrong(mark::DIRECTORY)(&format!("{other:?} is neither new nor adopted"))),
        },
        on_delete: get(mark::ON_DELETE)?
            .parse()
            .map_err(|error| wrong(mark::ON_DELETE)(&error))?,
        identity: marks
            .get(mark::DIRECTORY_ID)
            .map(|id| id.parse().map_err(|error| wrong(mark::DIRECTORY_ID)(&error)))
            .transpose()?,
        attributes: Attributes {
            mode: u32::from_str_radix(get(mark::MOUNT_PERMISSIONS)?, 8)
                .map_err(|error| wrong(mark::MOUNT_PERMISSIONS)(&error))?,
            uid: id(marks, mark::UID)?,
            gid: id(marks, mark::GID)?,
        },
    })
}

fn id(marks: &BTreeMap<String, String>, key: &str) -> Result<Option<u32>, String> {
    let id = marks
        .get(key)
        .map(|id| id.parse().map_err(|error| format!("annotation {key}: {error}")));
    id.transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> NewVolume {
        NewVolume {
            name: "pvc-1".to_owned(),
            claim: ("team-a".to_owned(), "data".to_owned()),
            class: "fast".to_owned(),
            access_modes: vec!["ReadWriteMany".to_owned()],
            capacity: Bytes::read(&Quantity("1Gi".to_owned())).unwrap(),
            share: Share::parse("nas1", "/export").unwrap(),
            directory: Directory::parse("team-a/data").unwrap(),
            attributes: Attributes {
                mode: 0o2775,
                uid: Some(1000),
                gid: None,
            },
            existing: ExistingDirectory::Deny,
            on_delete: OnDelete::Delete,
            reclaim: Reclaim::Delete,
            mount_options: vec!["hard".to_owned()],
            attempt: "a-1".to_owned(),
        }
    }

    fn us() -> Us {
        Us {
            provisioner: "bindery.dev/nfs".to_owned(),
            instance: "blue".to_owned(),
        }
    }

    #[test]
    fn the_object_says_everything_that_cleanup_will_need() {
        let expected = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": "pvc-1",
                "finalizers": ["bindery.dev/cleanup"],
                "labels": {"bindery.dev/area": area(&new().share, &new().directory)},
                "annotations": {
                    "bindery.dev/attempt": "a-1",
                    "bindery.dev/directory": "new",
                    "bindery.dev/instance": "blue",
                    "bindery.dev/mount-permissions": "2775",
                    "bindery.dev/on-delete": "delete",
                    "bindery.dev/share": "/export",
                    "bindery.dev/sub-dir": "team-a/data",
                    "bindery.dev/uid": "1000",
                    "pv.kubernetes.io/provisioned-by": "bindery.dev/nfs",
                },
            },
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "capacity": {"storage": "1Gi"},
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": "team-a",
                    "name": "data",
                },
                "mountOptions": ["hard"],
                "nfs": {"server": "nas1", "path": "/export/team-a/data"},
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": "fast",
                "volumeMode": "Filesystem",
            },
        });
        assert_eq!(json!(new().build(Origin::New, &us())), expected);
    }

    #[test]
    fn what_is_built_is_read_back() {
        let volume = Volume::read(&new().build(Origin::Adopted, &us()));
        let record = volume.record.unwrap();
        assert_eq!(
            (volume.maker, volume.held, volume.capacity),
            (Some(us()), true, 1 << 30)
        );
        assert_eq!((record.share, record.directory), (new().share, new().directory));
        assert_eq!(
            (record.origin, record.on_delete, record.attributes),
            (Origin::Adopted, OnDelete::Delete, new().attributes)
        );
    }

    #[test]
    fn volumes_that_may_overlap_share_an_area() {
        let at = |path, directory| {
            area(
                &Share::parse("nas1", path).unwrap(),
                &Directory::parse(directory).unwrap(),
            )
        };
        assert_eq!(at("/export", "a/b"), at("/export/", "a"));
        assert_ne!(at("/export", "a"), at("/export", "b"));
        assert_ne!(at("/export", "a"), at("/other", "a"));
    }

    #[test]
    fn a_volume_whose_marks_name_another_place_than_its_source_cannot_be_acted_on() {
        let read = |key: &str, value: Option<&str>| {
            let mut volume = new().build(Origin::New, &us());
            let marks = volume.metadata.annotations.as_mut().unwrap();
            match value {
                Some(value) => drop(marks.insert(key.to_owned(), value.to_owned())),
                None => drop(marks.remove(key)),
            }
            Volume::read(&volume).record.unwrap_err()
        };
        assert_eq!(
            read(mark::SUB_DIR, Some("team-b/data")),
            "annotations bindery.dev/share and bindery.dev/sub-dir say /export/team-b/data, \
             spec.nfs.path says /export/team-a/data"
        );
        assert_eq!(
            read(mark::SUB_DIR, Some("../data")),
            "annotation bindery.dev/sub-dir: directory \"../data\" has the segment \"..\", which would lead out of its place"
        );
        assert_eq!(read(mark::SHARE, None), "annotation bindery.dev/share is missing");
        assert_eq!(
            read(mark::ON_DELETE, Some("destroy")),
            "annotation bindery.dev/on-delete: allowed are delete, retain or archive"
        );
        assert_eq!(
            read(mark::DIRECTORY_ID, Some("7")),
            "annotation bindery.dev/directory-id: not of the form major.minor:fileid in hexadecimal"
        );
    }
}

//! The object as it stands, as facts. What it says about its directory is checked before anybody acts on it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NFSVolumeSource, PersistentVolume};

use super::{Installation, Origin};
use crate::model::attributes::Attributes;
use crate::model::claim::Bytes;
use crate::model::directory::{Directory, NfsVersion, Share, Shown, TrashRoot};
use crate::model::identity::Identity;
use crate::model::invalid::Invalid;
use crate::model::location::Location;
use crate::model::names::{self, mark};
use crate::model::on_delete::OnDelete;
use crate::model::reclaim::Reclaim;
use crate::model::retention::Retention;
use crate::model::share_id::ShareId;

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
    /// Since when.
    pub deleted: Option<Timestamp>,
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
    /// Its size.
    pub capacity: Option<Bytes>,
    /// What Kubernetes does with it.
    pub reclaim: Reclaim,
    /// A claim has come and the directory was there for it.
    pub ready: bool,
    /// The class that it was made for, if a claim of another class has it.
    pub made_for: Option<String>,
    /// Which call of the webhook made it or used it last: what it says may have changed with that.
    pub attempt: Option<String>,
    /// Who made it, if it names both a provisioner and an installation.
    pub maker: Option<Installation>,
    /// The provisioner that it names, if it names no installation.
    pub provisioner: Option<String>,
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
    /// How long it is kept once it is an archive.
    pub retention: Retention,
    /// The same as it is written on the volume, if it is.
    pub retention_text: Option<String>,
    /// Which directory it is, once that is known.
    pub identity: Option<Identity>,
    /// Where it may have been moved when its claim was gone, the last place last. None: it was not moved.
    pub moved_to: Vec<Directory>,
    /// Which file system the share is, once that is known.
    pub share_id: Option<ShareId>,
    /// The mode and the owner it is made with.
    pub attributes: Attributes,
}

impl Volume {
    /// Reads a volume. Never fails: whether what it says is enough to act on is for [`crate::policy::reconcile`] to judge.
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
            deleted: meta.deletion_timestamp.as_ref().map(|time| time.0),
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
                .and_then(|capacity| capacity.get("storage").and_then(Bytes::read)),
            // Only a clear `Delete` lets anything be destroyed.
            reclaim: match spec.persistent_volume_reclaim_policy.as_deref() {
                Some("Delete") => Reclaim::Delete,
                _ => Reclaim::Retain,
            },
            ready: marks.get(mark::READY).is_some_and(|ready| ready == "true"),
            made_for: marks.get(mark::MADE_FOR).cloned(),
            attempt: marks.get(mark::ATTEMPT).cloned(),
            provisioner: match maker {
                Some(_) => None,
                None => marks.get(mark::PROVISIONED_BY).cloned(),
            },
            maker: maker.map(|(provisioner, instance)| Installation {
                provisioner: provisioner.clone(),
                instance: instance.clone(),
            }),
        }
    }

    /// Whether no claim has it, and a call that may still go on, or has come to no known end, made it for the claim of this
    /// namespace and name.
    pub fn awaits(&self, namespace: &str, name: &str) -> bool {
        let meant = |claim: &ClaimRef| {
            (claim.namespace.as_str(), claim.name.as_str()) == (namespace, name)
                && match claim.uid.as_deref() {
                    None => self.phase == Phase::Unbound,
                    // The controller manager knows no such claim, and calls the volume Released.
                    Some(uid) => uid == names::FENCE && self.phase != Phase::Bound,
                }
        };
        self.held
            && !self.deleting
            && !self.ready
            && self.record.as_ref().is_ok_and(|record| record.identity.is_none())
            && self.claim.as_ref().is_some_and(meant)
    }

    /// All places but its path where its directory may be, once its removal has begun.
    pub fn may_be_at(&self) -> Vec<Directory> {
        let (Ok(record), Some(maker)) = (&self.record, &self.maker) else {
            return Vec::new();
        };
        let own = Directory::aside(&maker.instance, &self.name, &self.uid);
        let mut places: Vec<Directory> = Vec::new();
        for place in &record.moved_to {
            for place in [TrashRoot::around(place).place(&own), place.clone()] {
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        places
    }

    /// Whether it names the claim of this namespace and name, whichever uid it says.
    pub fn is_for(&self, namespace: &str, name: &str) -> bool {
        let meant = self.claim.as_ref();
        meant.is_some_and(|meant| (meant.namespace.as_str(), meant.name.as_str()) == (namespace, name))
    }

    /// Whether nobody binds it, whoever it is for.
    pub fn is_fenced(&self) -> bool {
        self.claim.as_ref().and_then(|claim| claim.uid.as_deref()) == Some(names::FENCE)
    }

    /// Whether a claim has had it: then its directory may hold data.
    pub fn was_given(&self) -> bool {
        let uid = self.claim.as_ref().and_then(|claim| claim.uid.as_deref());
        self.ready || uid.is_some_and(|uid| uid != names::FENCE)
    }
}

impl Record {
    /// Where the directory is, and what is known of it.
    pub fn location(&self) -> Location<'_> {
        Location {
            share: &self.share,
            directory: &self.directory,
            share_id: self.share_id,
            identity: self.identity,
        }
    }
}

fn record(marks: &BTreeMap<String, String>, nfs: Option<&NFSVolumeSource>) -> Result<Record, String> {
    let nfs = nfs.ok_or("spec.nfs is missing")?;
    let get = |key: &str| marks.get(key).ok_or(format!("annotation {key} is missing"));
    let wrong = |key: &str, error: &dyn std::fmt::Display| {
        let value = marks.get(key).map_or("", String::as_str);
        format!("annotation {}", Invalid::value(key, value, error))
    };
    let share = Share::parse(&nfs.server, get(mark::SHARE)?).map_err(|error| wrong(mark::SHARE, &error))?;
    let directory = Directory::parse(get(mark::SUB_DIR)?).map_err(|error| wrong(mark::SUB_DIR, &error))?;
    // The source cannot be changed, the marks can: together they must name one place.
    let path = share.join(&directory);
    if path != nfs.path {
        return Err(format!(
            "annotations {} and {} say {}, spec.nfs.path says {}",
            mark::SHARE,
            mark::SUB_DIR,
            Shown(&path),
            Shown(&nfs.path)
        ));
    }
    let version = match marks.get(mark::NFS_VERSION).map(String::as_str) {
        None | Some("4") => NfsVersion::V4,
        Some("3") => NfsVersion::V3,
        Some(_) => return Err(wrong(mark::NFS_VERSION, &"allowed are 3 or 4")),
    };
    let id = |key: &str| {
        let id = marks.get(key).map(|id| id.parse().map_err(|error| wrong(key, &error)));
        id.transpose()
    };
    Ok(Record {
        share: share.over(version),
        directory,
        origin: match get(mark::DIRECTORY)?.as_str() {
            "new" => Origin::New,
            "adopted" => Origin::Adopted,
            _ => return Err(wrong(mark::DIRECTORY, &"allowed are new or adopted")),
        },
        on_delete: get(mark::ON_DELETE)?
            .parse()
            .map_err(|error| wrong(mark::ON_DELETE, &error))?,
        retention: match marks.get(mark::ARCHIVE_RETENTION) {
            None => Retention::Forever,
            Some(text) => text.parse().map_err(|error| wrong(mark::ARCHIVE_RETENTION, &error))?,
        },
        retention_text: marks.get(mark::ARCHIVE_RETENTION).cloned(),
        identity: marks
            .get(mark::DIRECTORY_ID)
            .map(|id| id.parse().map_err(|error| wrong(mark::DIRECTORY_ID, &error)))
            .transpose()?,
        moved_to: match marks.get(mark::MOVED_TO) {
            None => Vec::new(),
            Some(places) => {
                let places = places.lines().map(Directory::recorded).collect::<Option<_>>();
                places.ok_or_else(|| {
                    wrong(
                        mark::MOVED_TO,
                        &"allowed are paths in the trash and archives, one per line",
                    )
                })?
            }
        },
        share_id: marks
            .get(mark::SHARE_ID)
            .map(|id| id.parse().map_err(|error| wrong(mark::SHARE_ID, &error)))
            .transpose()?,
        attributes: Attributes {
            mode: u32::from_str_radix(get(mark::MOUNT_PERMISSIONS)?, 8)
                .map_err(|error| wrong(mark::MOUNT_PERMISSIONS, &error))?,
            uid: id(mark::UID)?,
            gid: id(mark::GID)?,
        },
    })
}

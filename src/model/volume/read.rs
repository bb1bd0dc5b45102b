//! Reads a PersistentVolume. Its annotations are validated here, before anything acts on them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;

use super::annotations::Annotations;
use super::{Installation, Origin, Restored};
use crate::model::attributes::Attributes;
use crate::model::choices::SizeLimit;
use crate::model::claim::{Bytes, Claim, Name};
use crate::model::directory::{Directory, Share, Shown, TrashRoot};
use crate::model::group::GroupRange;
use crate::model::identity::Identity;
use crate::model::location::{Location, Overlap};
use crate::model::names::{self, volume_annotation};
use crate::model::on_delete::OnDelete;
use crate::model::reclaim::Reclaim;
use crate::model::retention::Retention;
use crate::model::share_id::ShareId;
use crate::model::usage::Usage;
use crate::model::volume_source::{SourceLocation, VolumeSource};

/// A volume as stored in the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resource version.
    pub version: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Whether it has a deletion timestamp. Finalizers keep it in the API.
    pub deleting: bool,
    /// The deletion timestamp.
    pub deleted: Option<Timestamp>,
    /// Whether it has Bindery's finalizer.
    pub has_finalizer: bool,
    /// `status.phase`.
    pub phase: Phase,
    /// The claim in its `claimRef`.
    pub claim: Option<ClaimRef>,
    /// The uid of the claim's namespace when it was created. Volumes of earlier versions do not record it.
    pub namespace_uid: Option<String>,
    /// Its class.
    pub class: String,
    /// Its access modes.
    pub access_modes: Vec<String>,
    /// Its size.
    pub capacity: Option<Bytes>,
    /// Its reclaim policy.
    pub reclaim: Reclaim,
    /// The group of its directory, or of the pods that use it, whoever created it. It is known even if the record is not
    /// valid.
    pub gid: Option<u32>,
    /// Whether the claim existed, and the directory existed for it.
    pub ready: bool,
    /// The class for which it was created, if a claim of another class has it.
    pub made_for: Option<String>,
    /// The id of the attempt that created it or used it last.
    pub attempt: Option<String>,
    /// The installation that created it, if it names both provisioner and instance.
    pub maker: Option<Installation>,
    /// The provisioner that it names, if it names no instance.
    pub provisioner: Option<String>,
    /// The space that its directory uses, as last measured.
    pub usage: Option<Usage>,
    /// The directory and its policy; the error says which annotation is not valid.
    pub record: Result<Record, String>,
}

/// The phases that Bindery distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The controller manager has bound it to its claim.
    Bound,
    /// Its claim is gone, according to the controller manager.
    Released,
    /// Any other phase.
    Unbound,
}

/// `spec.claimRef`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRef {
    /// The claim's namespace.
    pub namespace: String,
    /// The claim's name.
    pub name: String,
    /// The claim's uid.
    pub uid: Option<String>,
}

/// What a volume records about its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its share.
    pub share: Share,
    /// Its path below the share.
    pub directory: Directory,
    /// Whether Bindery created it.
    pub origin: Origin,
    /// What happens to it when the claim is gone.
    pub on_delete: OnDelete,
    /// How long it is kept after it was archived.
    pub retention: Retention,
    /// The retention as written on the volume.
    pub retention_text: Option<String>,
    /// Its identity on the server, once known.
    pub identity: Option<Identity>,
    /// The paths to which it may have been moved during cleanup, the latest last. Empty if it was not moved.
    pub moved_to: Vec<Directory>,
    /// The identity of its share, once known.
    pub share_id: Option<ShareId>,
    /// The mode and the owner with which it was created, or is created again.
    pub attributes: Attributes,
    /// The range from which its group was chosen, if no other volume has that group.
    pub group_range: Option<GroupRange>,
    /// What the nodes mount.
    pub source: VolumeSource,
    /// The archive that it was, if it was one.
    pub restored: Option<Restored>,
    /// Whether Bindery sets the limit of its size.
    pub size_limit: SizeLimit,
}

impl Volume {
    /// Reads a volume. Never fails: [`crate::policy::reconcile`] decides whether the content is sufficient.
    pub fn read(volume: &PersistentVolume) -> Self {
        let (meta, annotations) = (&volume.metadata, volume.annotations());
        let spec = volume.spec.clone().unwrap_or_default();
        let maker = annotations
            .get(volume_annotation::PROVISIONED_BY)
            .zip(annotations.get(volume_annotation::INSTANCE));
        let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
        Self {
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            version: meta.resource_version.clone().unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            deleting: meta.deletion_timestamp.is_some(),
            deleted: meta.deletion_timestamp.as_ref().map(|time| time.0),
            has_finalizer: meta.finalizers.iter().flatten().any(|held| held == names::FINALIZER),
            phase: match phase {
                Some("Bound") => Phase::Bound,
                Some("Released" | "Failed") => Phase::Released,
                _ => Phase::Unbound,
            },
            record: record(annotations, SourceLocation::read(&spec)),
            claim: spec.claim_ref.map(|claim| ClaimRef {
                namespace: claim.namespace.unwrap_or_default(),
                name: claim.name.unwrap_or_default(),
                uid: claim.uid.filter(|uid| !uid.is_empty()),
            }),
            namespace_uid: annotations.get(volume_annotation::NAMESPACE_UID).cloned(),
            class: spec.storage_class_name.unwrap_or_default(),
            access_modes: spec.access_modes.unwrap_or_default(),
            capacity: spec
                .capacity
                .and_then(|capacity| capacity.get("storage").and_then(Bytes::read)),
            // Only an explicit `Delete` allows the removal of files.
            reclaim: match spec.persistent_volume_reclaim_policy.as_deref() {
                Some("Delete") => Reclaim::Delete,
                _ => Reclaim::Retain,
            },
            gid: [volume_annotation::GID, volume_annotation::POD_GID]
                .into_iter()
                .find_map(|key| annotations.get(key)?.parse().ok()),
            ready: annotations
                .get(volume_annotation::READY)
                .is_some_and(|ready| ready == "true"),
            usage: annotations
                .get(volume_annotation::USAGE)
                .and_then(|usage| usage.parse().ok()),
            made_for: annotations.get(volume_annotation::MADE_FOR).cloned(),
            attempt: annotations.get(volume_annotation::ATTEMPT).cloned(),
            provisioner: match maker {
                Some(_) => None,
                None => annotations.get(volume_annotation::PROVISIONED_BY).cloned(),
            },
            maker: maker.map(|(provisioner, instance)| Installation {
                provisioner: provisioner.clone(),
                instance: instance.clone(),
            }),
        }
    }

    /// Whether it was created for the claim of this namespace and name, and no claim has had it. The attempt that created
    /// it may still be running.
    pub fn is_unclaimed_for(&self, namespace: &str, name: &str) -> bool {
        let is_unclaimed = match self.claim_uid() {
            None => self.phase == Phase::Unbound,
            // The controller manager finds no claim with this uid, and sets the phase Released.
            Some(uid) => uid == names::UNBOUND_UID && self.phase != Phase::Bound,
        };
        self.has_finalizer
            && !self.deleting
            && !self.ready
            && self.record.as_ref().is_ok_and(|record| record.identity.is_none())
            && self.is_for(namespace, name)
            && is_unclaimed
    }

    /// Whether this installation created it for this claim, and no claim has had it.
    pub fn is_unclaimed_of(&self, installation: &Installation, claim: &Claim) -> bool {
        let Name::Given(name) = &claim.name else { return false };
        self.maker.as_ref() == Some(installation) && self.is_unclaimed_for(&claim.namespace, name)
    }

    /// The paths, except its own, where its directory may be after its cleanup has begun.
    pub fn may_be_at(&self) -> Vec<Directory> {
        let (Ok(record), Some(maker)) = (&self.record, &self.maker) else {
            return Vec::new();
        };
        let own = Directory::aside(&maker.instance, &self.name, &self.uid);
        let mut places: Vec<Directory> = Vec::new();
        for place in &record.moved_to {
            for place in [TrashRoot::containing(place).place(&own), place.clone()] {
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        places
    }

    /// Whether it names the claim of this namespace and name, with any uid.
    pub fn is_for(&self, namespace: &str, name: &str) -> bool {
        let claim = self.claim.as_ref();
        claim.is_some_and(|claim| (claim.namespace.as_str(), claim.name.as_str()) == (namespace, name))
    }

    /// The uid in its `claimRef`.
    pub fn claim_uid(&self) -> Option<&str> {
        self.claim.as_ref()?.uid.as_deref()
    }

    /// Whether its `claimRef` has the uid of this claim: kube-controller-manager binds the two.
    pub fn is_given_to(&self, claim: &Claim) -> bool {
        !self.deleting && self.claim_uid() == Some(&claim.uid)
    }

    /// Whether it is fenced: no claim can be bound to it.
    pub fn is_fenced(&self) -> bool {
        self.claim_uid() == Some(names::UNBOUND_UID)
    }

    /// Whether it is to get the directory of an archive, and no claim has had it.
    pub fn is_being_restored(&self) -> bool {
        let record = self.record.as_ref();
        record.is_ok_and(|record| record.being_restored().is_some())
    }

    /// Whether the binder acts on it when a claim names it: it is not fenced, or fenced only until the binder has compared it
    /// with the claim.
    pub fn is_for_the_binder(&self) -> bool {
        !self.is_fenced() || self.is_being_restored()
    }

    /// Whether a claim has had it; its directory may then hold data.
    pub fn had_claim(&self) -> bool {
        self.ready || self.claim_uid().is_some_and(|uid| uid != names::UNBOUND_UID)
    }
}

impl Record {
    /// The archive whose directory is being given to the volume. `None` if a claim has had the volume, or if the directory
    /// was no archive.
    pub fn being_restored(&self) -> Option<&Restored> {
        self.restored.as_ref().filter(|_| self.origin == Origin::Restored)
    }

    /// The location of the directory, and what is known about it.
    pub fn location(&self) -> Location<'_> {
        Location {
            share: &self.share,
            directory: &self.directory,
            share_id: self.share_id,
            identity: self.identity,
        }
    }
}

/// Returns the overlap to report. A volume that a claim has had comes before a volume that is being created.
pub fn first_overlap<'a>(overlaps: impl Iterator<Item = (&'a Volume, Overlap)>) -> Option<(&'a Volume, Overlap)> {
    overlaps.min_by_key(|(other, _)| !other.had_claim())
}

fn record(annotations: &BTreeMap<String, String>, location: Option<SourceLocation>) -> Result<Record, String> {
    let location = location.ok_or("neither spec.nfs nor attributes of Bindery in spec.csi name a directory")?;
    let annotations = Annotations(annotations);
    let share = Share::parse(
        &location.server,
        &annotations.require::<String>(volume_annotation::SHARE)?,
    );
    let share = share.map_err(|error| annotations.invalid(volume_annotation::SHARE, &error))?;
    let directory = Directory::parse(&annotations.require::<String>(volume_annotation::SUB_DIR)?);
    let directory = directory.map_err(|error| annotations.invalid(volume_annotation::SUB_DIR, &error))?;
    // Annotations can be changed, the volume source cannot. Both must name the same path.
    let path = share.join(&directory);
    if path != location.path {
        return Err(format!(
            "annotations {} and {} say {}, {} says {}",
            volume_annotation::SHARE,
            volume_annotation::SUB_DIR,
            Shown(&path),
            location.source.field(),
            Shown(&location.path)
        ));
    }
    let moved_to = match annotations.get::<String>(volume_annotation::MOVED_TO)? {
        None => Vec::new(),
        Some(paths) => {
            let recorded = paths.lines().map(Directory::recorded).collect::<Option<_>>();
            let allowed = "allowed are paths in the trash and archives, one per line";
            recorded.ok_or_else(|| annotations.invalid(volume_annotation::MOVED_TO, &allowed))?
        }
    };
    let origin = annotations.require(volume_annotation::DIRECTORY)?;
    let restored = Restored::read(&annotations)?;
    if origin == Origin::Restored && restored.is_none() {
        return Err(format!("annotation {} is missing", volume_annotation::RESTORED_FROM));
    }
    Ok(Record {
        share: share.over(annotations.get(volume_annotation::NFS_VERSION)?.unwrap_or_default()),
        directory,
        origin,
        on_delete: annotations.require(volume_annotation::ON_DELETE)?,
        retention: annotations
            .get(volume_annotation::ARCHIVE_RETENTION)?
            .unwrap_or(Retention::Forever),
        retention_text: annotations.get(volume_annotation::ARCHIVE_RETENTION)?,
        identity: annotations.get(volume_annotation::DIRECTORY_ID)?,
        moved_to,
        share_id: annotations.get(volume_annotation::SHARE_ID)?,
        attributes: Attributes {
            mode: u32::from_str_radix(&annotations.require::<String>(volume_annotation::MOUNT_PERMISSIONS)?, 8)
                .map(|mode| Some(mode).filter(|mode| *mode != 0))
                .map_err(|error| annotations.invalid(volume_annotation::MOUNT_PERMISSIONS, &error))?,
            uid: annotations.get(volume_annotation::UID)?,
            gid: annotations.get(volume_annotation::GID)?,
        },
        group_range: annotations.get(volume_annotation::GID_RANGE)?,
        source: location.source,
        restored,
        size_limit: annotations
            .get(volume_annotation::SIZE_LIMIT)?
            .unwrap_or(SizeLimit::Ignore),
    })
}

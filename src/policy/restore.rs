//! Decides which archive a claim gets, and whether it may get it.
//!
//! A claim names an archive in `spec.dataSourceRef`: an object, or a claim whose newest archive is meant. Each archive is
//! given to one volume, whose name follows from the archive ([`restored_volume`]). That volume, if it exists, says which
//! claim gets the archive; the phase of the object follows it.

use std::cmp::Reverse;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;

use super::archives::is_kept;
use super::class::Class;
use super::conflict::{self, Conflict, UseExisting};
use super::key::Key;
use crate::model::archive::{Archive, ArchivePhase, ArchiveRecord, restored_volume};
use crate::model::choices::{ArchiveRestore, RestoreAttributes};
use crate::model::claim::{Bytes, Claim, Name};
use crate::model::names;
use crate::model::volume::{Installation, NewVolume, Restored, Volume};

/// The most archives that a message lists.
const MAX_LISTED: usize = 10;

/// What is known about the archives of a claim's namespace.
#[derive(Clone, Debug, Default)]
pub struct RestoreFacts {
    /// The objects that may be meant, and others of the namespace for the list in a message. `None` if the definition of
    /// archives is not installed.
    pub archives: Option<Vec<Archive>>,
    /// The volume that gets the archive, if it exists already.
    pub volume: Option<Volume>,
    /// The objects of all namespaces that name the same archive.
    pub same: Vec<Archive>,
    /// What the user of the request may read. `None` if no user asks: then nothing is checked, and nothing is listed.
    pub user: Option<User>,
    /// Bindery's own namespace.
    pub own_namespace: String,
    /// The current time.
    pub now: Timestamp,
}

/// What a user may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// Whether the user may read the archive, or an archive of the name that the claim gives.
    pub may_get: bool,
    /// Whether the user may list the archives of the namespace.
    pub may_list: bool,
}

/// Returns the archive that a name means: the object of this name, or the newest archive of the claim of this name. Only
/// objects of this installation count, and only those of this namespace: one that was deleted and created again is another
/// one. In Bindery's own namespace all objects count, but only by their own name.
pub fn meant<'a>(
    name: &str,
    (namespace, uid): (&str, Option<&str>),
    own_namespace: &str,
    installation: &Installation,
    archives: &'a [Archive],
) -> Option<&'a Archive> {
    let is_of_claims = |one: &&Archive| {
        one.spec.claim_namespace.as_deref() == Some(namespace) && one.spec.namespace_uid.is_some() && {
            one.spec.namespace_uid.as_deref() == uid
        }
    };
    let mut own = archives.iter().filter(|one| {
        let spec = &one.spec;
        spec.provisioner == installation.provisioner && spec.instance == installation.instance
    });
    let is_usable = |one: &&Archive| namespace == own_namespace || is_of_claims(one);
    if let Some(exact) = own.clone().find(|one| one.name_any() == name && is_usable(one)) {
        return Some(exact);
    }
    let is_free = |one: &&Archive| {
        matches!(phase(one), ArchivePhase::Available | ArchivePhase::Restoring)
            && one.metadata.deletion_timestamp.is_none()
    };
    let of_claim = |one: &&Archive| one.spec.claim_uid.is_some() && one.spec.claim_name == name;
    own.by_ref()
        .filter(|one| of_claim(one) && is_of_claims(one) && is_free(one))
        .max_by_key(|one| (one.spec.archived_at.0, Reverse(one.name_any())))
}

fn phase(archive: &Archive) -> ArchivePhase {
    archive.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

/// A claim that names an archive.
pub struct Request<'a> {
    /// The name that it gives.
    pub name: &'a str,
    /// The claim.
    pub claim: &'a Claim,
    /// The uid of its namespace.
    pub namespace_uid: Option<&'a str>,
    /// Its request.
    pub capacity: &'a Bytes,
    /// Its class.
    pub class: &'a Class,
    /// This installation.
    pub installation: &'a Installation,
}

/// Decides which archive a claim gets. The error is the sentence that refuses the claim.
pub fn decide(request: &Request<'_>, facts: Option<&RestoreFacts>) -> Result<Restored, String> {
    let Request { name, claim, class, .. } = *request;
    let namespace = &claim.namespace;
    if class.settings.archive_restore == Some(ArchiveRestore::Deny) {
        return Err(format!(
            "StorageClass {} does not let claims get archives ({}: deny); choose another class of share {}",
            class.name,
            Key::ArchiveRestore,
            class.share
        ));
    }
    if claim.selector.is_some() {
        return Err(format!(
            "the claim names Archive {name} and has a selector for existing volumes; remove spec.selector"
        ));
    }
    let facts = facts.ok_or_else(|| format!("the archives of namespace {namespace} were not read; try again"))?;
    let Some(archives) = &facts.archives else {
        return Err(format!(
            "there is no Archive {name}, because the definition {} is not installed; an administrator must install it",
            names::ARCHIVES
        ));
    };
    let none = format!("namespace {namespace} has no Archive {name}, and no archive of a claim {name}");
    if let Some(user) = facts.user.as_ref().filter(|user| !user.may_get) {
        return Err(format!(
            "{none}, that user {user} may read: the right to get {} in this namespace is missing; ask an administrator of \
             the namespace for it",
            names::ARCHIVES,
            user = user.name
        ));
    }
    let of = (namespace.as_str(), request.namespace_uid);
    let meant = meant(name, of, &facts.own_namespace, request.installation, archives);
    let usable = match meant {
        None => Err(none),
        Some(archive) => check(request, facts, archive).map(|record| (archive, record)),
    };
    // Another archive may be the right one only if this one cannot be used at all.
    let (archive, record) = usable.map_err(|why| match list(request, facts, archives, meant) {
        Some(list) => format!("{why}. {list}"),
        None => why,
    })?;
    fits(request, archive, &record)?;
    Ok(Restored {
        namespace: archive.namespace().unwrap_or_else(|| namespace.clone()),
        name: archive.name_any(),
        named: name.to_owned(),
        archive: record.directory,
        identity: record.identity,
        version: record.share.version(),
        attributes: class.settings.restore_attributes.unwrap_or(RestoreAttributes::Keep),
    })
}

/// The sentence that refuses a claim that names an archive and a volume.
pub(super) fn names_volume(claim: &Claim, archive: &str) -> String {
    let volume = claim.volume_name.as_deref().unwrap_or_default();
    format!("the claim names Archive {archive} and volume {volume}; remove one of the two")
}

/// Checks whether this archive can be used.
fn check(request: &Request<'_>, facts: &RestoreFacts, archive: &Archive) -> Result<ArchiveRecord, String> {
    let claim = request.claim;
    let name = archive.name_any();
    let record = ArchiveRecord::read(archive).map_err(|why| format!("Archive {name} cannot be used: {why}"))?;
    let volume = facts
        .volume
        .as_ref()
        .filter(|volume| volume.name == restored_volume(&record.key));
    if archive.metadata.deletion_timestamp.is_some() && volume.is_none() {
        return Err(format!("Archive {name} is being deleted, and its data with it"));
    }
    let claim_name = match &claim.name {
        Name::Given(claim_name) => Some(claim_name.as_str()),
        Name::Generate(_) => None,
    };
    let mut is_its_own = false;
    if let Some(volume) = volume {
        let asks = (claim.namespace.as_str(), claim_name, Some(&*claim.uid));
        match use_volume(volume, &name, asks, request.installation) {
            Err(Conflict::Refuse(why)) => return Err(why),
            Err(Conflict::Releasing(_)) => {}
            Ok(_) => is_its_own = true,
        }
    } else {
        match phase(archive) {
            ArchivePhase::Restored => return Err(format!("Archive {name} was restored already")),
            ArchivePhase::Missing => {
                return Err(format!(
                    "the directory of Archive {name} is not on its share; an Event of the Archive says more"
                ));
            }
            ArchivePhase::Available | ArchivePhase::Restoring => {}
        }
    }
    // The user may not know the names of other namespaces.
    if !is_its_own && same_archive(archive, &facts.same).is_some() {
        return Err(format!(
            "Archive {name} and another Archive name the same directory of share {}, so it is not known whose data it is; an \
             administrator must delete the wrong one, which removes no data while there are two: kubectl get archives -A -l \
             {}={}",
            record.share,
            names::ARCHIVE_KEY,
            archive.spec.key().unwrap_or_default()
        ));
    }
    // A claim that exists may have waited for its server. While it waits, its archive is not removed.
    let has_waited = !claim.uid.is_empty();
    let has_expired = record.expires().is_some_and(|until| until <= facts.now);
    if has_expired && !is_its_own && !has_waited && !is_kept(archive.keep_until(), facts.now) {
        let until = record.expires().map(|until| until.to_string()).unwrap_or_default();
        return Err(format!(
            "Archive {name} expired at {until}, and its data is removed soon, if it is still there; to get it, keep it \
             first, which needs the right to change Archives: kubectl annotate archive {name} -n {} --overwrite \
             bindery.dev/keep-until=forever",
            archive.namespace().unwrap_or_default()
        ));
    }
    Ok(record)
}

/// Checks whether class and size of the claim are right for an archive.
fn fits(request: &Request<'_>, archive: &Archive, record: &ArchiveRecord) -> Result<(), String> {
    let (class, name) = (request.class, archive.name_any());
    if record.share.server() != class.share.server() || record.share.path() != class.share.path() {
        return Err(format!(
            "Archive {name} is on share {}, and StorageClass {} is for share {}; choose a class of the share of the \
             Archive, with the same spelling of the server",
            record.share, class.name, class.share
        ));
    }
    if let Some(size) = size(archive).filter(|size| size.bytes > request.capacity.bytes) {
        return Err(format!(
            "Archive {name} needs a claim of at least {}, the size of its volume; this claim asks for {}",
            size.written, request.capacity.written
        ));
    }
    Ok(())
}

/// Returns another object that names the same archive, and so could be given its data, too.
fn same_archive<'a>(archive: &Archive, all: &'a [Archive]) -> Option<&'a Archive> {
    all.iter().find(|other| {
        other.uid() != archive.uid()
            && other.metadata.deletion_timestamp.is_none()
            && matches!(phase(other), ArchivePhase::Available | ArchivePhase::Restoring)
    })
}

fn size(archive: &Archive) -> Option<Bytes> {
    let capacity = archive.spec.capacity.as_ref()?;
    Bytes::read(&Quantity(capacity.clone()))
}

/// Returns the sentence that lists the archives of the namespace, newest first. `None` if the user may not list them.
fn list(request: &Request<'_>, facts: &RestoreFacts, archives: &[Archive], meant: Option<&Archive>) -> Option<String> {
    if !facts.user.as_ref()?.may_list {
        return None;
    }
    let namespace = &request.claim.namespace;
    let is_listed = |one: &&Archive| {
        let is_meant = meant.is_some_and(|meant| meant.name_any() == one.name_any());
        let of = (namespace.as_str(), request.namespace_uid);
        let alone = std::slice::from_ref(*one);
        let is_usable = self::meant(&one.name_any(), of, &facts.own_namespace, request.installation, alone).is_some();
        !is_meant && is_usable && phase(one) == ArchivePhase::Available && one.metadata.deletion_timestamp.is_none()
    };
    let mut listed: Vec<_> = archives.iter().filter(is_listed).collect();
    listed.sort_by_key(|one| (Reverse(one.spec.archived_at.0), one.name_any()));
    let other = if meant.is_some() { "other " } else { "" };
    if listed.is_empty() {
        return Some(format!("There are no {other}archives in namespace {namespace}"));
    }
    let mut texts: Vec<_> = listed.iter().take(MAX_LISTED).map(|one| shown(one)).collect();
    if listed.len() > MAX_LISTED {
        texts.push(format!("and {} more", listed.len() - MAX_LISTED));
    }
    Some(format!(
        "The {other}archives of namespace {namespace}: {}",
        texts.join(", ")
    ))
}

/// The name of an archive, with the claim, the size and the times.
pub fn shown(archive: &Archive) -> String {
    let spec = &archive.spec;
    let size = spec
        .capacity
        .as_ref()
        .map_or_else(String::new, |size| format!(", {size}"));
    let status = archive.status.as_ref().and_then(|status| status.expires_at.as_ref());
    let until = status.map_or_else(String::new, |until| format!(", until {}", until.0));
    format!(
        "{} (claim {}{size}, archived at {}{until})",
        archive.name_any(),
        spec.claim_name,
        spec.archived_at.0
    )
}

/// Decides whether a claim can use the existing volume that gets the archive. The claim is its namespace, its name, and its
/// uid if that is known.
pub fn use_volume(
    volume: &Volume,
    archive: &str,
    (namespace, name, uid): (&str, Option<&str>, Option<&str>),
    installation: &Installation,
) -> Result<UseExisting, Conflict> {
    let shown = &volume.name;
    let holder = volume.claim.as_ref();
    let claim = holder.map_or_else(
        || "no claim".to_owned(),
        |claim| format!("claim {}/{}", claim.namespace, claim.name),
    );
    let is_being_restored = volume.is_being_restored();
    let is_unclaimed = |name: &str| volume.is_unclaimed_for(namespace, name);
    if volume.maker.as_ref() != Some(installation) || volume.record.is_err() {
        return Err(Conflict::Refuse(format!(
            "PersistentVolume {shown} has the name of the volume that Archive {archive} would get, and is not one that this \
             Bindery can use; an administrator must look at it"
        )));
    }
    let has_uid = volume
        .claim_uid()
        .is_some_and(|held| uid == Some(held) && held != names::UNBOUND_UID);
    if has_uid && !volume.deleting {
        return Ok(UseExisting::AsItIs);
    }
    if is_being_restored && volume.deleting {
        return Err(Conflict::Releasing(format!(
            "Archive {archive} was being restored to {claim}, which did not get it, and is being put back"
        )));
    }
    if is_being_restored && name.is_some_and(is_unclaimed) {
        return Ok(UseExisting::Again);
    }
    Err(Conflict::Refuse(if is_being_restored {
        format!(
            "Archive {archive} is being restored to {claim} (PersistentVolume {shown}). If that claim is not created, the \
             archive is put back after some minutes"
        )
    } else {
        format!("Archive {archive} was restored to {claim} (PersistentVolume {shown})")
    }))
}

/// Decides whether a claim can use the existing volume that has the name of its new volume.
pub fn use_existing(volume: &Volume, new: &NewVolume, installation: &Installation) -> Result<UseExisting, Conflict> {
    let Some(restored) = &new.restored else {
        return conflict::use_existing(volume, new, installation);
    };
    let (namespace, name) = &new.claim;
    let claim = (namespace.as_str(), Some(name.as_str()), new.claim_uid.as_deref());
    match use_volume(volume, &restored.name, claim, installation) {
        Ok(UseExisting::Again) if !new.is_at(volume) => Err(Conflict::Releasing(format!(
            "Archive {} was being restored to another directory of this claim, and is being put back",
            restored.name
        ))),
        done => done,
    }
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;

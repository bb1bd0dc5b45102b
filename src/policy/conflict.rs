//! Decides what happens to a claim if a volume already has its directory, or a directory above or in it. So each directory
//! has at most one volume.

use super::key::Key;
use crate::model::choices::ExistingDirectory;
use crate::model::location::{Overlap, Relation};
use crate::model::names;
use crate::model::reclaim::Reclaim;
use crate::model::source::Source;
use crate::model::volume::{ClaimRef, Installation, NewVolume, Phase, Volume};

/// The next step if the other volume keeps the directory.
const CHOOSE_ANOTHER: &str = "choose another directory for this claim";

/// How a claim uses the existing volume that has the name of its new volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseExisting {
    /// An earlier attempt for this claim created it, and no claim has had it since: use it again.
    Again,
    /// The claim has this volume already: leave it unchanged.
    AsItIs,
}

/// Why a claim cannot have its directory now, as a sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The other volume is being removed: the claim can wait for its end.
    Releasing(String),
    /// The claim is refused.
    Refuse(String),
}

/// Decides whether a claim can use the existing volume that has the name of its new volume, and so the same directory.
pub fn use_existing(volume: &Volume, new: &NewVolume, installation: &Installation) -> Result<UseExisting, Conflict> {
    let directory = shown(new);
    let name = &volume.name;
    let owner = volume.claim.as_ref().map(|claim| (claim, claim.uid.as_deref()));
    let message = |why: String| format!("{directory} belongs to volume {name}, {why}");
    let refuse = |why: String| Err(Conflict::Refuse(message(why)));
    let releasing = |why: &str| Err(Conflict::Releasing(message(why.to_owned())));
    match owner {
        _ if volume.maker.as_ref() != Some(installation) => refuse(format!(
            "which another provisioner or another Bindery installation created; {CHOOSE_ANOTHER}"
        )),
        Some((_, Some(uid))) if new.claim_uid.as_deref() == Some(uid) && !volume.deleting => Ok(UseExisting::AsItIs),
        _ if volume.deleting => releasing("which is being cleaned up"),
        _ if volume.is_unclaimed_for(&new.claim.0, &new.claim.1) && new.is_at(volume) => Ok(UseExisting::Again),
        Some((_, Some(names::UNBOUND_UID))) => releasing("which is being created or removed"),
        // Its source, `spec.nfs` or `spec.csi`, cannot be changed.
        _ if volume.is_unclaimed_for(&new.claim.0, &new.claim.1) => {
            releasing("which an earlier request for this claim made with other parameters, and which is removed soon")
        }
        _ if volume.phase == Phase::Released && volume.reclaim == Reclaim::Delete => {
            releasing("whose claim was just deleted")
        }
        // If an administrator deletes this volume, its directory stays.
        _ if volume.phase == Phase::Released => refuse(match new.existing {
            ExistingDirectory::Adopt => format!(
                "which is Released and retains its data; to give this directory and its files to a new claim, run: \
                kubectl delete pv {name}"
            ),
            ExistingDirectory::Deny => format!(
                "which is Released and retains its data; to use the data, run: kubectl patch pv {name} --type merge -p \
                '{{\"spec\":{{\"claimRef\":null}}}}' and create the claim with spec.volumeName: {name}; to give the \
                claim an empty directory, run: kubectl delete pv {name} and move the directory away"
            ),
        }),
        // The claim was deleted, and perhaps created again. The controller manager has not set Released yet.
        Some((claim, Some(_))) if is_for(claim, new) && volume.reclaim == Reclaim::Delete => {
            releasing("whose claim was just deleted")
        }
        Some((claim, Some(_))) if is_for(claim, new) => refuse(format!(
            "which an earlier claim of this name had; in a few seconds Kubernetes sets PersistentVolume {name} to \
            Released, then create the claim again to read how to get the data"
        )),
        Some((claim, None)) if is_for(claim, new) => refuse(format!(
            "which is reserved for this claim and holds the data of an earlier one; to use the data, create the claim with \
            spec.volumeName: {name} and with a size and access modes that the volume has"
        )),
        Some((claim, _)) => refuse(format!(
            "which claim {}/{} uses; {CHOOSE_ANOTHER}",
            claim.namespace, claim.name
        )),
        None => refuse(format!(
            "which no claim uses; to use its data, create the claim with spec.volumeName: {name}"
        )),
    }
}

fn is_for(claim: &ClaimRef, new: &NewVolume) -> bool {
    (&claim.namespace, &claim.name) == (&new.claim.0, &new.claim.1)
}

/// Decides about a new volume whose directory is the directory of another volume, or is above or in it.
pub fn overlap_conflict(new: &NewVolume, other: &Volume, overlap: Overlap, installation: &Installation) -> Conflict {
    // A claim of this name was deleted and is created again. The controller manager has not set Released yet.
    let is_released = other.phase == Phase::Released || other.claim.as_ref().is_some_and(|claim| is_for(claim, new));
    let is_being_removed = other.deleting || (is_released && other.reclaim == Reclaim::Delete);
    // With the same server and path, both volumes would have the same name, and `use_existing` would decide.
    if is_being_removed && overlap.relation == Relation::Same && other.maker.as_ref() == Some(installation) {
        Conflict::Releasing(overlap_sentence(new, other, overlap, " and which is being cleaned up"))
    } else {
        let sentence = overlap_sentence(new, other, overlap, "");
        let otherwise = if overlap.why().is_some() { "otherwise " } else { "" };
        Conflict::Refuse(format!("{sentence}; {otherwise}{CHOOSE_ANOTHER}"))
    }
}

/// The sentence that says that the directory of a new volume is the same as, or overlaps with, the directory of another
/// volume. `state` is added to the clause about that volume.
fn overlap_sentence(new: &NewVolume, other: &Volume, overlap: Overlap, state: &str) -> String {
    let claim = other.claim.as_ref();
    let user = claim.map(|claim| {
        if is_for(claim, new) {
            format!(", which an earlier claim of this name had{state}")
        } else {
            format!(", which claim {}/{} uses{state}", claim.namespace, claim.name)
        }
    });
    let user = user.unwrap_or_default();
    let name = &other.name;
    let place = match &other.record {
        Err(_) if other.maker.is_none() => format!("that of volume {name}{user}, which Bindery did not create"),
        Err(unreadable) => format!("that of volume {name}, whose bindery.dev annotations cannot be read: {unreadable}"),
        Ok(record) => {
            let share = overlap
                .why()
                .map_or_else(String::new, |_| format!(" of share {}", record.share));
            format!("directory {}{share} of volume {name}{user}", record.directory.shown())
        }
    };
    let verb = if overlap.relation == Relation::Same {
        "is the same as"
    } else {
        "overlaps with"
    };
    let why = overlap.why().map_or_else(String::new, |why| format!("; {why}"));
    format!("{} {verb} {place}{why}", shown(new))
}

/// The sentence that refuses a claim whose directory already exists and has no volume. The caller has checked that no
/// volume has a directory above or in it.
pub fn exists_refusal(new: &NewVolume) -> String {
    let listed = |list: Key| {
        format!(
            "(StorageClass {} must list {} in {list})",
            new.class,
            Key::ExistingDirectory
        )
    };
    let adopt = format!("{}: adopt", Key::ExistingDirectory.annotation());
    let allow = match new.chosen_by {
        Source::Claim => format!(
            "set {adopt} on the claim, which chooses the directory {}",
            listed(Key::ClaimOverrides)
        ),
        Source::Namespace => format!(
            "ask an administrator to set {adopt} on the namespace, which chooses the directory {}",
            listed(Key::NamespaceOverrides)
        ),
        Source::Class | Source::Default => format!(
            "ask an administrator to delete the StorageClass and create it again with {}: adopt",
            Key::ExistingDirectory
        ),
    };
    format!(
        "{} already exists and may hold data, and {} is {} for this claim (bindery explain shows why); move the directory \
        away, give the claim another name, or {allow}",
        shown(new),
        Key::ExistingDirectory,
        ExistingDirectory::Deny.as_str()
    )
}

fn shown(new: &NewVolume) -> String {
    format!("directory {} of share {}", new.directory.shown(), new.share)
}

#[cfg(test)]
#[path = "conflict_tests.rs"]
mod tests;

//! Enforces that a directory has one volume: what happens to a claim whose directory, or a directory above or in it,
//! already has a volume.

use super::key::Key;
use crate::model::choices::ExistingDirectory;
use crate::model::location::{Location, Meeting, Relation};
use crate::model::names;
use crate::model::reclaim::Reclaim;
use crate::model::source::Source;
use crate::model::volume::{ClaimRef, Installation, NewVolume, Phase, Volume};

/// The result of comparing a new volume with an existing volume of the same name or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// An earlier call for this claim created it, and no claim has had it since: use it again.
    Reuse,
    /// It already is the volume of this claim.
    Own,
    /// It will soon be gone: the claim can wait for that. The sentence is for the user.
    Releasing(String),
    /// The claim is refused with this sentence.
    Refuse(String),
}

/// Compares a new volume with the existing volume of the same name.
pub fn name_conflict(volume: &Volume, new: &NewVolume, installation: &Installation) -> Conflict {
    let directory = shown(new);
    let name = &volume.name;
    let owner = volume.claim.as_ref().map(|claim| (claim, claim.uid.as_deref()));
    let told = |why: String| format!("{directory} belongs to volume {name}, {why}");
    let refuse = |why: String| Conflict::Refuse(told(why));
    match owner {
        _ if volume.maker.as_ref() != Some(installation) => refuse(
            "which another provisioner or another Bindery installation created; choose another directory for \
            this claim"
                .to_owned(),
        ),
        Some((_, Some(uid))) if new.claim_uid.as_deref() == Some(uid) && !volume.deleting => Conflict::Own,
        _ if volume.deleting => Conflict::Releasing(told("which is being cleaned up".to_owned())),
        _ if volume.awaits(&new.claim.0, &new.claim.1) && new.is_at(volume) => Conflict::Reuse,
        Some((_, Some(names::FENCE))) => Conflict::Releasing(told("which is being created or removed".to_owned())),
        _ if volume.phase == Phase::Released && volume.reclaim == Reclaim::Delete => {
            Conflict::Releasing(told("whose claim was just deleted".to_owned()))
        }
        // Deleting this volume keeps its directory.
        _ if volume.phase == Phase::Released => refuse(match new.existing {
            ExistingDirectory::Adopt => format!(
                "which is Released and retains its data; to give this directory and its files to a new claim, run: \
                kubectl delete pv {name}"
            ),
            ExistingDirectory::Deny => format!(
                "which is Released and retains its data; to free the directory, run kubectl delete pv {name} and move \
                the directory away, because this claim may not adopt it"
            ),
        }),
        // The claim is gone or was created again, and the controller manager has not noticed yet.
        Some((claim, Some(_))) if is_for(claim, new) && volume.reclaim == Reclaim::Delete => {
            Conflict::Releasing(told("whose claim was just deleted".to_owned()))
        }
        Some((claim, _)) => refuse(format!("which claim {}/{} uses", claim.namespace, claim.name)),
        None => refuse("which is reserved for a claim that names it in spec.volumeName".to_owned()),
    }
}

fn is_for(claim: &ClaimRef, new: &NewVolume) -> bool {
    (&claim.namespace, &claim.name) == (&new.claim.0, &new.claim.1)
}

/// The volume whose directory is the one at a location, or above or in it, if there is one among these: one that a claim has
/// had before one that is just being made. One that does not say where its directory is does not count. `name` is not meant.
pub fn overlapping<'a>(location: &Location<'_>, name: &str, others: &'a [Volume]) -> Option<(&'a Volume, Meeting)> {
    let meets = |other: &'a Volume| {
        let record = other.record.as_ref().ok().filter(|_| other.name != name)?;
        Some((other, location.meets(&record.location())?))
    };
    others
        .iter()
        .filter_map(meets)
        .min_by_key(|(other, _)| !other.was_given())
}

/// Compares a new volume with a volume whose directory is the same, or is above or in it.
pub fn overlap_conflict(new: &NewVolume, other: &Volume, meeting: Meeting, installation: &Installation) -> Conflict {
    // The claim is gone or was created again, and the controller manager has not noticed yet.
    let has_gone = other.phase == Phase::Released || other.claim.as_ref().is_some_and(|claim| is_for(claim, new));
    let leaves = other.deleting || (has_gone && other.reclaim == Reclaim::Delete);
    // If the names were the same, both would be one volume.
    if leaves && meeting.relation == Relation::Same && other.maker.as_ref() == Some(installation) {
        Conflict::Releasing(meeting_sentence(new, other, meeting, " and which is being cleaned up"))
    } else {
        Conflict::Refuse(meeting_sentence(new, other, meeting, ""))
    }
}

/// The sentence that the directory of a new volume is the same as, or overlaps with, the directory of another volume.
/// `state` is added to what is said about that volume.
fn meeting_sentence(new: &NewVolume, other: &Volume, meeting: Meeting, state: &str) -> String {
    let claim = other.claim.as_ref();
    let whose = claim.map(|claim| format!(", which claim {}/{} uses{state}", claim.namespace, claim.name));
    let whose = whose.unwrap_or_default();
    let name = &other.name;
    let place = match &other.record {
        Err(_) if other.maker.is_none() => format!("that of volume {name}{whose}, which Bindery did not create"),
        Err(unreadable) => format!("that of volume {name}, whose bindery.dev annotations cannot be read: {unreadable}"),
        Ok(record) => {
            let share = meeting
                .why()
                .map_or_else(String::new, |_| format!(" of share {}", record.share));
            format!("directory {}{share} of volume {name}{whose}", record.directory.shown())
        }
    };
    let verb = if meeting.relation == Relation::Same {
        "is the same as"
    } else {
        "overlaps with"
    };
    let why = meeting.why().map_or_else(String::new, |why| format!("; {why}"));
    format!("{} {verb} {place}{why}", shown(new))
}

/// The sentence that refuses a claim whose directory already exists without a volume. The caller has checked that no
/// other volume is above or in it.
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
        "{} already exists and may hold data; move it away, give the claim another name, or {allow}",
        shown(new)
    )
}

fn shown(new: &NewVolume) -> String {
    format!("directory {} of share {}", new.directory.shown(), new.share)
}

#[cfg(test)]
#[path = "conflict_tests.rs"]
mod tests;

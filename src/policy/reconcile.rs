//! What happens to a volume: the binder's and the cleanup's decisions, as one table.
//!
//! [`plan`] is asked again after every change and after every effect, so each answer is one step, and the steps may be
//! cut anywhere: what stands on the volume then leads to the same next step.

use super::decide;
use super::other_installation::NotOurs;
use crate::model::claim::Claim;
use crate::model::names;
use crate::model::on_delete::OnDelete;
use crate::model::reclaim::Reclaim;
use crate::model::volume::{Installation, Phase, Record, Volume};

/// What is known about the claim that a volume is for.
#[derive(Clone, Copy, Debug)]
pub enum ClaimState<'a> {
    /// Nobody has looked.
    Unknown,
    /// A live look found no claim of that name.
    Gone,
    /// A live look found this one.
    Exists(&'a Claim),
}

/// The next step for a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing, until something changes.
    Leave,
    /// Look at the claim and plan again.
    LookAtClaim,
    /// The marks cannot be read, so nothing is safe to do: a person must look.
    Broken(String),
    /// It has our finalizer, and this installation did not make it: do nothing, and tell who may.
    NotOurs(NotOurs),
    /// The claim has come: make sure of the directory, then write the claim's uid.
    Bind {
        /// The directory.
        record: Record,
        /// How the claim differs from what the volume was made for. The controller manager, which does not look, was
        /// faster: the claim may be in use, so it keeps the volume, and its user is told.
        difference: Option<String>,
    },
    /// The claim is not what the volume was made for, and nobody has bound them yet: tell its user, and take the volume
    /// back.
    Undo(String),
    /// The claim is gone: mark the volume deleted. The finalizer holds it.
    MarkDeleted,
    /// No claim has ever had it, and none is there that asks for it: mark it deleted once the grace is over, for the call
    /// that made it may still go on.
    Orphan,
    /// The same, but a claim of its name may still get it: look again when the grace is over.
    Waits,
    /// Take care of the directory, then remove the finalizer.
    Dispose(Dispose),
}

/// What happens to the directory before the finalizer goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dispose {
    /// Nothing.
    Keep(Record),
    /// It was never given to a claim: it goes if Bindery made it and nothing is in it, else it stays.
    RemoveUnused(Record),
    /// It goes to the trash and is removed.
    Delete(Record),
    /// It is renamed.
    Archive(Record),
}

/// Plans the next step. See the module.
pub fn plan(volume: &Volume, claim_state: ClaimState<'_>, installation: &Installation) -> Plan {
    if !volume.held {
        return Plan::Leave;
    }
    if volume.maker.as_ref() != Some(installation) {
        return not_ours(volume, installation);
    }
    if !volume.deleting && uid(volume) == Some(names::FENCE) {
        return awaited(volume, claim_state);
    }
    let settled = volume.ready && volume.phase != Phase::Released;
    let kept = volume.phase == Phase::Released && volume.reclaim == Reclaim::Retain;
    if !volume.deleting && (settled || kept) {
        return Plan::Leave;
    }
    let record = match &volume.record {
        Ok(record) => record.clone(),
        Err(wrong) => return Plan::Broken(wrong.clone()),
    };
    match (volume.deleting, volume.phase, in_use(volume, claim_state)) {
        (_, _, InUse::Unknown) => Plan::LookAtClaim,
        (true, _, InUse::Yes(_)) => Plan::Leave,
        (true, _, InUse::No) => Plan::Dispose(dispose(volume, record)),
        // The controller manager's view may be older than ours.
        (false, Phase::Released, InUse::Yes(_)) => Plan::Waits,
        // Without a uid somebody is about to free it for another claim.
        (false, Phase::Released, InUse::No) if uid(volume).is_none() => Plan::Leave,
        (false, Phase::Released, InUse::No) => Plan::MarkDeleted,
        (false, Phase::Unbound, InUse::No) if !volume.was_given() && record.identity.is_none() => {
            awaited(volume, claim_state)
        }
        (false, Phase::Bound | Phase::Unbound, InUse::No) => Plan::Leave,
        // Catch-up has given it, its directory is there, and the controller manager has not bound it yet: or binds another.
        (false, Phase::Unbound, InUse::Yes(claim)) if claim.volume_name.is_none() => Plan::Waits,
        (false, Phase::Bound | Phase::Unbound, InUse::Yes(claim)) => match decide::fits(claim, volume) {
            Err(difference) if uid(volume).is_none() => Plan::Undo(difference),
            fits => Plan::Bind {
                record,
                difference: fits.err(),
            },
        },
    }
}

/// A volume with our finalizer that this installation did not make. Several installations may be in one cluster: one does
/// not tell about another's volumes that are in use, nor about volumes of another provisioner.
fn not_ours(volume: &Volume, installation: &Installation) -> Plan {
    let leaving = volume.deleting || volume.phase == Phase::Released && volume.reclaim == Reclaim::Delete;
    match (&volume.maker, &volume.provisioner) {
        (Some(maker), _) if maker.provisioner == installation.provisioner && leaving => {
            Plan::NotOurs(NotOurs::OtherInstance)
        }
        (Some(_), _) => Plan::Leave,
        (None, Some(provisioner)) if *provisioner != installation.provisioner => Plan::Leave,
        (None, _) => Plan::NotOurs(NotOurs::Unmarked),
    }
}

/// A volume that no claim has had.
fn awaited(volume: &Volume, claim_state: ClaimState<'_>) -> Plan {
    match (&volume.claim, claim_state) {
        // It waits for a claim that an administrator names, or for none.
        (None, _) => Plan::Leave,
        (Some(_), ClaimState::Unknown) => Plan::LookAtClaim,
        // Catch-up may be about to finish it, or the controller manager to bind it.
        (Some(_), ClaimState::Exists(claim)) if claim.volume_name.as_ref() == Some(&volume.name) => Plan::Waits,
        (Some(_), ClaimState::Exists(claim))
            if claim.volume_name.is_none() && claim.class.as_deref().unwrap_or_default() == volume.class =>
        {
            Plan::Waits
        }
        (Some(_), ClaimState::Gone | ClaimState::Exists(_)) => Plan::Orphan,
    }
}

/// Whether a claim holds a volume.
pub(super) enum InUse<'a> {
    /// Nobody has looked.
    Unknown,
    /// This one.
    Yes(&'a Claim),
    /// None.
    No,
}

/// Whether a claim holds the volume: the one whose uid the volume names, or, before that is known, the one of its name
/// that names the volume.
pub(super) fn in_use<'a>(volume: &Volume, claim_state: ClaimState<'a>) -> InUse<'a> {
    let Some(meant) = &volume.claim else { return InUse::No };
    match claim_state {
        ClaimState::Unknown => InUse::Unknown,
        ClaimState::Gone => InUse::No,
        ClaimState::Exists(claim) => {
            let holds = match &meant.uid {
                // One that has another volume by now needs this one no more.
                Some(uid) => claim.uid == *uid && claim.volume_name.as_ref().is_none_or(|name| *name == volume.name),
                None => claim.volume_name.as_ref() == Some(&volume.name),
            };
            if holds { InUse::Yes(claim) } else { InUse::No }
        }
    }
}

fn uid(volume: &Volume) -> Option<&str> {
    volume.claim.as_ref()?.uid.as_deref()
}

fn dispose(volume: &Volume, record: Record) -> Dispose {
    match (volume.reclaim, record.on_delete) {
        _ if !volume.was_given() => Dispose::RemoveUnused(record),
        (Reclaim::Retain, _) | (_, OnDelete::Retain) => Dispose::Keep(record),
        (Reclaim::Delete, OnDelete::Delete) => Dispose::Delete(record),
        (Reclaim::Delete, OnDelete::Archive) => Dispose::Archive(record),
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;

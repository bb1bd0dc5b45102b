//! Decides the next step for a volume: binding and cleanup.
//!
//! [`plan`] is called after each change of a volume and after each step. A step may be interrupted at any time: the volume
//! then has a state for which [`plan`] returns the same step again.

use super::decide;
use super::other_installation::NotOurs;
use crate::model::claim::Claim;
use crate::model::on_delete::OnDelete;
use crate::model::reclaim::Reclaim;
use crate::model::volume::{Installation, Phase, Record, Volume};

/// The state of the claim in a volume's `claimRef`.
#[derive(Clone, Copy, Debug)]
pub enum ClaimState<'a> {
    /// It was not looked up.
    Unknown,
    /// The API server has no claim with this name.
    Gone,
    /// The API server has this claim.
    Exists(&'a Claim),
}

/// The next step for a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Do nothing until the volume or the claim changes.
    Leave,
    /// Look up the claim and plan again.
    LookUpClaim,
    /// The annotations are not valid, so no step is safe. An administrator must correct them.
    InvalidRecord(String),
    /// The volume has Bindery's finalizer, but this installation did not create it: report it, and do nothing else.
    NotOurs(NotOurs),
    /// The claim exists: make sure that the directory exists, then write the claim's uid.
    Bind {
        /// The directory.
        record: Record,
        /// How the claim differs from the claim for which the volume was created. The controller manager does not check
        /// this and has bound them already. A pod may use the claim, so the claim keeps the volume, and an Event informs
        /// its user.
        difference: Option<String>,
    },
    /// The claim differs from the claim for which the volume was created, and they are not bound yet: inform the user with
    /// an Event, and remove the volume.
    Undo(String),
    /// The claim is gone: delete the volume. The finalizer keeps it until its directory is cleaned up.
    MarkDeleted,
    /// No claim has had the volume, and no claim needs it: delete it after the grace period. Until then, the request that
    /// created it may still be running.
    Orphan,
    /// A claim may still get the volume, or has it and the controller manager has not seen that yet: look again after the
    /// grace period.
    Wait,
    /// Archive, remove or retain the directory, then remove the finalizer.
    Dispose(Dispose, Record),
}

/// What happens to the directory before the finalizer is removed. The order is from the value that keeps least to the value
/// that keeps most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dispose {
    /// No claim has had the volume: remove the directory if Bindery created it and it is empty.
    RemoveUnused,
    /// Move it to the trash, where it is removed.
    Delete,
    /// Rename it to its archive.
    Archive,
    /// Nothing.
    Keep,
}

/// Decides the next step for a volume.
pub fn plan(volume: &Volume, claim_state: ClaimState<'_>, installation: &Installation) -> Plan {
    if !volume.has_finalizer {
        return Plan::Leave;
    }
    if volume.maker.as_ref() != Some(installation) {
        return not_ours(volume, installation);
    }
    if !volume.deleting && volume.is_fenced() {
        return plan_fenced(volume, claim_state);
    }
    let is_ready = volume.ready && volume.phase != Phase::Released;
    let is_retained = volume.phase == Phase::Released && volume.reclaim == Reclaim::Retain;
    if !volume.deleting && (is_ready || is_retained) {
        return Plan::Leave;
    }
    let record = match &volume.record {
        Ok(record) => record.clone(),
        Err(error) => return Plan::InvalidRecord(error.clone()),
    };
    match (volume.deleting, volume.phase, in_use(volume, claim_state)) {
        (_, _, InUse::Unknown) => Plan::LookUpClaim,
        (true, _, InUse::Yes(_)) => Plan::Leave,
        (true, _, InUse::No) => Plan::Dispose(dispose(volume), record),
        // The controller manager may have seen an older state than Bindery.
        (false, Phase::Released, InUse::Yes(_)) => Plan::Wait,
        // An administrator has removed the uid, so that another claim can have the volume.
        (false, Phase::Released, InUse::No) if volume.claim_uid().is_none() => Plan::Leave,
        (false, Phase::Released, InUse::No) => Plan::MarkDeleted,
        (false, Phase::Unbound, InUse::No) if !volume.had_claim() && record.identity.is_none() => {
            plan_unused(volume, claim_state)
        }
        (false, Phase::Bound | Phase::Unbound, InUse::No) => Plan::Leave,
        // Bindery has written the claim's uid, and the directory exists. The controller manager has not bound the claim
        // yet, or binds it to another volume.
        (false, Phase::Unbound, InUse::Yes(claim)) if claim.volume_name.is_none() => Plan::Wait,
        (false, Phase::Bound | Phase::Unbound, InUse::Yes(claim)) => match decide::fits(claim, volume) {
            Err(difference) if volume.claim_uid().is_none() => Plan::Undo(difference),
            fits => Plan::Bind {
                record,
                difference: fits.err(),
            },
        },
    }
}

/// The step for a volume with Bindery's finalizer that this installation did not create. Several installations may
/// share a cluster: Bindery reports neither volumes of another instance that are in use, nor volumes of another
/// provisioner.
fn not_ours(volume: &Volume, installation: &Installation) -> Plan {
    let needs_cleanup = volume.deleting || volume.phase == Phase::Released && volume.reclaim == Reclaim::Delete;
    match (&volume.maker, &volume.provisioner) {
        (Some(maker), _) if maker.provisioner == installation.provisioner && needs_cleanup => {
            Plan::NotOurs(NotOurs::OtherInstance)
        }
        (Some(_), _) => Plan::Leave,
        (None, Some(provisioner)) if *provisioner != installation.provisioner => Plan::Leave,
        (None, _) => Plan::NotOurs(NotOurs::Unmarked),
    }
}

/// The step for a fenced volume. One that gets the directory of an archive is fenced until its claim exists. Then it is
/// compared with the claim, so that no other claim of this name gets the data.
fn plan_fenced(volume: &Volume, claim_state: ClaimState<'_>) -> Plan {
    match (&volume.record, claim_state) {
        (Ok(record), ClaimState::Exists(claim))
            if volume.is_being_restored() && claim.volume_name.as_ref() == Some(&volume.name) =>
        {
            match decide::fits(claim, volume) {
                Ok(()) => Plan::Bind {
                    record: record.clone(),
                    difference: None,
                },
                Err(difference) => Plan::Undo(difference),
            }
        }
        (Err(error), ClaimState::Exists(claim)) if claim.volume_name.as_ref() == Some(&volume.name) => {
            Plan::InvalidRecord(error.clone())
        }
        // The controller gives the volume to a waiting claim only if the claim names the archive. Another one may wait for ever.
        (Ok(record), ClaimState::Exists(claim))
            if claim.volume_name.is_none()
                && record
                    .restored
                    .as_ref()
                    .is_some_and(|archive| !archive.is_for(&claim.data_source)) =>
        {
            Plan::Orphan
        }
        _ => plan_unused(volume, claim_state),
    }
}

/// The step for a volume that no claim has had.
fn plan_unused(volume: &Volume, claim_state: ClaimState<'_>) -> Plan {
    match (&volume.claim, claim_state) {
        // Any claim may still name it.
        (None, _) => Plan::Leave,
        (Some(_), ClaimState::Unknown) => Plan::LookUpClaim,
        // Bindery may still complete it, or the controller manager may bind it.
        (Some(_), ClaimState::Exists(claim)) if claim.volume_name.as_ref() == Some(&volume.name) => Plan::Wait,
        (Some(_), ClaimState::Exists(claim))
            if claim.volume_name.is_none() && claim.class.as_deref().unwrap_or_default() == volume.class =>
        {
            Plan::Wait
        }
        (Some(_), ClaimState::Gone | ClaimState::Exists(_)) => Plan::Orphan,
    }
}

/// Whether a claim has a volume.
pub(super) enum InUse<'a> {
    /// The claim was not looked up.
    Unknown,
    /// This claim has it.
    Yes(&'a Claim),
    /// No claim has it.
    No,
}

/// Whether a claim has the volume: the claim with the uid in the volume's `claimRef`. If the `claimRef` has no uid: the
/// claim with the name in the `claimRef`, if it names the volume.
pub(super) fn in_use<'a>(volume: &Volume, claim_state: ClaimState<'a>) -> InUse<'a> {
    let Some(claim_ref) = &volume.claim else {
        return InUse::No;
    };
    match claim_state {
        ClaimState::Unknown => InUse::Unknown,
        ClaimState::Gone => InUse::No,
        ClaimState::Exists(claim) => {
            let holds = match &claim_ref.uid {
                // A claim that has another volume does not need this one.
                Some(uid) => claim.uid == *uid && claim.volume_name.as_ref().is_none_or(|name| *name == volume.name),
                None => claim.volume_name.as_ref() == Some(&volume.name),
            };
            if holds { InUse::Yes(claim) } else { InUse::No }
        }
    }
}

/// What happens to the directory of a volume when its claim is gone.
pub(super) fn dispose(volume: &Volume) -> Dispose {
    let on_delete = volume.record.as_ref().map(|record| record.on_delete);
    match (volume.reclaim, on_delete) {
        _ if !volume.had_claim() => Dispose::RemoveUnused,
        (Reclaim::Retain, _) | (_, Ok(OnDelete::Retain) | Err(_)) => Dispose::Keep,
        (Reclaim::Delete, Ok(OnDelete::Delete)) => Dispose::Delete,
        (Reclaim::Delete, Ok(OnDelete::Archive)) => Dispose::Archive,
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;

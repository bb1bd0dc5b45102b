//! Binds a volume to its claim.
//!
//! Trigger: a claim that names a volume of this installation. Order: (1) the directory is created if it is missing, or it is
//! the directory of an archive ([`super::restore`]); (2)
//! one JSON patch writes the claim's uid, the identity of the directory, and `ready`. After a crash between (1) and
//! (2), both are repeated. The uid is written once: the patch tests that the volume is the same and has no uid yet.

use serde_json::{Value, json};

use super::file_system::AtPath;
use super::overlap::OverlapState;
use super::step::Step;
use super::{class_mismatch, file_system, overlap, restore};
use crate::cluster::patch::{self, set, set_annotation, test, test_annotation};
use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::size_limit::{limit_size, missing_limit};
use crate::failpoints::{self, Point};
use crate::model::binder_mode::BinderMode;
use crate::model::claim::Claim;
use crate::model::names::{reason, volume_annotation};
use crate::model::volume::{Origin, Phase, Restored, Volume};
use crate::storage::Existing;

/// Binds the volume to its claim. After success the directory exists, and the volume is ready and has the claim's uid
/// and the directory's identity.
pub async fn bind(step: Step<'_>, claim: &Claim) -> Result<(), Error> {
    let Step {
        leader,
        ctx,
        volume,
        record,
    } = step;
    failpoints::point(Point::AnswerSent);
    // The webhook may not have been called for this volume, or may have stopped before its own search for overlaps.
    let cannot_overlap = record.directory.cannot_overlap(&volume.name);
    if !cannot_overlap {
        match overlap::find_overlap(step).await? {
            OverlapState::None => {}
            OverlapState::InUse(other) => {
                let overlap = format!(
                    "its directory {} overlaps with the directory of volume {other}",
                    record.directory
                );
                return undo_or_fail(leader, volume, claim, overlap).await;
            }
            OverlapState::BeingCreated(other) => return Err(Error::OverlapBeingCreated(other)),
        }
    }
    if record.group_range.is_some() {
        overlap::wait_for_cache(step).await?;
    }
    let archive = record.being_restored();
    let own_group = archive.and_then(Restored::own_group);
    let keeps_group = own_group.is_some() && own_group == volume.gid;
    let replace_group = || ctx.provisioner.replace_shared_group(volume, record, storage_deadline());
    if !keeps_group && Box::pin(replace_group()).await? {
        // The watch event of the volume triggers the next reconcile.
        return Ok(());
    }
    // The directory of a bound volume may be in use, and its user may have changed the mode. So the mode is not set
    // again.
    let existing = match (record.origin, volume.phase) {
        (Origin::New, Phase::Unbound) => Existing::SetAttributes,
        _ => Existing::LeaveAlone,
    };
    // An administrator has removed `ready` from a volume in use, so that its directory is created again.
    if archive.is_none()
        && volume.phase == Phase::Bound
        && ctx.look_up(&record.share, &record.directory).await?.is_none()
    {
        if record.identity.is_some() {
            file_system::check_file_system(step, AtPath::Nothing).await?;
        } else {
            file_system::check_root(step, AtPath::Nothing).await?;
        }
    }
    let identity = if let Some(archive) = archive {
        Box::pin(restore::complete(step, archive)).await?
    } else {
        let (share, directory) = (&record.share, &record.directory);
        let made = ctx
            .storage
            .make(share, directory, record.attributes, existing, storage_deadline());
        made.await?.identity
    };
    Box::pin(limit_size(ctx, record, volume.capacity.as_ref(), identity)).await?;
    if let Some(why) = Box::pin(missing_limit(ctx, volume, record)).await? {
        return refuse_or_fail(leader, volume, claim, why).await;
    }
    if !cannot_overlap && let Some(other) = overlap::volume_of_same_directory(step, identity) {
        let same = format!(
            "its directory {} is also the directory of volume {other}, by another name of the server or another path",
            record.directory
        );
        return undo_or_fail(leader, volume, claim, same).await;
    }
    let uid_is_missing = volume.claim_uid().is_none();
    if uid_is_missing && ctx.options.binder == BinderMode::Off {
        // kube-controller-manager writes the uid; the watch event triggers the next reconcile.
        return Ok(());
    }
    leader.may_act()?;
    // The tests fail if it is another volume, or if a later request has used the volume: then the claim was compared
    // with outdated settings.
    let mut operations = vec![
        patch::test_uid(volume),
        test_annotation(volume_annotation::ATTEMPT, volume.attempt.clone()),
    ];
    if uid_is_missing || volume.is_fenced() {
        // Another call may have decided that the claim does not get the volume.
        operations.push(patch::not_deleting());
        operations.push(test("/spec/claimRef/uid", json!(volume.claim_uid())));
        operations.push(set("/spec/claimRef/uid", json!(claim.uid)));
    }
    operations.extend(Box::pin(class_mismatch::policy_of_claims_class(step, claim)).await?);
    operations.push(test_annotation(volume_annotation::READY, Value::Null));
    operations.push(set_annotation(volume_annotation::DIRECTORY_ID, &identity.to_string()));
    // From now on it is a volume like any other.
    if let Some(archive) = archive {
        let origin = restore::origin_of_used(archive);
        operations.push(set_annotation(volume_annotation::DIRECTORY, origin.as_str()));
    }
    operations.push(set_annotation(volume_annotation::READY, "true"));
    patch::apply(&ctx.persistent_volumes(), &volume.name, operations).await?;
    failpoints::point(Point::UidSet);
    tracing::info!("bound the volume to its claim");
    ctx.metrics.step("bound");
    Ok(())
}

/// Removes a volume whose directory belongs to another volume. If a claim already has the volume, fails: an
/// administrator must decide.
async fn undo_or_fail(leader: &Leader, volume: &Volume, claim: &Claim, why: String) -> Result<(), Error> {
    match &volume.claim {
        Some(_) if !volume.had_claim() => undo(leader, volume, claim, &why).await,
        _ => Err(Error::Invalid(why)),
    }
}

/// Refuses a claim with the message that the webhook would have sent, and removes its volume. If the claim already has the
/// volume, fails: an administrator must decide.
async fn refuse_or_fail(leader: &Leader, volume: &Volume, claim: &Claim, why: String) -> Result<(), Error> {
    leader.ctx.events.warn(claim, reason::REFUSED, why.clone());
    if volume.had_claim() {
        return Err(Error::NoLimit(why));
    }
    remove_unbound(leader, volume).await
}

/// Removes a volume that its claim must not get, for example because the claim was changed after the decision. The
/// Event is written first, so that a crash cannot lose it. The volume is fenced before it is deleted, because
/// kube-controller-manager binds even a volume that is being deleted.
pub async fn undo(leader: &Leader, volume: &Volume, claim: &Claim, difference: &str) -> Result<(), Error> {
    report_changed(&leader.ctx, volume, claim, difference);
    remove_unbound(leader, volume).await
}

async fn remove_unbound(leader: &Leader, volume: &Volume) -> Result<(), Error> {
    let ctx = &leader.ctx;
    patch::remove_unused(&ctx.persistent_volumes(), volume).await?;
    ctx.metrics.step("undone");
    Ok(())
}

/// Writes an Event on a claim that differs from the claim for which its volume was created.
pub fn report_changed(ctx: &Context, volume: &Volume, claim: &Claim, difference: &str) {
    let note = format!(
        "volume {} was created for this claim, and then something changed the claim: {difference}. Delete the claim \
         and create it again. Check which admission webhook changes claims after Bindery's",
        volume.name
    );
    ctx.events.warn(claim, reason::CLAIM_CHANGED, note);
}

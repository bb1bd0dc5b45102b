//! Binds a volume to its claim.
//!
//! Trigger: a claim that names a volume of this installation. Order: (1) the directory is created if it is missing; (2)
//! one JSON patch writes the claim's uid, the identity of the directory, and `ready`. After a crash between the two,
//! both are done again. The uid is set once: the patch tests that it is the same volume, and that it has no uid yet.

use serde_json::{Value, json};

use super::overlap::OverlapState;
use super::step::Step;
use super::{class_mismatch, overlap};
use crate::cluster::patch::{self, set, set_annotation, test, test_annotation};
use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::failpoints::{self, Point};
use crate::model::binder_mode::BinderMode;
use crate::model::claim::Claim;
use crate::model::names::{reason, volume_annotation};
use crate::model::volume::{Origin, Phase, Volume};
use crate::storage::Existing;

/// Binds the volume to its claim. After success the directory exists, and the volume has the claim's uid, the
/// directory's identity, and is ready.
pub async fn bind(step: Step<'_>, claim: &Claim) -> Result<(), Error> {
    let Step {
        leader,
        ctx,
        volume,
        record,
    } = step;
    failpoints::point(Point::AnswerSent);
    // The webhook checks this before it creates the directory. It may have died before that, or not have been called.
    let cannot_overlap = record.directory.cannot_overlap(&volume.name);
    if !cannot_overlap {
        match overlap::find_overlap(step).await? {
            OverlapState::None => {}
            OverlapState::InUse(other) => {
                let overlap = format!(
                    "its directory {} overlaps with the directory of volume {other}",
                    record.directory
                );
                return take_back(leader, volume, claim, overlap).await;
            }
            OverlapState::BeingCreated(other) => return Err(Error::OverlapBeingMade(other)),
        }
    }
    // A process that died right after it created the volume has not compared its group with those of other volumes.
    if !volume.ready
        && record.group_range.is_some()
        && let Some(other) = volume_of_same_group(step)
    {
        let why = format!("its group is also the group of volume {other}; delete the claim and create it again");
        return take_back(leader, volume, claim, why).await;
    }
    // The directory of a bound volume may be in use: it keeps the mode that its user may have set.
    let existing = match (record.origin, volume.phase) {
        (Origin::New, Phase::Unbound) => Existing::SetAttributes,
        _ => Existing::LeaveAlone,
    };
    let made = ctx
        .storage
        .make(
            &record.share,
            &record.directory,
            record.attributes,
            existing,
            storage_deadline(),
        )
        .await?;
    if !cannot_overlap && let Some(other) = overlap::volume_of_same_directory(step, made.identity) {
        let same = format!(
            "its directory {} is also the directory of volume {other}, by another name of the server or another path",
            record.directory
        );
        return take_back(leader, volume, claim, same).await;
    }
    let uid_is_missing = volume.claim.as_ref().is_some_and(|claim| claim.uid.is_none());
    if uid_is_missing && ctx.options.binder == BinderMode::Off {
        // kube-controller-manager writes the uid, and that triggers the next reconcile.
        return Ok(());
    }
    leader.may_act()?;
    // Tests that it is the same volume, and that no later request has used it: the claim was compared with what the
    // last one wrote.
    let mut operations = vec![
        patch::test_uid(volume),
        test_annotation(volume_annotation::ATTEMPT, volume.attempt.clone()),
    ];
    if uid_is_missing {
        operations.push(test("/spec/claimRef/uid", Value::Null));
        operations.push(set("/spec/claimRef/uid", json!(claim.uid)));
    }
    operations.extend(class_mismatch::policy_of_claims_class(step, claim).await?);
    operations.push(test_annotation(volume_annotation::READY, Value::Null));
    operations.push(set_annotation(
        volume_annotation::DIRECTORY_ID,
        &made.identity.to_string(),
    ));
    operations.push(set_annotation(volume_annotation::READY, "true"));
    patch::apply(&ctx.persistent_volumes(), &volume.name, operations).await?;
    failpoints::point(Point::UidSet);
    tracing::info!("bound the volume to its claim");
    ctx.metrics.step("bound");
    Ok(())
}

/// Removes a volume whose directory belongs to another volume. If a claim has it already, an administrator must decide.
async fn take_back(leader: &Leader, volume: &Volume, claim: &Claim, why: String) -> Result<(), Error> {
    match &volume.claim {
        Some(claim_ref) if claim_ref.uid.is_none() => undo(leader, volume, claim, &why).await,
        _ => Err(Error::Invalid(why)),
    }
}

/// Returns another volume with the same group that pods may use already.
fn volume_of_same_group(step: Step<'_>) -> Option<String> {
    let volumes = step.ctx.cluster.volumes.store().state();
    let mut volumes = volumes.iter().map(|volume| volume.read());
    let other = volumes.find(|other| other.name != step.volume.name && other.ready && other.gid == step.volume.gid);
    other.map(|other| other.name.clone())
}

/// Removes a volume whose claim was changed after the decision. The Event is written first: after a crash between the
/// two nothing would write it. The volume is fenced before it is deleted, because kube-controller-manager binds even a
/// volume that is being deleted.
pub async fn undo(leader: &Leader, volume: &Volume, claim: &Claim, difference: &str) -> Result<(), Error> {
    let ctx = &leader.ctx;
    report_changed(ctx, volume, claim, difference);
    patch::fence_and_delete(&ctx.persistent_volumes(), &volume.name, patch::test_uid(volume)).await?;
    ctx.metrics.step("undone");
    Ok(())
}

/// Reports on a claim that it differs from what its volume was created for.
pub fn report_changed(ctx: &Context, volume: &Volume, claim: &Claim, difference: &str) {
    let note = format!(
        "volume {} was created for this claim, and then something changed the claim: {difference}. Delete the claim \
         and create it again. Check which admission webhook changes claims after Bindery's",
        volume.name
    );
    ctx.events.warn(claim, reason::CLAIM_CHANGED, note);
}

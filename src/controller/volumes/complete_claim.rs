//! Completes a claim: sets it to `Bound`, before kube-controller-manager does the same.
//!
//! Trigger: kube-controller-manager has set the volume to `Bound`, and the claim is still `Pending`. Bindery does not
//! write earlier, because kube-controller-manager sets a claim to `Lost` if the claim is bound and its volume is not.
//! kube-controller-manager needs two steps for each claim. Bindery does the second one, so many claims are bound in
//! half the time. If both programs do it, the later one finds nothing to write.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use crate::cluster::patch::{self, is_conflict, is_not_found, set_annotation};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::leader::kcm_nudge::BUSY;
use crate::failpoints::{self, Point};
use crate::model::binder_mode::BinderMode;
use crate::model::names::volume_annotation;
use crate::model::volume::{ClaimRef, Phase, Volume};

/// Completes the claim of a volume that is ready and `Bound`. Nudges kube-controller-manager if the volume is ready and
/// not `Bound` in time.
pub async fn complete(leader: &Leader, volume: &Volume) -> Result<Action, Error> {
    let ctx = &leader.ctx;
    let Some(claim) = claim_to_complete(ctx, volume) else {
        return Ok(Action::await_change());
    };
    if volume.phase != Phase::Bound {
        return nudge(leader, volume).await;
    }
    leader.kcm_nudge.kcm_is_active();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(ctx.cluster.client.clone(), &claim.namespace);
    let this = json!({"uid": claim.uid, "annotations": {volume_annotation::BIND_COMPLETED: "yes"}});
    let whole = json!({
        "metadata": this,
        "status": {
            "phase": "Bound",
            "accessModes": volume.access_modes,
            "capacity": volume.capacity.as_ref().map(|size| json!({"storage": size.written})),
        },
    });
    let written = claims
        .patch_status(&claim.name, &PatchParams::default(), &Patch::<Value>::Merge(whole))
        .await;
    failpoints::point(Point::ClaimCompleted);
    match written {
        Ok(_) => ctx.metrics.step("completed"),
        // The claim is gone, or another claim has its name.
        Err(error) if is_not_found(&error) || is_conflict(&error) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Action::await_change())
}

/// Returns the claim of a volume if, according to the cache, the volume is ready and the claim is pending.
pub fn claim_to_complete<'a>(ctx: &Context, volume: &'a Volume) -> Option<&'a ClaimRef> {
    if ctx.options.binder != BinderMode::Complete || !volume.ready || !ctx.is_own(volume) {
        return None;
    }
    let claim_ref = volume.claim.as_ref()?;
    let claim = ctx.pending_claim(volume)?;
    let claim = claim.read();
    let waits = claim.volume_name.as_ref() == Some(&volume.name) && claim_ref.uid.as_ref() == Some(&claim.uid);
    waits.then_some(claim_ref)
}

/// Writes an annotation to a volume, so that kube-controller-manager looks at it again. See
/// [`crate::controller::leader::kcm_nudge`].
async fn nudge(leader: &Leader, volume: &Volume) -> Result<Action, Error> {
    if let Some(remaining) = leader.unchanged_since.remaining(volume, BUSY) {
        return Ok(Action::requeue(remaining));
    }
    if !leader.kcm_nudge.try_nudge() {
        return Ok(Action::requeue(BUSY));
    }
    let now = jiff::Timestamp::now().to_string();
    let operations = vec![
        patch::test_uid(volume),
        set_annotation(volume_annotation::TOUCHED, &now),
    ];
    patch::apply(&leader.ctx.persistent_volumes(), &volume.name, operations).await?;
    Ok(Action::requeue(BUSY))
}

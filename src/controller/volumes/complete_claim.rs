//! The second half of binding: what the controller manager would write on the claim when its turn came.
//!
//! Trigger: a volume that the controller manager has marked `Bound` to the uid that the binder wrote, while its claim is
//! still `Pending`. Only then: a claim that says it is bound to a volume that does not say so is `Lost`. The controller
//! manager's queue has both halves of every claim in it; done here, the second costs it nothing, and a burst is through in
//! half the time. Who is first does not matter: the other finds nothing left to write.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use serde_json::{Value, json};

use crate::cluster::patch::{self, is_conflict, is_not_found, set_annotation};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::leader::kcm_nudge::PATIENCE;
use crate::failpoints::{self, Point};
use crate::model::binder_mode::BinderMode;
use crate::model::names::mark;
use crate::model::volume::{Phase, Volume};

/// Completes the claim of a volume that is ready, when the controller manager has had its say.
pub async fn complete(leader: &Leader, volume: &Volume) -> Result<Action, Error> {
    let ctx = &leader.ctx;
    let Some(claim) = completes(ctx, volume) else {
        return Ok(Action::await_change());
    };
    if volume.phase != Phase::Bound {
        return remind(leader, volume).await;
    }
    leader.kcm_nudge.kcm_is_active();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(ctx.cluster.client.clone(), &claim.namespace);
    let this = json!({"uid": claim.uid, "annotations": {mark::BIND_COMPLETED: "yes"}});
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
    if is_over(written)? {
        return Ok(Action::await_change());
    }
    ctx.metrics.step("completed");
    Ok(Action::await_change())
}

/// The claim that is to be completed, if this volume is ready for it and it waits, as far as the watch knows.
pub fn completes(ctx: &Context, volume: &Volume) -> Option<Pending> {
    if ctx.options.binder != BinderMode::Complete || !volume.ready || volume.maker.as_ref() != Some(&*ctx.installation)
    {
        return None;
    }
    let meant = volume.claim.as_ref()?;
    let uid = meant.uid.as_ref()?;
    let claim = ObjectRef::new(&meant.name).within(&meant.namespace);
    let claim = ctx.cluster.claims.get(&claim)?;
    let waits = *claim.uid == **uid && claim.is_pending() && claim.volume_name.as_deref() == Some(&*volume.name);
    waits.then(|| Pending {
        namespace: meant.namespace.clone(),
        name: meant.name.clone(),
        uid: uid.clone(),
    })
}

/// Any write makes the controller manager look at the volume again; some of its versions lose a race with themselves,
/// and then look after 15 s only. One that marks other volumes meanwhile is at work, and left alone.
async fn remind(leader: &Leader, volume: &Volume) -> Result<Action, Error> {
    if let Some(left) = leader.unchanged_since.remaining(volume, PATIENCE) {
        return Ok(Action::requeue(left));
    }
    if !leader.kcm_nudge.try_nudge() {
        return Ok(Action::requeue(PATIENCE));
    }
    let now = jiff::Timestamp::now().to_string();
    let operations = vec![patch::test_uid(volume), set_annotation(mark::TOUCHED, &now)];
    patch::apply(&leader.ctx.persistent_volumes(), &volume.name, operations).await?;
    Ok(Action::requeue(PATIENCE))
}

/// A claim whose volume is ready.
pub struct Pending {
    namespace: String,
    name: String,
    uid: String,
}

/// Whether the claim is gone, or another of its name is there.
fn is_over<T>(written: kube::Result<T>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(false),
        Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

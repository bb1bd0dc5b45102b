//! The second half of binding: what the controller manager would write on the claim when its turn came.
//!
//! Trigger: a volume that the controller manager has marked `Bound` to the uid that the binder wrote, while its claim is
//! still `Pending`. Only then: a claim that says it is bound to a volume that does not say so is `Lost`. The controller
//! manager's queue has both halves of every claim in it; done here, the second costs it nothing, and a burst is through in
//! half the time. Who is first does not matter: the other finds nothing left to write.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use serde_json::{Value, json};

use super::Volumes;
use super::failure::Failure;
use super::silence::PATIENCE;
use crate::cli::BinderMode;
use crate::crash::{self, Point};
use crate::fence::{self, annotate, is_gone, is_taken, patch};
use crate::names::mark;
use crate::volume::{Phase, Volume};

impl Volumes {
    /// Completes the claim of a volume that is ready, when the controller manager has had its say.
    pub(super) async fn complete(&self, object: &PersistentVolume, volume: &Volume) -> Result<Action, Failure> {
        if self.binder != BinderMode::Complete || !volume.ready || volume.maker.as_ref() != Some(&*self.us) {
            return Ok(Action::await_change());
        }
        let Some(claim) = self.pending(volume) else {
            self.grace.end(volume);
            return Ok(Action::await_change());
        };
        if volume.phase != Phase::Bound {
            return self.remind(volume).await;
        }
        self.silence.broken();
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.cluster.client.clone(), &claim.namespace);
        let (parameters, spec) = (PatchParams::default(), object.spec.as_ref());
        let this = json!({"uid": claim.uid, "annotations": {mark::BIND_COMPLETED: "yes"}});
        let whole = json!({
            "metadata": this,
            "status": {
                "phase": "Bound",
                "accessModes": spec.and_then(|spec| spec.access_modes.as_ref()),
                "capacity": spec.and_then(|spec| spec.capacity.as_ref()),
            },
        });
        let written = claims
            .patch_status(&claim.name, &parameters, &Patch::<Value>::Merge(whole))
            .await;
        crash::point(Point::ClaimCompleted);
        if is_over(written)? {
            return Ok(Action::await_change());
        }
        self.metrics.step("completed");
        Ok(Action::await_change())
    }

    /// The claim of a volume, if it names the volume and waits for it, as far as the watch knows.
    fn pending(&self, volume: &Volume) -> Option<Pending> {
        let meant = volume.claim.as_ref()?;
        let uid = meant.uid.as_ref()?;
        let claim = self
            .cluster
            .claims
            .get(&ObjectRef::new(&meant.name).within(&meant.namespace))?;
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
        let names = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_ref());
        let waits = claim.metadata.uid.as_ref() == Some(uid)
            && claim.metadata.deletion_timestamp.is_none()
            && names == Some(&volume.name)
            && phase.is_none_or(|phase| phase == "Pending");
        waits.then(|| Pending {
            namespace: meant.namespace.clone(),
            name: meant.name.clone(),
            uid: uid.clone(),
        })
    }

    /// Any write makes the controller manager look at the volume again; some of its versions lose a race with themselves,
    /// and then look after 15 s only. One that marks other volumes meanwhile is at work, and left alone.
    async fn remind(&self, volume: &Volume) -> Result<Action, Failure> {
        if let Some(left) = self.grace.left(volume, PATIENCE) {
            return Ok(Action::requeue(left));
        }
        if !self.silence.remind() {
            return Ok(Action::requeue(PATIENCE));
        }
        let now = jiff::Timestamp::now().to_string();
        let operations = vec![fence::uid(volume), annotate(mark::TOUCHED, &now)];
        patch(&self.api(), &volume.name, operations).await?;
        Ok(Action::requeue(PATIENCE))
    }
}

struct Pending {
    namespace: String,
    name: String,
    uid: String,
}

/// Whether the claim is gone, or another of its name is there.
fn is_over<T>(written: kube::Result<T>) -> Result<bool, Failure> {
    match written {
        Ok(_) => Ok(false),
        Err(error) if is_gone(&error) || is_taken(&error) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

//! One step of one volume: what is planned is carried out.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;

use crate::cluster::cache::CachedClaim;
use crate::cluster::patch;
use crate::controller::error::Failure;
use crate::controller::{LOOK_AGAIN, STORAGE_CALL, Volumes};
use crate::failpoints::{self, Point};
use crate::model::claim::Claim;
use crate::model::volume::Volume;
use crate::policy::reconcile::{Holder, Plan, plan};

impl Volumes {
    pub(in crate::controller) async fn step(&self, volume: &Volume) -> Result<Action, Failure> {
        if let Some(left) = self.is_too_early(volume) {
            return Ok(Action::requeue(left));
        }
        // Where the claim has come both are needed, and neither look waits for the other.
        let look = async {
            if self.is_asked_for(volume) {
                self.cluster.volume(&volume.name).await.map_err(Failure::from)
            } else {
                Ok(None)
            }
        };
        let (next, live) = tokio::try_join!(self.plan(volume), look)?;
        self.may_act()?;
        match next {
            (Plan::Bind { .. }, Some(claim)) => self.bind_live(live, &volume.name, &claim).await?,
            (Plan::Undo(difference), Some(claim)) => self.undo(volume, &claim, &difference).await?,
            (Plan::NotOurs(why), _) => return self.tell_not_ours(volume, why).await,
            (Plan::Broken(wrong), _) => return Err(Failure::Broken(wrong)),
            (Plan::MarkDeleted, _) => {
                patch::delete(&self.api(), volume).await?;
                failpoints::point(Point::MarkedDeleted);
            }
            (Plan::Orphan, _) if self.grace.left(volume, self.orphan_grace).is_none() => {
                self.remove_orphan(volume).await?;
            }
            (Plan::Orphan | Plan::Waits, _) => {
                let left = self.grace.left(volume, self.orphan_grace);
                return Ok(Action::requeue(left.unwrap_or(self.orphan_grace)));
            }
            (Plan::Dispose(_), _) => self.dispose_live(&volume.name).await?,
            // Its claim's going is told, but for a moment in which the watch is broken.
            (Plan::Leave, Some(_)) if volume.deleting => return Ok(Action::requeue(LOOK_AGAIN)),
            (Plan::Leave, _) => return self.complete(volume).await,
            (Plan::LookAtClaim | Plan::Bind { .. } | Plan::Undo(_), _) => {}
        }
        Ok(Action::await_change())
    }

    /// Its claim was looked at live a moment ago. A call that uses the volume again changes its version, and this fails.
    async fn remove_orphan(&self, volume: &Volume) -> Result<(), Failure> {
        patch::delete(&self.api(), volume).await?;
        self.grace.end(volume);
        tracing::info!("no claim has asked for this volume: it is taken away");
        self.metrics.step("orphan");
        Ok(())
    }

    async fn bind_live(&self, live: Option<Volume>, name: &str, claim: &Claim) -> Result<(), Failure> {
        let live = match live {
            Some(volume) => Some(volume),
            None => self.cluster.volume(name).await?,
        };
        let Some(volume) = live else { return Ok(()) };
        let Plan::Bind { record, difference } = plan(&volume, Holder::Here(claim), &self.us) else {
            // Its event follows.
            return Ok(());
        };
        self.bind(&volume, &record, claim).await?;
        self.tell_ignored(claim).await;
        if let Some(difference) = difference {
            self.tell_changed(&volume, claim, &difference);
        }
        Ok(())
    }

    /// Directories are touched on a live look at the volume only: the watch may be behind our own last step.
    async fn dispose_live(&self, name: &str) -> Result<(), Failure> {
        let Some(volume) = self.cluster.volume(name).await? else {
            return Ok(());
        };
        match self.plan(&volume).await? {
            (Plan::Dispose(dispose), _) => {
                let done = self.dispose(&volume, dispose).await;
                if matches!(done, Err(Failure::Storage(_) | Failure::OtherFileSystem(_))) {
                    self.catch_up_with(&volume).await;
                }
                done
            }
            // Its event follows.
            _ => Ok(()),
        }
    }

    /// For so long a volume is left to the call that has just made it: its claim comes after it, and is told.
    fn is_too_early(&self, volume: &Volume) -> Option<Duration> {
        let claim = volume.claim.as_ref()?;
        let is_new = volume.awaits(&claim.namespace, &claim.name) && !volume.is_fenced();
        let is_early = is_new && volume.maker.as_ref() == Some(&*self.us) && self.claim_of(volume).is_none();
        is_early.then(|| self.grace.left(volume, self.orphan_grace)).flatten()
    }

    /// Whether the claim that a volume is to be given to names it, as far as the watch knows.
    fn is_asked_for(&self, volume: &Volume) -> bool {
        let claim = self.claim_of(volume).filter(|_| !volume.ready && !volume.deleting);
        claim.is_some_and(|claim| claim.volume_name.as_deref() == Some(&*volume.name))
    }

    /// The claim that a volume is for, if it is not bound.
    fn claim_of(&self, volume: &Volume) -> Option<Arc<CachedClaim>> {
        let claim = volume.claim.as_ref()?;
        let claim = ObjectRef::new(&claim.name).within(&claim.namespace);
        self.cluster.claims.get(&claim)
    }

    pub(in crate::controller) async fn plan(&self, volume: &Volume) -> Result<(Plan, Option<Claim>), Failure> {
        let next = plan(volume, Holder::Unknown, &self.us);
        let (Plan::LookAtClaim, Some(meant)) = (&next, &volume.claim) else {
            return Ok((next, None));
        };
        let claim = self.cluster.claim(&meant.namespace, &meant.name).await?;
        Ok((
            plan(volume, claim.as_ref().map_or(Holder::Gone, Holder::Here), &self.us),
            claim,
        ))
    }

    pub(in crate::controller) fn api(&self) -> Api<PersistentVolume> {
        Api::all(self.cluster.client.clone())
    }

    /// Asked before every step that cannot be taken back: a replica that was paused may lead no more.
    pub(in crate::controller) fn may_act(&self) -> Result<(), Failure> {
        if self.term.holds() {
            Ok(())
        } else {
            Err(Failure::Stopping)
        }
    }

    /// When a call to an NFS server that starts now must have ended.
    pub(in crate::controller) fn soon() -> Instant {
        Instant::now() + STORAGE_CALL
    }
}

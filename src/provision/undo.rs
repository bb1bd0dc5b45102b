//! Fences or removes a volume that was created for a claim and that the claim does not get.
//!
//! kube-controller-manager binds a volume that names a claim as soon as a claim of that name exists. It does so even if
//! the claim has another class or names no volume. So a volume that a call may have created is fenced or removed before
//! the answer, within the time reserved for that. What is not done in this time is done after the answer.
//!
//! If the API server does not answer within this time, the claim is admitted. kube-controller-manager may then bind it
//! to the volume before the directory exists. No data is lost: the volume has the policy of this claim, pods wait for
//! the directory, and the controller creates the directory as soon as it sees the claim. A volume that was created for
//! *another* state of the claim ([`Provisioner::discard`]) must not stay, because its policy would be wrong.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::error::Error;
use super::provisioner::Provisioner;
use crate::cluster::api_error::{ApiFault, Kind};
use crate::cluster::patch;
use crate::model::names::volume_annotation;
use crate::model::volume::{NewVolume, Volume};
use crate::storage::Outcome;

/// The pauses before the attempts. A volume whose creation was not answered may appear only after the first attempt.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(5)];
/// The pause before an earlier volume is fenced again.
const RETRY_PERIOD: Duration = Duration::from_millis(250);
/// The number of attempts that are made before the answer, if there is time.
const ATTEMPTS_BEFORE_ANSWER: usize = 2;

/// What is done with a volume that the claim does not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undo {
    /// Fence it, so that it cannot be bound. It stays, because it records a directory that the NFS server may still
    /// create. The next attempt for the claim uses it, or the orphan cleanup removes it.
    Fence,
    /// Fence it, then delete it.
    Delete,
}

impl Undo {
    /// What is undone after this error. A call whose result is not known may still take effect, and the volume records it.
    pub fn after(error: &Error) -> Self {
        match error {
            Error::Storage(error) if error.outcome == Outcome::Unknown => Self::Fence,
            _ => Self::Delete,
        }
    }
}

impl Provisioner {
    /// Removes a volume that an earlier call created for another state of the claim, unless the claim exists and names
    /// the volume. If this fails, the claim must not be admitted.
    pub async fn discard(&self, volume: &Volume, deadline: Instant) -> Result<(), Error> {
        let Some(claim_ref) = &volume.claim else { return Ok(()) };
        let read = self.cluster.claim(&claim_ref.namespace, &claim_ref.name);
        let claim = self
            .api_call(format!("read claim {}", claim_ref.name), deadline, read)
            .await?;
        if claim.is_some_and(|claim| claim.volume_name.as_ref() == Some(&volume.name)) {
            return Ok(());
        }
        let volumes = self.volumes();
        let delete = async {
            if claim_ref.uid.is_some() && !volume.is_fenced() {
                patch::delete(&volumes, volume).await
            } else {
                patch::remove_unused(&volumes, volume).await
            }
        };
        let purpose = format!("delete PersistentVolume {}", volume.name);
        match Box::pin(self.api_call(purpose, deadline, delete)).await {
            Err(error) if error.api() == Some(Kind::NotFound) => Ok(()),
            done => done,
        }
    }

    /// Fences the volumes that earlier calls created for a claim of this namespace and name and that no claim has. A
    /// claim that is admitted without a volume must not be bound to one of them, because they may be for another class.
    /// The controller decides later whether one of them can be used. The volume of the caller's own `attempt` is not
    /// fenced. If this fails, the claim must not be admitted.
    pub async fn fence_earlier(
        &self,
        namespace: &str,
        name: &str,
        attempt: Option<&str>,
        deadline: Instant,
    ) -> Result<(), Error> {
        for cached in self.cluster.unclaimed_volumes(&self.installation, namespace, name) {
            let mut volume = Some(cached.read().clone());
            while let Some(earlier) = volume.filter(|volume| {
                let is_own = attempt.is_some() && volume.attempt.as_deref() == attempt;
                volume.is_unclaimed_for(namespace, name) && !volume.is_fenced() && !is_own
            }) {
                volume = match Box::pin(self.fence_unclaimed(&earlier, namespace, name, deadline)).await {
                    // An API server that has just started answers with errors for a moment.
                    Err(error) if error.may_pass() && Instant::now() + RETRY_PERIOD < deadline => {
                        tokio::time::sleep(RETRY_PERIOD).await;
                        Some(earlier)
                    }
                    changed => changed?,
                };
            }
        }
        Ok(())
    }

    /// Fences a volume unless the claim has it. If the volume was changed in the meantime, returns what it is now.
    async fn fence_unclaimed(
        &self,
        volume: &Volume,
        namespace: &str,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<Volume>, Error> {
        let purpose = format!("prevent the binding of this claim to PersistentVolume {}", volume.name);
        let volumes = self.volumes();
        let fence = async {
            let claim = self.cluster.claim(namespace, name).await?;
            if claim.is_some_and(|claim| claim.volume_name.as_ref() == Some(&volume.name)) {
                return Ok(());
            }
            patch::fence(&volumes, &volume.name, patch::test_uid(volume))
                .await
                .map(drop)
        };
        match self.api_call(purpose, deadline, fence).await {
            Ok(()) => Ok(None),
            Err(error) if error.api() == Some(Kind::NotFound) => Ok(None),
            // It may have been bound, fenced or deleted in the meantime.
            Err(error) if error.api() == Some(Kind::Conflict) => {
                let read = self.cluster.volume(&volume.name);
                self.api_call(format!("read PersistentVolume {}", volume.name), deadline, read)
                    .await
            }
            Err(error) => Err(error),
        }
    }

    /// Fences or removes the volume that this call has created, or may have created. Does not touch a volume of the
    /// same name that belongs to another call. Returns when the volume cannot be bound or does not exist, at the latest
    /// at `end`; a task does the rest after that.
    pub(super) async fn undo(&self, how: Undo, new: &NewVolume, end: Instant) {
        let (provisioner, new) = (self.clone(), new.clone());
        let (safe, is_safe) = oneshot::channel();
        self.tasks.spawn(async move {
            let mut safe = Some(safe);
            for (number, pause) in (1..).zip(PAUSES) {
                let stop = provisioner.tasks.stop();
                stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                let done = provisioner.try_to_undo(how, &new).await.map_err(ApiFault::from);
                let kind = done.as_ref().err().map(|fault| fault.kind);
                match &done {
                    Err(fault) if !matches!(fault.kind, Kind::Conflict | Kind::NotFound) => {
                        tracing::warn!(
                            volume = new.name,
                            "could not remove or fence a volume that no claim uses; Bindery tries again: {fault}"
                        );
                    }
                    _ => {}
                }
                // It is done, or the volume belongs to another call. A volume that is missing may still appear after
                // the first attempt.
                let is_done = matches!(kind, None | Some(Kind::Conflict));
                if is_done || (kind == Some(Kind::NotFound) && number >= ATTEMPTS_BEFORE_ANSWER) {
                    safe.take().map(|safe| safe.send(()));
                }
                if is_done {
                    return;
                }
            }
        });
        let _ = timeout_at(end, is_safe).await;
    }

    async fn try_to_undo(&self, how: Undo, new: &NewVolume) -> kube::Result<()> {
        let volumes = self.volumes();
        let is_of_this_call = patch::test_annotation(volume_annotation::ATTEMPT, new.attempt.as_str());
        match how {
            Undo::Fence if new.is_made_fenced() => return Ok(()),
            Undo::Fence => return patch::fence(&volumes, &new.name, is_of_this_call).await.map(drop),
            Undo::Delete => {}
        }
        if new.claim_uid.is_none() {
            let (namespace, name) = &new.claim;
            let claim = self.cluster.claim(namespace, name).await?;
            if claim.is_some_and(|claim| claim.volume_name.as_ref() == Some(&new.name)) {
                // A concurrent call has provisioned the claim.
                return Ok(());
            }
        }
        if new.is_made_fenced() {
            patch::delete_if_fenced(&volumes, &new.name, &new.attempt).await
        } else {
            patch::fence_and_delete(&volumes, &new.name, is_of_this_call).await
        }
    }
}

//! What becomes of a volume whose claim does not get it.
//!
//! A volume that names a claim is bound to the claim of that name as soon as it appears, whatever its class, and whether or
//! not it names the volume. So what a call may have made is fenced or taken back before its answer, as far as the time
//! that is set aside for that allows; what is left to do after that goes on after the answer.
//!
//! If the API server is silent until the end of that time, the claim is admitted all the same. Should the controller
//! manager then bind it to the volume before the directory is there, nothing is lost: the volume carries this claim's own
//! policy, pods wait for the directory, and the binder makes it as soon as it sees the claim. A volume that was made for
//! *another* state of the claim ([`Provisioner::discard`]) is not left so: its policy would be the wrong one.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::{Error, Provisioner};
use crate::cluster::api_error::{ApiFault, Kind};
use crate::cluster::patch;
use crate::model::names::mark;
use crate::model::volume::{NewVolume, Volume};

/// When to look for a volume that may still appear; each after the one before.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(5)];
/// The answer waits for so many of them.
const BEFORE_THE_ANSWER: usize = 2;

/// What to do with a volume that no claim has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undo {
    /// Nobody binds it: it stays as the record of what the NFS server may still do, for the claim's next try or as an orphan.
    Fence,
    /// It is fenced, then deleted.
    TakeBack,
}

impl Provisioner {
    /// Undoes a volume that an earlier call made and this answer does not use; unless the claim is there and names it. It
    /// was made for another state of the claim, so the claim must not be admitted if this fails.
    pub async fn discard(&self, volume: &Volume, deadline: Instant) -> Result<(), Error> {
        let Some(meant) = &volume.claim else { return Ok(()) };
        let look = self.cluster.claim(&meant.namespace, &meant.name);
        let claim = self.asked(format!("read claim {}", meant.name), deadline, look).await?;
        if claim.is_some_and(|claim| claim.volume_name.as_ref() == Some(&volume.name)) {
            return Ok(());
        }
        let volumes = self.volumes();
        let take_back = async {
            if meant.uid.is_some() {
                patch::delete(&volumes, volume).await
            } else {
                patch::fence_and_delete(&volumes, &volume.name, patch::test_uid(volume)).await
            }
        };
        let what = format!("delete PersistentVolume {}", volume.name);
        match Box::pin(self.asked(what, deadline, take_back)).await {
            Err(error) if error.api() == Some(Kind::NotFound) => Ok(()),
            done => done,
        }
    }

    /// Fences the volumes that earlier calls made for the claim of this namespace and name and that still wait for it. A
    /// claim that is admitted without a volume must get none of them from the controller manager: what they were made for may
    /// be another class. Whether one of them can be used is for the catch-up to say. `attempt` is the call that asks: its own
    /// volume is not touched. The claim must not be admitted if this fails.
    pub async fn fence_earlier(
        &self,
        namespace: &str,
        name: &str,
        attempt: Option<&str>,
        deadline: Instant,
    ) -> Result<(), Error> {
        for kept in self.cluster.unclaimed_volumes(&self.installation, namespace, name) {
            let mut volume = Some(kept.read().clone());
            while let Some(earlier) = volume.filter(|volume| {
                let is_own = attempt.is_some() && volume.attempt.as_deref() == attempt;
                volume.awaits(namespace, name) && !volume.is_fenced() && !is_own
            }) {
                let what = format!("prevent the binding of this claim to PersistentVolume {}", earlier.name);
                let volumes = self.volumes();
                let close = async {
                    let claim = self.cluster.claim(namespace, name).await?;
                    if claim.is_some_and(|claim| claim.volume_name.as_ref() == Some(&earlier.name)) {
                        return Ok(());
                    }
                    patch::fence(&volumes, &earlier.name, patch::test_uid(&earlier))
                        .await
                        .map(drop)
                };
                match self.asked(what, deadline, close).await {
                    Err(error) if error.api() == Some(Kind::NotFound) => break,
                    // It may have been bound, fenced or deleted meanwhile.
                    Err(error) if error.api() == Some(Kind::Conflict) => {
                        let look = self.cluster.volume(&earlier.name);
                        let what = format!("read PersistentVolume {}", earlier.name);
                        volume = self.asked(what, deadline, look).await?;
                    }
                    Err(error) => return Err(error),
                    Ok(()) => break,
                }
            }
        }
        Ok(())
    }

    /// Undoes what this very call has made, or may have made: the name may be another's by now. Returns when nobody can
    /// bind it or it is known to be absent, at the latest at `end`; the rest is done after that.
    pub(super) async fn undo(&self, how: Undo, new: &NewVolume, end: Instant) {
        let (provisioner, new) = (self.clone(), new.clone());
        let (safe, is_safe) = oneshot::channel();
        self.tasks.spawn(async move {
            let mut safe = Some(safe);
            for (number, pause) in (1..).zip(LOOKS) {
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
                // Done, or another call's by now, or always another's; absent, when it was looked for again.
                let over = matches!(kind, None | Some(Kind::Conflict));
                if over || (kind == Some(Kind::NotFound) && number >= BEFORE_THE_ANSWER) {
                    safe.take().map(|safe| safe.send(()));
                }
                if over {
                    return;
                }
            }
        });
        let _ = timeout_at(end, is_safe).await;
    }

    async fn try_to_undo(&self, how: Undo, new: &NewVolume) -> kube::Result<()> {
        let volumes = self.volumes();
        if new.claim_uid.is_some() {
            // It is fenced from the start.
            return match how {
                Undo::Fence => Ok(()),
                Undo::TakeBack => patch::delete_if_fenced(&volumes, &new.name, &new.attempt).await,
            };
        }
        let mine = patch::test_annotation(mark::ATTEMPT, new.attempt.as_str());
        if how == Undo::Fence {
            return patch::fence(&volumes, &new.name, mine).await.map(drop);
        }
        let (namespace, name) = &new.claim;
        let claim = self.cluster.claim(namespace, name).await?;
        if claim.is_some_and(|claim| claim.volume_name.as_ref() == Some(&new.name)) {
            // A call at the same time has brought it in.
            return Ok(());
        }
        patch::fence_and_delete(&volumes, &new.name, mine).await
    }
}

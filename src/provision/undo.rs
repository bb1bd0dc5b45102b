//! What becomes of a volume whose claim does not get it.

use std::time::Duration;

use tokio::time::Instant;

use super::{Failure, Provisioner};
use crate::fence::{self, is_gone};
use crate::names::mark;
use crate::volume::{NewVolume, Volume};

/// When to look for a volume that may still appear.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(4)];

impl Provisioner {
    /// Undoes a volume that an earlier call made and this answer does not use; unless the claim is there and names it.
    ///
    /// Before the answer: a volume that names a claim is bound to the claim of that name as soon as it appears, whatever
    /// its class, and whether or not it names the volume.
    pub async fn discard(&self, volume: &Volume, deadline: Instant) -> Result<(), Failure> {
        let Some(meant) = &volume.claim else { return Ok(()) };
        let look = self.cluster.claim(&meant.namespace, &meant.name);
        let claim = self.in_time("look for a claim of this name", deadline, look).await?;
        if claim.is_some_and(|claim| claim.volume_name.as_ref() == Some(&volume.name)) {
            return Ok(());
        }
        let volumes = self.volumes();
        let take_back = async {
            if meant.uid.is_some() {
                fence::delete(&volumes, volume).await
            } else {
                fence::take_back(&volumes, &volume.name, fence::uid(volume)).await
            }
        };
        match Box::pin(self.in_time("take a volume back", deadline, take_back)).await {
            Err(Failure::Api(_, error)) if is_gone(&error) => Ok(()),
            done => done,
        }
    }

    /// Undoes, after the answer, a volume whose making has failed or came to no known end: then it may appear later.
    /// Nothing but what this very call has made: the name may be another's.
    pub(super) fn abandon(&self, new: &NewVolume) {
        let (provisioner, new) = (self.clone(), new.clone());
        self.tasks.spawn(async move {
            for pause in LOOKS {
                let stop = provisioner.tasks.stop();
                stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                match provisioner.try_to_abandon(&new).await {
                    Ok(()) => return,
                    // Another call's by now, or always was.
                    Err(error) if fence::is_outdated(&error) => return,
                    Err(error) if is_gone(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, volume = new.name, "a volume that no claim uses could not be undone");
                    }
                }
            }
        });
    }

    async fn try_to_abandon(&self, new: &NewVolume) -> kube::Result<()> {
        if new.claim_uid.is_some() {
            return fence::give_up(&self.volumes(), &new.name, &new.attempt).await;
        }
        let (namespace, name) = &new.claim;
        let claim = self.cluster.claim(namespace, name).await?;
        if claim.is_some_and(|claim| claim.volume_name.as_ref() == Some(&new.name)) {
            // A call at the same time has brought it in.
            return Ok(());
        }
        fence::take_back(
            &self.volumes(),
            &new.name,
            fence::marked(mark::ATTEMPT, new.attempt.as_str()),
        )
        .await
    }

    /// Fences, after the answer, a volume whose directory the server may still make.
    pub(super) fn close(&self, new: &NewVolume) {
        if new.claim_uid.is_some() {
            // It is fenced from the start; the next try finishes it.
            return;
        }
        let (provisioner, new) = (self.clone(), new.clone());
        self.tasks.spawn(async move {
            let which = fence::marked(mark::ATTEMPT, new.attempt.as_str());
            match fence::close(&provisioner.volumes(), &new.name, which).await {
                Err(error) if !fence::is_outdated(&error) && !is_gone(&error) => {
                    tracing::warn!(%error, volume = new.name, "a volume that no claim uses could not be fenced");
                }
                _ => {}
            }
        });
    }
}

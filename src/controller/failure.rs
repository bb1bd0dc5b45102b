//! What went wrong in a turn, who is told, and when it is tried again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::runtime::controller::Action;

use super::Volumes;
use crate::cluster::fault::ApiFault;
use crate::fence;
use crate::names::reason;
use crate::storage::{Fault, StorageError};
use crate::volume::{Phase, Volume};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Also of what waits for a server that is down: the word that it is back comes sooner, and a crowd that asked again and
/// again would be a burden to the API server, and so to everybody.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// So many objects are remembered.
const MOST: usize = 10_000;
/// So often in a row is no coincidence any more.
const PERSISTENT: u32 = 5;

/// Why a turn did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API server.
    #[error("a request of Bindery's to the API server failed: {}", ApiFault::from(.0))]
    Api(#[from] kube::Error),
    /// The NFS server.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The volume's marks.
    #[error(
        "the volume cannot be looked after: {0}; correct it, or remove the finalizer bindery.dev/cleanup to keep the directory as it is"
    )]
    Broken(String),
    /// The share is not what it was when the directory was made.
    #[error("{0}")]
    OtherFileSystem(String),
    /// Another volume is just being made in the same place, and will back out.
    #[error("volume {0} is being made in the same place")]
    Neighbour(String),
    /// Another program made the volume, and Bindery cannot look after it.
    #[error("{0}")]
    NotTakenOver(String),
    /// The process is stopping, or another replica leads by now.
    #[error("Bindery is stopping here")]
    Stopping,
}

/// How often in a row each object's turn has failed.
#[derive(Default)]
pub struct Pauses(Mutex<HashMap<String, u32>>);

impl Pauses {
    /// One more failure: how many in a row there were, and the pause after it.
    pub fn next(&self, volume: &str) -> (u32, Duration) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MOST {
            // Of objects that are gone nobody says that they have ended.
            failures.clear();
        }
        let count = failures.entry(volume.to_owned()).or_default();
        *count += 1;
        (
            *count,
            FIRST_PAUSE.saturating_mul(1 << (*count - 1).min(10)).min(LONGEST_PAUSE),
        )
    }

    /// Whether an object waits after a failure.
    pub fn has(&self, object: &str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(object)
    }

    /// A turn went well.
    pub fn end(&self, volume: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(volume);
    }
}

impl Volumes {
    /// Tells whoever can act, and says when the volume is due again.
    pub(super) fn failed(&self, volume: &Volume, failure: &Failure) -> Action {
        let (times, mut pause) = self.pauses.next(&volume.name);
        // Counted before it is looked at: whoever is told that a server is down hears when it is back.
        if let (Failure::Storage(_), Ok(record)) = (failure, &volume.record)
            && self.outages.has(record.share.server())
        {
            pause = LONGEST_PAUSE;
        }
        let told = match failure {
            // Should the term go on after all, nothing is forgotten.
            Failure::Stopping => return Action::requeue(FIRST_PAUSE),
            Failure::NotTakenOver(why) => return self.not_taken_over(volume, why),
            Failure::Neighbour(_) if times < PERSISTENT => return Action::requeue(pause),
            // Somebody was faster; the volume's own event brings the new state. Unless it is always so.
            Failure::Api(error) if times < PERSISTENT && (fence::is_outdated(error) || fence::is_gone(error)) => {
                tracing::debug!(volume = volume.name, %error, "the volume has changed meanwhile");
                return Action::requeue(pause);
            }
            Failure::Api(_) => {
                tracing::warn!(volume = volume.name, ?pause, "{failure}; it is tried again");
                (times >= PERSISTENT).then_some("Api")
            }
            Failure::Storage(error) => Some(fault(error.fault)),
            Failure::Neighbour(_) => Some("Neighbour"),
            Failure::Broken(_) => Some("Broken"),
            Failure::OtherFileSystem(_) => Some("OtherFileSystem"),
        };
        self.metrics.step("failed");
        if let Some(cause) = told {
            self.tell(volume, cause, failure.to_string());
        }
        Action::requeue(pause)
    }

    /// An Event for each kind of cause: repetitions of one are counted, and keep the words of the first.
    fn tell(&self, volume: &Volume, cause: &'static str, mut note: String) {
        let leaving = volume.deleting || volume.phase == Phase::Released;
        let about = if leaving {
            reason::CLEANUP_FAILED
        } else {
            reason::PROVISIONING_FAILED
        };
        note.push_str(if note.ends_with('.') {
            " It is tried again"
        } else {
            ". It is tried again"
        });
        if leaving && volume.record.is_ok() {
            note.push_str(". To give the directory up and keep it as it is: kubectl annotate pv --overwrite ");
            note.push_str(&volume.name);
            note.push_str(" bindery.dev/on-delete=retain");
        } else {
            note.push('.');
        }
        self.events.warn(volume, about, cause, note);
    }
}

pub(super) fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::Unreachable => "Unreachable",
        Fault::TimedOut => "TimedOut",
        Fault::Busy => "Busy",
        Fault::NoSuchShare => "NoSuchShare",
        Fault::Denied => "Denied",
        Fault::ReadOnly => "ReadOnly",
        Fault::NoSpace => "NoSpace",
        Fault::NotADirectory => "NotADirectory",
        Fault::OtherFileSystem => "OtherFileSystem",
        Fault::Other => "Other",
    }
}

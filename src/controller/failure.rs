//! What went wrong in a turn, who is told, and when it is tried again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::runtime::controller::Action;

use super::Volumes;
use crate::fence;
use crate::names::reason;
use crate::storage::StorageError;
use crate::volume::Volume;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Why a turn did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API server.
    #[error("the API server refused a request: {0}")]
    Api(#[from] kube::Error),
    /// The NFS server.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The volume's marks.
    #[error(
        "the volume cannot be looked after: {0}; correct it, or remove the finalizer bindery.dev/cleanup to keep the directory as it is"
    )]
    Broken(String),
    /// The process is stopping.
    #[error("Bindery is stopping")]
    Stopping,
}

/// How often in a row each volume's turn has failed.
#[derive(Default)]
pub struct Pauses(Mutex<HashMap<String, u32>>);

impl Pauses {
    /// The pause after one more failure.
    fn next(&self, volume: &str) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(volume.to_owned()).or_default();
        *count += 1;
        FIRST_PAUSE.saturating_mul(1 << (*count - 1).min(10)).min(LONGEST_PAUSE)
    }

    /// A turn went well.
    pub fn end(&self, volume: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(volume);
    }
}

impl Volumes {
    /// Tells whoever can act, and says when the volume is due again.
    pub(super) fn failed(self: Arc<Self>, volume: &Arc<PersistentVolume>, failure: &Failure) -> Action {
        let volume = Volume::read(volume);
        let pause = self.pauses.next(&volume.name);
        match failure {
            Failure::Stopping => return Action::await_change(),
            // Somebody was faster; the volume's own event brings the new state.
            Failure::Api(error) if fence::is_outdated(error) || fence::is_gone(error) => {
                tracing::debug!(volume = volume.name, %error, "the volume has changed meanwhile");
                return Action::requeue(pause);
            }
            Failure::Api(error) => {
                tracing::warn!(volume = volume.name, %error, ?pause, "the API server refused a request; it is tried again");
            }
            Failure::Storage(_) | Failure::Broken(_) => {
                let about = if volume.deleting {
                    reason::CLEANUP_FAILED
                } else {
                    reason::PROVISIONING_FAILED
                };
                let hint = match (&volume.record, volume.deleting) {
                    (Ok(_), true) => {
                        "; to give the directory up and keep it as it is: kubectl annotate pv --overwrite ".to_owned()
                            + &volume.name
                            + " bindery.dev/on-delete=retain"
                    }
                    _ => String::new(),
                };
                let note = format!("{failure} (tried again in {}){hint}", pause_text(pause));
                let volumes = Arc::clone(&self);
                self.tasks
                    .spawn(async move { volumes.events.warn(&volume, about, note).await });
            }
        }
        self.metrics.step("failed");
        Action::requeue(pause)
    }
}

fn pause_text(pause: Duration) -> String {
    if pause < Duration::from_secs(1) {
        "a moment".to_owned()
    } else {
        format!("{} s", pause.as_secs())
    }
}

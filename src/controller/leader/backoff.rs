//! How long an object that failed waits.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The shortest pause.
pub const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Also of what waits for a server that is down: the word that it is back comes sooner, and a crowd that asked again and
/// again would be a burden to the API server, and so to everybody.
pub const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// So many objects are remembered, volumes and claims together.
const MOST: usize = 20_000;

/// How often in a row each object's turn has failed.
#[derive(Default)]
pub struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// One more failure: how many in a row there were, and the pause after it.
    pub fn record_failure(&self, volume: &str) -> (u32, Duration) {
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
    pub fn has_failed(&self, object: &str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(object)
    }

    /// A turn went well.
    pub fn reset(&self, volume: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(volume);
    }
}

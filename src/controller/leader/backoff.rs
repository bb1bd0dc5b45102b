//! How long a failed object waits before it is reconciled again.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

/// The first pause. It doubles with each failure.
pub const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause, also for objects on a server that is down: they are reconciled as soon as it answers, and many
/// objects that retry more often would only load the API server.
pub const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The number of failed objects that are remembered, volumes and claims together.
const MOST: usize = 20_000;

/// How often each object has failed in a row: volumes by name, claims by namespace and name.
#[derive(Default)]
pub struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// Counts one more failure. Returns the number of failures in a row, and the pause that follows.
    pub fn record_failure(&self, volume: &str) -> (u32, Duration) {
        let mut failures = self.0.lock();
        if failures.len() >= MOST {
            // Objects that were deleted after a failure are never reset.
            failures.clear();
        }
        let count = failures.entry(volume.to_owned()).or_default();
        *count += 1;
        (
            *count,
            FIRST_PAUSE.saturating_mul(1 << (*count - 1).min(10)).min(LONGEST_PAUSE),
        )
    }

    /// Returns whether the last reconcile of an object failed.
    pub fn has_failed(&self, object: &str) -> bool {
        self.0.lock().contains_key(object)
    }

    /// Forgets the failures of an object, after a reconcile that succeeded.
    pub fn reset(&self, volume: &str) {
        self.0.lock().remove(volume);
    }
}

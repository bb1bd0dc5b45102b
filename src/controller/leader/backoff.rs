//! The pause before a failed object is reconciled again.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

/// The first pause. It doubles with each failure.
pub const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The maximum pause. It also applies to objects on a server that does not answer: they are reconciled as soon as the
/// server answers, and more retries would only load the API server.
pub const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The maximum number of failed objects that are remembered, volumes and claims together.
const MAX_OBJECTS: usize = 20_000;

/// The number of failures in a row of each object. The key is the name of a volume, or the namespace and name of a
/// claim.
#[derive(Default)]
pub struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// Counts one more failure. Returns the number of failures in a row, and the pause that follows.
    pub fn record_failure(&self, object: &str) -> (u32, Duration) {
        let mut failures = self.0.lock();
        if failures.len() >= MAX_OBJECTS {
            // Objects that were deleted after a failure would stay in the map.
            failures.clear();
        }
        let count = failures.entry(object.to_owned()).or_default();
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

    /// Returns the number of failures in a row of an object.
    pub fn failures(&self, object: &str) -> u32 {
        self.0.lock().get(object).copied().unwrap_or_default()
    }

    /// Forgets the failures of an object, after a reconcile that succeeded.
    pub fn reset(&self, object: &str) {
        self.0.lock().remove(object);
    }
}

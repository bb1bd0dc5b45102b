//! Waits for a condition, never for a fixed time.

use std::time::{Duration, Instant};

/// How long a condition may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(15);

/// Calls `look` until it returns a value, for at most a minute. `what` describes the condition.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(LIMIT, what, look).await
}

/// Calls `look` until it returns a value, for at most `limit`. `what` describes the condition.
pub async fn eventually_within<T>(limit: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < limit, "not reached within {limit:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

//! Waits for a condition, never for a fixed time.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How long a condition may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(15);

/// How many times longer every time limit is, from `SLOWNESS`: servers on an emulated processor are slow.
static SLOWNESS: LazyLock<u32> = LazyLock::new(|| {
    let given = std::env::var("SLOWNESS").ok();
    given.map_or(1, |times| times.parse().expect("SLOWNESS is a number"))
});

/// Returns a time limit for the servers of this run.
pub fn scaled(limit: Duration) -> Duration {
    limit * slowness()
}

/// Returns how many times slower the servers of this run are than others.
pub fn slowness() -> u32 {
    *SLOWNESS
}

/// Calls `look` until it returns a value, for at most a minute. `what` describes the condition.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(scaled(LIMIT), what, look).await
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

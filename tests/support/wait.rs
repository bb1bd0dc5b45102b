//! Waiting for a condition, never for time.

use std::time::{Duration, Instant};

/// How long a condition may take on a busy machine before it counts as never.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(15);

/// Looks again and again until the look finds something.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "not reached within {PATIENCE:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

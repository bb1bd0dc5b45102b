//! The deadlines of one call: one for the work, and a later one for the answer.

use std::time::Duration;

use tokio::time::Instant;

/// The maximum time between the two deadlines.
const RESERVE: Duration = Duration::from_secs(1);

/// The deadlines of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For creating the volume and its directory.
    pub work: Instant,
    /// For the answer. In the time between `work` and `end`, a volume that must not be bound is fenced or removed.
    pub end: Instant,
}

impl Deadlines {
    /// Returns the deadlines of a call that starts now and may take this long. A fifth of the time, at most one second,
    /// is reserved for fencing or removing the volume.
    pub fn from_now(duration: Duration) -> Self {
        let end = Instant::now() + duration;
        Self {
            work: end - RESERVE.min(duration / 5),
            end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_fifth_and_at_most_a_second_is_reserved() {
        for (duration, work) in [(5_000, 4_000), (20_000, 19_000), (1_000, 800), (100, 80)] {
            let deadlines = Deadlines::from_now(Duration::from_millis(duration));
            assert_eq!(
                deadlines.work - Instant::now(),
                Duration::from_millis(work),
                "{duration} ms"
            );
            assert_eq!(deadlines.end - Instant::now(), Duration::from_millis(duration));
        }
    }
}

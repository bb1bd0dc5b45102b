//! The time of one call: a limit for the work, and a later one for what must be undone before the answer.

use std::time::Duration;

use tokio::time::Instant;

/// The longest time that is set aside.
const RESERVE: Duration = Duration::from_secs(1);

/// Limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For everything that the volume needs.
    pub work: Instant,
    /// For the answer. Between the two, a volume that must not be bound is fenced or taken back.
    pub end: Instant,
}

impl Deadlines {
    /// A call that begins now and may last so long. A fifth of it is set aside, at most a second.
    pub fn from_now(lasts: Duration) -> Self {
        let end = Instant::now() + lasts;
        Self {
            work: end - RESERVE.min(lasts / 5),
            end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_fifth_of_the_time_and_at_most_a_second_is_set_aside() {
        for (lasts, work) in [(5_000, 4_000), (20_000, 19_000), (1_000, 800), (100, 80)] {
            let deadlines = Deadlines::from_now(Duration::from_millis(lasts));
            assert_eq!(
                deadlines.work - Instant::now(),
                Duration::from_millis(work),
                "{lasts} ms"
            );
            assert_eq!(deadlines.end - Instant::now(), Duration::from_millis(lasts));
        }
    }
}

//! How fast the trees of one server are measured.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use crate::controller::leader::Leader;
use crate::model::directory::Share;
use crate::storage::Pace;

/// How far the calls may be behind the rate, and then catch up. A timer of Tokio is not more exact than 1 ms.
const CATCH_UP: Duration = Duration::from_millis(50);
/// The longest time for which a call waits for claims and cleanups. Otherwise a busy server would never be measured.
const LONGEST_YIELD: Duration = Duration::from_secs(1);
/// The time between two looks whether claims and cleanups still wait.
const YIELD: Duration = Duration::from_millis(20);

/// When the next call to a server may be sent.
#[derive(Clone)]
pub struct ServerRate {
    next: Arc<Mutex<Instant>>,
    interval: Duration,
}

impl ServerRate {
    /// Creates a rate of this number of calls a second.
    pub fn new(calls_per_second: u32) -> Self {
        Self {
            next: Arc::new(Mutex::new(Instant::now())),
            interval: Duration::from_secs(1) / calls_per_second.max(1),
        }
    }

    /// Waits until the next call may be sent.
    async fn wait(&self) {
        let now = Instant::now();
        let at = {
            let mut next = self.next.lock();
            let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
            let at = (*next).max(earliest);
            *next = at + self.interval;
            at
        };
        if at > now {
            sleep_until(at).await;
        }
    }
}

/// Lets a measurement wait for the rate of its server, and for claims and cleanups there.
pub struct YieldingPace<'a> {
    /// The queues of claims and cleanups.
    pub leader: &'a Leader,
    /// The share of the tree.
    pub share: &'a Share,
    /// The rate of its server.
    pub rate: ServerRate,
}

#[async_trait]
impl Pace for YieldingPace<'_> {
    async fn wait(&self) {
        self.rate.wait().await;
        let until = Instant::now() + LONGEST_YIELD;
        while self.leader.is_busy(self.share) && Instant::now() < until {
            sleep(YIELD).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_sent_at_their_rate() {
        let rate = ServerRate::new(100);
        let began = Instant::now();
        for _ in 0..201 {
            rate.wait().await;
        }
        let took = began.elapsed();
        assert!((1900..=2010).contains(&took.as_millis()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_not_caught_up() {
        let rate = ServerRate::new(100);
        sleep(Duration::from_mins(1)).await;
        let began = Instant::now();
        for _ in 0..101 {
            rate.wait().await;
        }
        assert!(began.elapsed() >= Duration::from_millis(940), "{:?}", began.elapsed());
    }
}

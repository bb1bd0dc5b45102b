//! When to touch a PersistentVolume so that kube-controller-manager looks at it again.
//!
//! Needed for Kubernetes 1.30 to 1.35, which Bindery supports: there kube-controller-manager can lose a race with its
//! own write (409), and then looks at the volume again only after 15 s. A nudge does harm while it has a long queue:
//! the nudge changes the volume, so kube-controller-manager's own write fails and is queued again. So Bindery touches
//! no volume within 5 s of its last write, and at most 10 volumes a second if it does not run.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long after a write kube-controller-manager is assumed to be busy, with this volume or with others.
pub const BUSY: Duration = Duration::from_secs(5);
/// The number of nudges in a row, after which there is a break of [`BREAK`].
const IN_A_ROW: u32 = 10;
const BREAK: Duration = Duration::from_secs(1);

/// Limits nudges, for all volumes.
#[derive(Default)]
pub struct KcmNudge(Mutex<State>);

#[derive(Default)]
struct State {
    /// No nudge before this time.
    not_before: Option<Instant>,
    nudges: u32,
}

impl KcmNudge {
    /// Records that kube-controller-manager has just marked a volume `Bound`.
    pub fn kcm_is_active(&self) {
        *self.0.lock() = State {
            not_before: Some(Instant::now() + BUSY),
            nudges: 0,
        };
    }

    /// Returns whether a volume may be touched now, and counts it.
    pub fn try_nudge(&self) -> bool {
        let mut state = self.0.lock();
        let now = Instant::now();
        if state.not_before.is_some_and(|time| now < time) {
            return false;
        }
        state.nudges += 1;
        if state.nudges == IN_A_ROW {
            (state.not_before, state.nudges) = (Some(now + BREAK), 0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_controller_manager_that_has_just_written_is_not_nudged() {
        let nudge = KcmNudge::default();
        nudge.kcm_is_active();
        assert!(!nudge.try_nudge());
        advance(BUSY).await;
        assert!(nudge.try_nudge());
        nudge.kcm_is_active();
        assert!(!nudge.try_nudge());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_controller_manager_a_few_volumes_a_second_are_touched() {
        let nudge = KcmNudge::default();
        let nudges = |nudge: &KcmNudge| (0..1000).filter(|_| nudge.try_nudge()).count();
        assert_eq!(nudges(&nudge), IN_A_ROW as usize);
        advance(BREAK).await;
        assert_eq!(nudges(&nudge), IN_A_ROW as usize);
    }
}

//! Decides when Bindery writes an annotation to a PersistentVolume so that kube-controller-manager looks at it again.
//! This write is called a nudge.
//!
//! Kubernetes 1.30 to 1.35 need it: there a write of kube-controller-manager can fail with 409 after its own earlier
//! write, and then it looks at the volume again only after 15 s. A nudge does harm if kube-controller-manager has a
//! long queue: the nudge changes the volume, so the next write of kube-controller-manager fails and is queued again. So
//! Bindery nudges no volume within 5 s after a write of kube-controller-manager, and at most 10 volumes a second.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The time after a write of kube-controller-manager in which no volume is nudged.
pub const BUSY: Duration = Duration::from_secs(5);
/// The number of nudges in a row. A pause of [`BREAK`] follows.
const IN_A_ROW: u32 = 10;
const BREAK: Duration = Duration::from_secs(1);

/// Limits the nudges of all volumes together.
#[derive(Default)]
pub struct KcmNudge(Mutex<State>);

#[derive(Default)]
struct State {
    /// No nudge before this time.
    not_before: Option<Instant>,
    nudges: u32,
}

impl KcmNudge {
    /// Records that kube-controller-manager has just set a volume to `Bound`.
    pub fn kcm_is_active(&self) {
        *self.0.lock() = State {
            not_before: Some(Instant::now() + BUSY),
            nudges: 0,
        };
    }

    /// Returns whether a volume may be nudged now. If so, counts the nudge.
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
    async fn without_a_controller_manager_ten_volumes_a_second_are_nudged() {
        let nudge = KcmNudge::default();
        let nudges = |nudge: &KcmNudge| (0..1000).filter(|_| nudge.try_nudge()).count();
        assert_eq!(nudges(&nudge), IN_A_ROW as usize);
        advance(BREAK).await;
        assert_eq!(nudges(&nudge), IN_A_ROW as usize);
    }
}

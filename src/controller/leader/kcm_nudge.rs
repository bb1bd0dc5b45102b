//! Whether the controller manager has gone silent, so that a reminder would help.
//!
//! One that works through a long queue comes to every volume by itself. Reminding it there does harm: the reminder is a
//! write, and a write of its own to the same volume, for which it has waited, then fails and is queued for again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For so long it may be busy, with this volume or with others.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// So many are reminded of in a row; then it has a moment to answer. While it is away, that is all that is written.
const IN_A_ROW: u32 = 10;
const MOMENT: Duration = Duration::from_secs(1);

/// What was heard of it.
pub struct KcmNudge(Mutex<State>);

struct State {
    /// Until then nobody reminds it.
    patience: Instant,
    nudges: u32,
}

impl Default for KcmNudge {
    fn default() -> Self {
        Self(Mutex::new(State {
            patience: Instant::now(),
            nudges: 0,
        }))
    }
}

impl KcmNudge {
    /// It has just marked a volume.
    pub fn kcm_is_active(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State {
            patience: Instant::now() + PATIENCE,
            nudges: 0,
        };
    }

    /// Takes the right to one reminder, if it is silent.
    pub fn try_nudge(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now < state.patience {
            return false;
        }
        state.nudges += 1;
        if state.nudges == IN_A_ROW {
            (state.patience, state.nudges) = (now + MOMENT, 0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_reminds_a_controller_manager_that_is_at_work() {
        let nudge = KcmNudge::default();
        nudge.kcm_is_active();
        assert!(!nudge.try_nudge());
        advance(PATIENCE).await;
        assert!(nudge.try_nudge());
        nudge.kcm_is_active();
        assert!(!nudge.try_nudge());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_away_is_reminded_of_a_few_volumes_a_second() {
        let nudge = KcmNudge::default();
        let nudges = |nudge: &KcmNudge| (0..1000).filter(|_| nudge.try_nudge()).count();
        assert_eq!(nudges(&nudge), IN_A_ROW as usize);
        advance(MOMENT).await;
        assert_eq!(nudges(&nudge), IN_A_ROW as usize);
    }
}

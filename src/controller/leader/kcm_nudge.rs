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
pub struct Silence(Mutex<Heard>);

struct Heard {
    /// Until then nobody reminds it.
    patience: Instant,
    reminders: u32,
}

impl Default for Silence {
    fn default() -> Self {
        Self(Mutex::new(Heard {
            patience: Instant::now(),
            reminders: 0,
        }))
    }
}

impl Silence {
    /// It has just marked a volume.
    pub fn broken(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Heard {
            patience: Instant::now() + PATIENCE,
            reminders: 0,
        };
    }

    /// Takes the right to one reminder, if it is silent.
    pub fn remind(&self) -> bool {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now < heard.patience {
            return false;
        }
        heard.reminders += 1;
        if heard.reminders == IN_A_ROW {
            (heard.patience, heard.reminders) = (now + MOMENT, 0);
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
        let silence = Silence::default();
        silence.broken();
        assert!(!silence.remind());
        advance(PATIENCE).await;
        assert!(silence.remind());
        silence.broken();
        assert!(!silence.remind());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_away_is_reminded_of_a_few_volumes_a_second() {
        let silence = Silence::default();
        let reminders = |silence: &Silence| (0..1000).filter(|_| silence.remind()).count();
        assert_eq!(reminders(&silence), IN_A_ROW as usize);
        advance(MOMENT).await;
        assert_eq!(reminders(&silence), IN_A_ROW as usize);
    }
}

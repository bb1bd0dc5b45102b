//! One server: how many calls it is asked at a time, and whether it answers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{Timestamp, Unit};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Outages;
use crate::model::directory::Share;
use crate::model::endpoint::Endpoint;
use crate::storage::{Fault, Outcome, StorageError};

/// Calls under way to one server. Far above what the loops have under way there, so that reviews find a place; the NFS
/// clients divide fewer connections among them, call by call.
pub(super) const MOST_CALLS: usize = 64;

/// See the module.
pub(super) struct Server {
    endpoint: Endpoint,
    places: Semaphore,
    /// None: it answers, as far as is known.
    doubt: watch::Sender<Option<Doubt>>,
    asked: Mutex<Instant>,
    outages: Outages,
}

/// Whether it answers is being found out.
struct Doubt {
    down: Option<Down>,
    /// Ends the probe when the doubt goes.
    _probe: DropGuard,
}

/// A probe got no answer.
#[derive(Clone)]
struct Down {
    since: Timestamp,
    fault: Fault,
    /// What the probe met last.
    why: String,
}

/// Why a call was not sent.
pub(super) enum NotSent {
    Down { fault: Fault, text: String },
    NoTurn,
}

impl Server {
    pub fn new(endpoint: Endpoint, outages: Outages) -> Self {
        Self {
            endpoint,
            places: Semaphore::new(MOST_CALLS),
            doubt: watch::Sender::default(),
            asked: Mutex::new(Instant::now()),
            outages,
        }
    }

    /// Waits for a place, as long as the server is not known to be down.
    pub async fn enter(&self, share: &Share, deadline: Instant) -> Result<SemaphorePermit<'_>, NotSent> {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let mut doubt = self.doubt.subscribe();
        tokio::select! {
            biased;
            down = doubt.wait_for(|doubt| doubt.as_ref().is_some_and(|doubt| doubt.down.is_some())) => {
                // The sender is in `self`.
                let down = down.ok().and_then(|doubt| doubt.as_ref()?.down.clone());
                Err(down.map_or(NotSent::NoTurn, |down| down.not_sent(share)))
            }
            place = timeout_at(deadline, self.places.acquire()) => match place {
                Ok(Ok(place)) => Ok(place),
                // It is never closed.
                Ok(Err(_)) | Err(_) => Err(NotSent::NoTurn),
            }
        }
    }

    /// It has answered: whatever was doubted of it is settled.
    pub fn answered(&self) {
        if self.settle(|endpoint| self.outages.end(endpoint)) {
            tracing::info!(server = %self.endpoint, "the server answers again");
        }
    }

    /// A call got no answer. Returns what ends the doubt if it is a new one: then a probe is to be started.
    pub fn doubt(&self) -> Option<CancellationToken> {
        let mut settled = None;
        self.doubt.send_if_modified(|doubt| {
            if doubt.is_none() {
                let token = CancellationToken::new();
                settled = Some(token.clone());
                *doubt = Some(Doubt {
                    down: None,
                    _probe: token.drop_guard(),
                });
            }
            settled.is_some()
        });
        settled
    }

    /// A probe got no answer.
    pub fn silent(&self, fault: Fault, why: String) {
        let mut began = false;
        self.doubt.send_modify(|doubt| {
            // It may have answered somebody else in this moment.
            let Some(doubt) = doubt else { return };
            let since = doubt.down.as_ref().map(|down| down.since);
            began = since.is_none();
            if began {
                self.outages.begin(&self.endpoint);
            }
            let since = since.unwrap_or_else(Timestamp::now);
            doubt.down = Some(Down { since, fault, why });
        });
        if began {
            tracing::warn!(server = %self.endpoint, "the server does not answer: calls fail at once until it does");
        }
    }

    /// Nobody has asked for it for so long.
    pub fn idle(&self) -> Duration {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Nobody cares any more whether it answers.
    pub fn forget(&self) {
        if self.settle(|endpoint| self.outages.forget(endpoint)) {
            tracing::info!(server = %self.endpoint, "nobody has asked for the server for long: it is forgotten that it is down");
        }
    }

    /// Ends all doubt. Whether it was down; then `tell` is told in the same moment, so that begin and end are told in order.
    fn settle(&self, tell: impl FnOnce(&Endpoint)) -> bool {
        let mut was_down = false;
        self.doubt.send_if_modified(|doubt| {
            let before = doubt.take();
            was_down = before.as_ref().is_some_and(|doubt| doubt.down.is_some());
            if was_down {
                tell(&self.endpoint);
            }
            before.is_some()
        });
        was_down
    }
}

impl Down {
    fn not_sent(&self, share: &Share) -> NotSent {
        let since = self.since.round(Unit::Second).unwrap_or(self.since);
        let text = format!(
            "{} has not answered since {since}, so nothing is sent to it until it does; it is probed every few seconds. \
             The last probe: {}",
            share.server(),
            self.why
        );
        NotSent::Down {
            fault: self.fault,
            text,
        }
    }
}

impl NotSent {
    /// In a word, for the metrics.
    pub fn why(&self) -> &'static str {
        match self {
            Self::Down { .. } => "down",
            Self::NoTurn => "too_many_calls",
        }
    }

    /// As the verb's error.
    pub fn error(self, server: &Server, share: &Share) -> StorageError {
        let (fault, text) = match self {
            Self::Down { fault, text } => (fault, text),
            Self::NoTurn => (
                Fault::TimedOut,
                format!(
                    "{MOST_CALLS} earlier calls to {} had not come to an end when the time was over. Check that the NFS \
                     server and its disks are well.",
                    server.endpoint
                ),
            ),
        };
        StorageError {
            fault,
            outcome: Outcome::NotDone,
            tried: format!("{share} cannot be used now"),
            cause: text,
        }
    }
}

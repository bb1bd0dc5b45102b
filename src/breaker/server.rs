//! One server: the limit of its calls in progress, and whether it answers.

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

/// The most calls in progress to one server. The controller has far fewer, so that reviews need not wait. The NFS clients
/// use fewer connections, and share them call by call.
pub(super) const MAX_CALLS: usize = 64;

/// The state of one server.
pub(super) struct Server {
    endpoint: Endpoint,
    permits: Semaphore,
    /// `None` if no call without an answer is known.
    probing: watch::Sender<Option<Probing>>,
    /// When a call last needed it.
    last_needed: Mutex<Instant>,
    outages: Outages,
}

/// A probe is in progress, because a call got no answer.
struct Probing {
    /// Set after the first probe without an answer.
    down: Option<Down>,
    /// Ends the probe when this is dropped.
    _probe: DropGuard,
}

/// The outage of a server whose probe got no answer.
#[derive(Clone)]
struct Down {
    since: Timestamp,
    fault: Fault,
    /// Why the last probe failed.
    why: String,
}

/// Why a call was not sent.
pub(super) enum NotSent {
    Down {
        fault: Fault,
        text: String,
    },
    /// Too many calls were in progress until the deadline.
    TooMany,
}

impl Server {
    pub fn new(endpoint: Endpoint, outages: Outages) -> Self {
        Self {
            endpoint,
            permits: Semaphore::new(MAX_CALLS),
            probing: watch::Sender::default(),
            last_needed: Mutex::new(Instant::now()),
            outages,
        }
    }

    /// Waits until the call may be sent. Fails at once if the server is down.
    pub async fn acquire(&self, share: &Share, deadline: Instant) -> Result<SemaphorePermit<'_>, NotSent> {
        *self.last_needed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let mut probing = self.probing.subscribe();
        tokio::select! {
            biased;
            down = probing.wait_for(|probing| probing.as_ref().is_some_and(|probing| probing.down.is_some())) => {
                // The sender is in `self`.
                let down = down.ok().and_then(|probing| probing.as_ref()?.down.clone());
                Err(down.map_or(NotSent::TooMany, |down| down.not_sent(share)))
            }
            permit = timeout_at(deadline, self.permits.acquire()) => match permit {
                Ok(Ok(permit)) => Ok(permit),
                // It is never closed.
                Ok(Err(_)) | Err(_) => Err(NotSent::TooMany),
            }
        }
    }

    /// Records that the server has answered: the probe ends.
    pub fn answered(&self) {
        if self.end_probing(|endpoint| self.outages.end(endpoint)) {
            tracing::info!(server = %self.endpoint, "the server answers again");
        }
    }

    /// Records that a call got no answer. If it returns a token, the caller must start a probe, and end it with the token.
    pub fn begin_probing(&self) -> Option<CancellationToken> {
        let mut answered = None;
        self.probing.send_if_modified(|probing| {
            if probing.is_none() {
                let token = CancellationToken::new();
                answered = Some(token.clone());
                *probing = Some(Probing {
                    down: None,
                    _probe: token.drop_guard(),
                });
            }
            answered.is_some()
        });
        answered
    }

    /// Records that a probe got no answer: the server is down.
    pub fn probe_failed(&self, fault: Fault, why: String) {
        let mut began = false;
        self.probing.send_modify(|probing| {
            // The server may have answered another call at the same moment.
            let Some(probing) = probing else { return };
            let since = probing.down.as_ref().map(|down| down.since);
            began = since.is_none();
            let since = since.unwrap_or_else(Timestamp::now);
            if began {
                self.outages.begin(&self.endpoint, since);
            }
            probing.down = Some(Down { since, fault, why });
        });
        if began {
            tracing::warn!(server = %self.endpoint, "the server does not answer; calls to it fail at once until it answers");
        }
    }

    /// Returns how long no call has needed the server.
    pub fn idle(&self) -> Duration {
        self.last_needed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }

    /// Ends the probe because no call needs the server any more.
    pub fn forget(&self) {
        if self.end_probing(|endpoint| self.outages.forget(endpoint)) {
            tracing::info!(server = %self.endpoint, "no call has needed the server for some minutes; it is no longer probed");
        }
    }

    /// Ends the probe, and returns whether the server was down. If it was, calls `announce` under the lock, so that the
    /// begin and the end of outages are announced in order.
    fn end_probing(&self, announce: impl FnOnce(&Endpoint)) -> bool {
        let mut was_down = false;
        self.probing.send_if_modified(|probing| {
            let before = probing.take();
            was_down = before.as_ref().is_some_and(|probing| probing.down.is_some());
            if was_down {
                announce(&self.endpoint);
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
    /// The reason as a label of the metrics.
    pub fn why(&self) -> &'static str {
        match self {
            Self::Down { .. } => "down",
            Self::TooMany => "too_many_calls",
        }
    }

    /// Returns the error of the call.
    pub fn error(self, server: &Server, share: &Share) -> StorageError {
        let (fault, text) = match self {
            Self::Down { fault, text } => (fault, text),
            Self::TooMany => (
                Fault::TimedOut,
                format!(
                    "{MAX_CALLS} earlier calls to {} were still running at the deadline. Check that the NFS \
                     server and its disks work.",
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

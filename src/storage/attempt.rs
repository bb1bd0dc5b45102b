//! Runs a verb on an NFS server or on a mount: its deadline, its retries, and its outcome when it fails.
//!
//! - If a call that changes something got no answer, the verb starts again ([`RoundError::Retry`]). It finds out from the
//!   server whether the call was carried out; each verb says how.
//! - If the server asks to try a call again later, the call is sent again after a pause, until the deadline.
//! - At the deadline the work is dropped at any point.
//!
//! [`super::nfs`] and [`super::mounted`] differ in how a call is sent, and in which calls are sent again.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout_at};

use super::no_answer;
use crate::model::directory::Share;
use crate::storage::attributes::AttributeError;
use crate::storage::error::Reason;
use crate::storage::messages;
use crate::storage::refusal::{self, Action, ErrorContext};
use crate::storage::status::Status;
use crate::storage::{Outcome, StorageError};

/// How often connections and sessions may be lost during one verb. Idle ones do not count: a restart of the server loses all
/// of them at once.
const MAX_FAILURES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Why one round of a verb has no result.
#[derive(Debug)]
pub(super) enum RoundError {
    /// The verb begins again.
    Retry(RetryReason),
    /// The verb fails.
    Failed(StorageError),
}

impl From<StorageError> for RoundError {
    fn from(error: StorageError) -> Self {
        Self::Failed(error)
    }
}

/// Why a verb begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryReason {
    /// A call that changes something got no answer.
    Lost,
    /// The server has done a part of a call and asked to try again later; the pause is over. (Version 4 only.)
    Later,
    /// Something was replaced or removed between two calls.
    Changed(Status),
    /// The directory of the share was replaced or removed.
    ShareChanged(Status),
}

/// What a verb waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiting<P> {
    /// A condition for sending a call.
    Prerequisite(P),
    /// The answer to a call.
    Answer,
    /// The end of a pause: the server asked to try again later.
    Later(Status),
}

/// How calls reach a server of one kind.
pub(super) trait Transport: Sized + Send + Sync + 'static {
    /// What must happen before a call can be sent.
    type Prerequisite: Copy + Send;
    /// A resource that each verb has for itself.
    type Session: Send + Sync;

    /// Returns the message that a prerequisite was not met before the deadline.
    fn prerequisite_timeout(context: &ErrorContext<'_>, prerequisite: Self::Prerequisite) -> Reason;
    /// Returns the share and the identity of this client, for error messages.
    fn context<'a>(&'a self, share: &'a Share) -> ErrorContext<'a>;
}

/// One run of a verb.
pub(super) struct Attempt<'a, T: Transport> {
    pub(super) server: &'a Arc<T>,
    share: &'a Share,
    /// What the verb does, as text after "cannot".
    what: String,
    deadline: Instant,
    pub(super) session: OnceCell<T::Session>,
    pub(super) state: Arc<Mutex<State<T::Prerequisite>>>,
}

#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct State<P> {
    /// The caller does not wait any more.
    pub abandoned: bool,
    /// Changes without an answer may have been made, or only a part of the verb's changes is made.
    pub maybe_changed: bool,
    /// The number of calls that change something and have no answer yet, or got none and may still take effect.
    pub in_progress: usize,
    /// A call that makes the verb's directory or sets its attributes got no answer in an earlier round. If the directory
    /// exists now, it counts as made by this verb.
    pub maybe_made: bool,
    pub waiting: Waiting<P>,
    pub failures: u32,
    /// The latest failure does not count: its session or connection had been idle, or another call lost its own at the same
    /// time.
    pub uncounted: bool,
    pause: Duration,
}

impl<'a, T: Transport> Attempt<'a, T> {
    pub fn new(server: &'a Arc<T>, share: &'a Share, what: String, deadline: Instant) -> Self {
        let state = State {
            abandoned: false,
            maybe_changed: false,
            in_progress: 0,
            maybe_made: false,
            waiting: Waiting::Answer,
            failures: 0,
            uncounted: false,
            pause: FIRST_PAUSE,
        };
        Self {
            server,
            share,
            what,
            deadline,
            session: OnceCell::new(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Runs rounds of a verb until one has a result, or until the deadline.
    pub async fn run<'b, R>(&self, once: impl Fn() -> BoxFuture<'b, Result<R, RoundError>>) -> Result<R, StorageError> {
        self.until_deadline(async {
            loop {
                match once().await {
                    Ok(done) => return Ok(done),
                    Err(RoundError::Failed(error)) => return Err(error),
                    // The pause is over.
                    Err(RoundError::Retry(RetryReason::Later)) => {}
                    Err(RoundError::Retry(RetryReason::Lost)) => {
                        let lost = io::ErrorKind::ConnectionReset.into();
                        self.failure(None, || no_answer::broken(&lost)).await?;
                    }
                    Err(RoundError::Retry(RetryReason::Changed(status))) => {
                        let changing = || refusal::keeps_changing(self.context().status_name(status));
                        self.failure(None, changing).await?;
                    }
                    Err(RoundError::Retry(RetryReason::ShareChanged(status))) => {
                        self.failure(None, || messages::share_is_gone(&self.context(), status))
                            .await?;
                    }
                }
            }
        })
        .await
    }

    async fn until_deadline<R>(&self, work: impl Future<Output = Result<R, StorageError>>) -> Result<R, StorageError> {
        // After the deadline no call is sent: nobody would wait for its answer.
        if self.deadline <= Instant::now() {
            return Err(self.timed_out());
        }
        timeout_at(self.deadline, work)
            .await
            .unwrap_or_else(|_| Err(self.timed_out()))
    }

    /// Returns the error of the verb: the server answered `action` with `status`.
    pub fn refused(&self, action: Action<'_>, status: Status) -> RoundError {
        RoundError::Failed(self.error(messages::refused(&self.context(), action, status)))
    }

    /// Returns the error of the verb: a directory does not have the wanted attributes.
    pub fn wrong_attributes(&self, error: &AttributeError) -> RoundError {
        match *error {
            AttributeError::Refused(action, status) => self.refused(action, status),
            AttributeError::Owner => self.refused(Action::SetOwner, Status::PERM),
        }
    }

    /// Returns the error of the verb, for a reason without a status.
    pub fn fails(&self, reason: Reason) -> RoundError {
        RoundError::Failed(self.error(reason))
    }

    /// Returns the error of the verb: a reply lacks a result that it must contain.
    pub fn incomplete(&self) -> RoundError {
        self.malformed("a reply lacks what was asked for")
    }

    /// Returns the error of the verb: an answer does not follow the protocol.
    pub fn malformed(&self, what: &'static str) -> RoundError {
        self.fails(messages::malformed(self.share, what))
    }

    /// Records whether a failure from now on may leave a part of the verb done.
    pub fn partly_done(&self, partly: bool) {
        self.state().maybe_changed = partly;
    }

    /// Waits before the next call, after the server answered `status`.
    pub async fn pause(&self, status: Status) {
        let pause = {
            let mut state = self.state();
            state.waiting = Waiting::Later(status);
            let next = (state.pause * 2).min(LONGEST_PAUSE);
            std::mem::replace(&mut state.pause, next)
        };
        sleep(pause).await;
    }

    /// Records that the server has answered: the next pause is short again.
    pub fn answered(&self) {
        self.state().pause = FIRST_PAUSE;
    }

    pub fn share(&self) -> &'a Share {
        self.share
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Counts a failure. After the first one the next attempt follows at once: usually the server had closed an idle
    /// connection. `later` is the status if the server asked to try again later.
    pub async fn failure(&self, later: Option<Status>, reason: impl FnOnce() -> Reason) -> Result<(), StorageError> {
        let failures = {
            let mut state = self.state();
            let uncounted = std::mem::take(&mut state.uncounted);
            state.failures += u32::from(!uncounted);
            state.failures
        };
        match later {
            Some(status) => self.pause(status).await,
            None if failures > MAX_FAILURES => return Err(self.error(reason())),
            None if failures > 1 => sleep(FIRST_PAUSE * failures).await,
            None => {}
        }
        Ok(())
    }

    fn timed_out(&self) -> StorageError {
        let context = self.context();
        let waiting = self.state().waiting;
        self.error(match waiting {
            Waiting::Prerequisite(prerequisite) => T::prerequisite_timeout(&context, prerequisite),
            Waiting::Answer => messages::timed_out(&context),
            Waiting::Later(status) => messages::busy(&context, status),
        })
    }

    fn error(&self, reason: Reason) -> StorageError {
        let maybe_changed = {
            let mut state = self.state();
            // Under the same lock, so that no further change begins.
            state.abandoned = true;
            state.maybe_changed || state.in_progress > 0
        };
        let outcome = if maybe_changed {
            Outcome::Unknown
        } else {
            Outcome::NotDone
        };
        StorageError::of(&self.what, self.share, reason, outcome)
    }

    pub fn context(&self) -> ErrorContext<'a> {
        self.server.context(self.share)
    }

    pub fn state(&self) -> MutexGuard<'_, State<T::Prerequisite>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Transport> Drop for Attempt<'_, T> {
    fn drop(&mut self) {
        self.state().abandoned = true;
    }
}

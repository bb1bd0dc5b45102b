//! One run of a verb over NFS, of whatever version: its deadline, its retries, and what is known of it when it fails.
//!
//! - A call that changes something got no answer: [`RoundError::Retry`]. The verb starts over and finds out from what is
//!   there; each verb says how.
//! - The server asks to come back later: after a pause, until the deadline.
//! - The deadline: everything is dropped where it stands.
//!
//! How a call is sent, and which ones are sent again, is each version's own: [`super::v4`], [`super::v3`].

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout_at};

use crate::model::directory::Share;
use crate::storage::attributes::AttributeError;
use crate::storage::messages::{self, Action, ErrorContext};
use crate::storage::status::Status;
use crate::storage::{Fault, Outcome, StorageError};

/// So often may connections and sessions be lost under one verb. Those that were at rest do not count: after a restart of
/// the server all of them are lost at once.
const MOST_FAILURES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A step of a verb did not come to an end.
#[derive(Debug)]
pub(super) enum RoundError {
    /// Begin the verb again.
    Retry(RetryReason),
    /// Give up.
    Failed(StorageError),
}

/// Why a verb begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryReason {
    /// A call that changes something got no answer.
    Lost,
    /// The server did a part of a call and asked to come back later; the pause is over. (Version 4 only.)
    Later,
    /// Something was replaced or removed between two calls.
    Changed(Status),
}

/// What lends the sessions or connections that calls go through, and knows what can go wrong with them.
pub(super) trait Protocol {
    /// What a verb waits for.
    type Waiting: Copy;
    /// Why a call has no answer.
    type Cause;

    /// What a verb waits for at first.
    const FIRST: Self::Waiting;

    /// The server asked to come back later.
    fn later(status: Status) -> Self::Waiting;
    /// The connection broke.
    fn broken(error: io::Error) -> Self::Cause;
    /// What the server answered cannot be.
    fn malformed(what: &'static str) -> Self::Cause;
    /// What was found is no longer there at the next call, again and again.
    fn keeps_changing(status: Status) -> Self::Cause;
    /// With what status the server asked to come back later, if that is the cause.
    fn retry_later_status(_: &Self::Cause) -> Option<Status> {
        None
    }

    /// The call has no answer, for people.
    fn failed(context: &ErrorContext<'_>, cause: &Self::Cause) -> (Fault, String);
    /// The deadline came, for people.
    fn timed_out(context: &ErrorContext<'_>, waiting: Self::Waiting) -> (Fault, String);
    /// Where the verb takes place.
    fn context<'a>(&self, share: &'a Share) -> ErrorContext<'a>;
}

/// See the module.
pub(super) struct Attempt<'a, L: Protocol> {
    pub(super) server: &'a Arc<L>,
    share: &'a Share,
    /// What the verb does, to follow the word "cannot".
    what: String,
    deadline: Instant,
    state: Mutex<State<L::Waiting>>,
}

pub(super) struct State<Waiting> {
    /// A change may have been made that the verb does not know of, or only a part of what it is to do.
    pub unsure: bool,
    /// Calls that change something and have no answer yet.
    pub under_way: usize,
    /// A call that changes something was lost, and nothing keeps it from coming late. (Version 3 only.)
    pub lost: bool,
    pub waiting: Waiting,
    pub failures: u32,
    /// The latest failure does not count: its session or connection had been at rest, or was lost together with that of
    /// another call that was under way at the same time.
    pub excused: bool,
    pause: Duration,
}

impl<'a, L: Protocol> Attempt<'a, L> {
    pub fn new(server: &'a Arc<L>, share: &'a Share, what: String, deadline: Instant) -> Self {
        let state = State {
            unsure: false,
            under_way: 0,
            lost: false,
            waiting: L::FIRST,
            failures: 0,
            excused: false,
            pause: FIRST_PAUSE,
        };
        Self {
            server,
            share,
            what,
            deadline,
            state: Mutex::new(state),
        }
    }

    /// Runs `once` until it comes to an end, or the deadline does.
    pub async fn run<'b, T>(&self, once: impl Fn() -> BoxFuture<'b, Result<T, RoundError>>) -> Result<T, StorageError> {
        self.until_deadline(async {
            loop {
                match once().await {
                    Ok(done) => return Ok(done),
                    Err(RoundError::Failed(error)) => return Err(error),
                    Err(RoundError::Retry(again)) => self.count(again).await?,
                }
            }
        })
        .await
    }

    async fn until_deadline<T>(&self, work: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
        // A call that is sent when the time is over could not be waited for.
        if self.deadline <= Instant::now() {
            return Err(self.timed_out());
        }
        timeout_at(self.deadline, work)
            .await
            .unwrap_or_else(|_| Err(self.timed_out()))
    }

    /// The verb fails: at `step`, the server answered `status`.
    pub fn refused(&self, action: Action<'_>, status: Status) -> RoundError {
        let (fault, text) = messages::refused(&self.context(), action, status);
        RoundError::Failed(self.error(fault, &text))
    }

    /// The verb fails: a directory is not as it was asked for.
    pub fn wrong_attributes(&self, error: &AttributeError<Action<'_>, Status>) -> RoundError {
        match *error {
            AttributeError::Refused(action, status) => self.refused(action, status),
            AttributeError::Owner => self.refused(Action::SetOwner, Status::PERM),
            AttributeError::Mode { is, wanted } => {
                let (fault, text) = messages::other_mode(is, wanted);
                self.fails(fault, &text)
            }
        }
    }

    /// The verb fails for a reason that is no status.
    pub fn fails(&self, fault: Fault, text: &str) -> RoundError {
        RoundError::Failed(self.error(fault, text))
    }

    /// The server left out of a reply what it must hold.
    pub fn incomplete(&self) -> RoundError {
        self.malformed("a reply lacks what was asked for")
    }

    /// What the server answered cannot be.
    pub fn malformed(&self, what: &'static str) -> RoundError {
        self.failed(&L::malformed(what))
    }

    /// From now on, a failure may leave a part of the verb done; or no longer.
    pub fn partly_done(&self, partly: bool) {
        self.state().unsure = partly;
    }

    /// Waits before the server, which answered `status`, is asked again.
    pub async fn pause(&self, status: Status) {
        let pause = {
            let mut state = self.state();
            state.waiting = L::later(status);
            let next = (state.pause * 2).min(LONGEST_PAUSE);
            std::mem::replace(&mut state.pause, next)
        };
        sleep(pause).await;
    }

    /// The server has answered: the next pause is a short one again.
    pub fn answered(&self) {
        self.state().pause = FIRST_PAUSE;
    }

    pub fn share(&self) -> &'a Share {
        self.share
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    async fn count(&self, again: RetryReason) -> Result<(), StorageError> {
        let cause = match again {
            RetryReason::Later => return Ok(()),
            RetryReason::Lost => L::broken(io::ErrorKind::ConnectionReset.into()),
            RetryReason::Changed(status) => L::keeps_changing(status),
        };
        match self.failure(&cause).await {
            Err(RoundError::Failed(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Counts a failure; the first is followed by another try at once: it is mostly a connection that the server has
    /// closed long since.
    pub async fn failure(&self, cause: &L::Cause) -> Result<(), RoundError> {
        let failures = {
            let mut state = self.state();
            let excused = std::mem::take(&mut state.excused);
            state.failures += u32::from(!excused);
            state.failures
        };
        match L::retry_later_status(cause) {
            Some(status) => self.pause(status).await,
            None if failures > MOST_FAILURES => return Err(self.failed(cause)),
            None if failures > 1 => sleep(FIRST_PAUSE * failures).await,
            None => {}
        }
        Ok(())
    }

    /// The verb fails: a call has no answer.
    pub fn failed(&self, cause: &L::Cause) -> RoundError {
        let (fault, text) = L::failed(&self.context(), cause);
        RoundError::Failed(self.error(fault, &text))
    }

    fn timed_out(&self) -> StorageError {
        let waiting = self.state().waiting;
        let (fault, text) = L::timed_out(&self.context(), waiting);
        self.error(fault, &text)
    }

    fn error(&self, fault: Fault, text: &str) -> StorageError {
        let unsure = {
            let state = self.state();
            state.unsure || state.lost || state.under_way > 0
        };
        let outcome = if unsure { Outcome::Unknown } else { Outcome::NotDone };
        StorageError::of(&self.what, self.share, (fault, text), outcome)
    }

    fn context(&self) -> ErrorContext<'a> {
        self.server.context(self.share)
    }

    pub fn state(&self) -> MutexGuard<'_, State<L::Waiting>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

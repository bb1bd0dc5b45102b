//! Runs a verb on a mount: on a thread of its own, with its deadline, and with what is known of it when it fails.
//!
//! Calls to a mount whose server does not answer block and cannot be ended. So each verb has a thread, and at the deadline its
//! caller continues without it. The thread then begins no further call; if it hangs for good, it keeps one of the mount's few
//! permits. They are plain threads: a Tokio runtime that ends would wait for its own.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::diagnose::{self, ErrorContext};
use super::errno::{errno, name, unanswered};
use super::mount::Mount;
use crate::storage::error::Reason;
use crate::storage::refusal::{self, Action};
use crate::storage::{Fault, Outcome, StorageError};

/// How often what one call found may be gone at the next one.
const MOST_ROUNDS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(10);

/// Why one round of a verb has no result.
pub(super) enum RoundError {
    /// The verb begins again: something was replaced or removed between two calls.
    Retry(Errno),
    /// The verb fails.
    Failed(StorageError),
    /// The caller does not wait any more.
    TimedOut,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Run {
    mount: Arc<Mount>,
    /// What the verb does, to follow the word "cannot".
    what: String,
    state: Arc<Mutex<State>>,
}

/// What thread and caller share: whichever locks it first decides whether a change is still begun.
#[derive(Default)]
struct State {
    /// The caller does not wait any more.
    over: bool,
    /// A change is under way, or only a part of the verb is done.
    unsure: bool,
}

/// Runs rounds of a verb on a thread until one has a result, or until the deadline.
pub(super) async fn run<T: Send + 'static>(
    mount: &Arc<Mount>,
    what: String,
    deadline: tokio::time::Instant,
    once: impl Fn(&Run) -> Result<T, RoundError> + Send + 'static,
) -> Result<T, StorageError> {
    let run = Run {
        mount: Arc::clone(mount),
        what,
        state: Arc::default(),
    };
    if deadline <= tokio::time::Instant::now() {
        return Err(run.timed_out());
    }
    let place = timeout_at(deadline, Arc::clone(&mount.at_work).acquire_owned()).await;
    let Ok(Ok(place)) = place else {
        return Err(run.error(diagnose::no_place(&run.context())));
    };
    // Also when the verb is dropped.
    let _over = Over(Arc::clone(&run.state));
    let (answer, answered) = oneshot::channel();
    let on_thread = run.clone();
    let work = move || {
        let result = on_thread.repeat(once);
        drop(place);
        let _ = answer.send(result);
    };
    if let Err(error) = thread::Builder::new().name("mounted".to_owned()).spawn(work) {
        tracing::debug!(%error, "no thread can be started");
        let text = "no thread can be started for it. Raise the pod's limit of processes.";
        return Err(run.error(Fault::Busy.because(text)));
    }
    match timeout_at(deadline, answered).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => {
            let text = "it ended unexpectedly. Look for a panic in Bindery's log.";
            Err(run.error(Fault::Other.because(text)))
        }
        Err(_) => Err(run.timed_out()),
    }
}

/// Tells the thread that the caller does not wait any more.
struct Over(Arc<Mutex<State>>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).over = true;
    }
}

impl Run {
    fn repeat<T>(&self, once: impl Fn(&Self) -> Result<T, RoundError>) -> Result<T, StorageError> {
        let mut rounds = 0;
        loop {
            match once(self) {
                Ok(done) => return Ok(done),
                Err(RoundError::Failed(error)) => return Err(error),
                Err(RoundError::TimedOut) => return Err(self.timed_out()),
                Err(RoundError::Retry(errno)) if rounds == MOST_ROUNDS => {
                    return Err(self.error(refusal::keeps_changing(name(errno))));
                }
                Err(RoundError::Retry(_)) => {
                    thread::sleep(PAUSE * rounds);
                    rounds += 1;
                }
            }
        }
    }

    /// Makes one call that changes something, unless the caller does not wait any more. After success the verb counts as partly
    /// done.
    pub fn change<T>(&self, call: impl FnOnce() -> io::Result<T>) -> Result<Result<T, Errno>, RoundError> {
        let before = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.over {
                return Err(RoundError::TimedOut);
            }
            std::mem::replace(&mut state.unsure, true)
        };
        let done = call().map_err(|error| errno(&error));
        if matches!(done, Err(errno) if !unanswered(errno)) {
            self.partly_done(before);
        }
        Ok(done)
    }

    /// Whether the caller does not wait any more.
    pub fn is_over(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).over
    }

    /// Notes whether a failure from now on may leave a part of the verb done.
    pub fn partly_done(&self, partly: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).unsure = partly;
    }

    /// The verb fails: the file system answered `action` with `errno`.
    pub fn refused(&self, action: Action<'_>, errno: Errno) -> RoundError {
        if errno == Errno::STALE && !matches!(action, Action::Share(_)) {
            // It was removed on the server; the next walk sees that.
            return RoundError::Retry(errno);
        }
        RoundError::Failed(self.error(diagnose::refused(&self.context(), action, errno)))
    }

    /// The verb fails: nothing is mounted.
    pub fn not_mounted(&self) -> RoundError {
        RoundError::Failed(self.error(diagnose::not_mounted(&self.context())))
    }

    /// The verb fails for a reason that is no errno.
    pub fn fails(&self, reason: Reason) -> RoundError {
        RoundError::Failed(self.error(reason))
    }

    pub fn mount(&self) -> &Mount {
        &self.mount
    }

    fn timed_out(&self) -> StorageError {
        self.error(diagnose::timed_out(&self.context()))
    }

    fn error(&self, reason: Reason) -> StorageError {
        let unsure = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            // Under the same lock: what has not begun yet never will.
            state.over = true;
            state.unsure
        };
        let outcome = if unsure { Outcome::Unknown } else { Outcome::NotDone };
        StorageError::of(&self.what, &self.mount.share, reason, outcome)
    }

    fn context(&self) -> ErrorContext<'_> {
        ErrorContext {
            share: &self.mount.share,
            path: &self.mount.path,
            uid: rustix::process::geteuid().as_raw(),
        }
    }
}

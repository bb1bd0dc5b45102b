//! Runs the calls of a verb on a mount, on a thread of its own.
//!
//! A call to a mount whose server does not answer blocks and cannot be cancelled. So each verb has its own thread, and at
//! the deadline its caller continues without it. The thread then begins no further change. If it hangs for ever, it keeps
//! one of the mount's permits. These are plain threads, because a Tokio runtime waits for its threads when it ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use rustix::io::Errno;
use tokio::sync::oneshot;

use super::mount::{MAX_THREADS, Mount};
use crate::model::directory::Share;
use crate::storage::Fault;
use crate::storage::attempt::{Attempt, RetryReason, RoundError, State, Transport, Waiting};
use crate::storage::errno::maybe_carried_out;
use crate::storage::error::Reason;
use crate::storage::refusal::ErrorContext;
use crate::storage::status::Status;
use crate::storage::verbs::protocol::Answer;

type Job = Box<dyn FnOnce() + Send>;

/// The state that the jobs of a verb share with its caller. A change begins only if the
/// caller still waits when the job takes the lock.
pub(super) struct Caller(Arc<Mutex<State<()>>>);

impl Transport for Mount {
    type Prerequisite = ();
    /// The job queue of the verb's thread. The thread ends when the queue is dropped and empty.
    type Session = mpsc::Sender<Job>;

    fn prerequisite_timeout(context: &ErrorContext<'_>, (): ()) -> Reason {
        Fault::TimedOut.because(format!(
            "{MAX_THREADS} earlier calls to the mount at {} are still running. Check that its server and disks work; if \
             the mount is no longer needed, restart Bindery's pod without it.",
            context.mounted_at()
        ))
    }

    fn context<'a>(&'a self, share: &'a Share) -> ErrorContext<'a> {
        ErrorContext {
            share,
            uid: rustix::process::geteuid().as_raw(),
            privileged: false,
            mount: Some(&self.path),
        }
    }
}

impl Attempt<'_, Mount> {
    /// Runs calls on the verb's thread.
    pub(super) async fn call<R: Send + 'static>(
        &self,
        calls: impl FnOnce(&Caller) -> Result<R, Status> + Send + 'static,
    ) -> Answer<R> {
        let thread = self.session.get_or_try_init(|| self.start_thread()).await?;
        let (answer, answered) = oneshot::channel();
        let caller = Caller(self.state.clone());
        // A thread that has ended drops the job, and with it `answer`.
        let _ = thread.send(Box::new(move || drop(answer.send(calls(&caller)))));
        match answered.await {
            // The directory was removed on the server; the next walk finds that.
            Ok(Err(status)) if status.stale_handle() => Err(RoundError::Retry(RetryReason::Changed(status))),
            Ok(answer) => Ok(answer),
            Err(_) => {
                let text = "the call ended unexpectedly. Look for a panic in Bindery's log.";
                Err(self.fails(Fault::Other.because(text)))
            }
        }
    }

    async fn start_thread(&self) -> Result<mpsc::Sender<Job>, RoundError> {
        self.state().waiting = Waiting::Prerequisite(());
        // The semaphore is never closed, so this does not fail.
        let permit = self.server.threads.clone().acquire_owned().await;
        self.state().waiting = Waiting::Answer;
        let (jobs, received) = mpsc::channel::<Job>();
        // A thread that hangs keeps the mount, so that its permit still counts.
        let mount = self.server.clone();
        let work = move || {
            for job in received {
                job();
            }
            drop((permit, mount));
        };
        match thread::Builder::new().name("mounted".to_owned()).spawn(work) {
            Ok(_) => Ok(jobs),
            Err(error) => {
                tracing::debug!(%error, "no thread can be started");
                let text = "no thread can be started. Raise the pod's limit of processes.";
                Err(self.fails(Fault::Busy.because(text)))
            }
        }
    }
}

impl Caller {
    /// Runs one call that changes something. The outer error means that the caller does not wait any more. After success the
    /// verb counts as partly done.
    pub fn change<T, E: Into<Status>>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<Result<T, Status>, Status> {
        {
            let mut state = self.state();
            if state.abandoned {
                return Err(Errno::CANCELED.into());
            }
            state.in_progress += 1;
        }
        let done = call().map_err(E::into);
        let mut state = self.state();
        state.in_progress -= 1;
        state.maybe_changed |= !matches!(done, Err(status) if !maybe_carried_out(status.errno()));
        Ok(done)
    }

    /// Returns whether the caller does not wait any more.
    pub fn is_abandoned(&self) -> bool {
        self.state().abandoned
    }

    /// Records that the change is undone, or complete.
    pub fn not_partly_done(&self) {
        self.state().maybe_changed = false;
    }

    fn state(&self) -> MutexGuard<'_, State<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

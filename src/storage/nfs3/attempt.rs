//! One run of a verb: its deadline, its retries, and what is known of it when it fails.
//!
//! - A call that changes nothing got no answer: it is sent again.
//! - A call that changes something got no answer: [`Trouble::Again`]. The verb starts over and finds out from what is
//!   there; each verb says how. The lost call may still take effect, which NFSv3 cannot prevent: if the verb fails after all,
//!   its outcome is not known.
//! - The server asks to come back later (JUKEBOX): after a pause, until the deadline.
//! - The deadline: everything is dropped where it stands, and the connection of a call under way is cut.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use nfs3_client::RpcError;
use tokio::time::{Instant, sleep, timeout_at};

use super::calls::{Answer, Call, Handle};
use super::diagnose::{self, Cause, Waiting};
use super::mount::{NoConnection, Part};
use super::pool::{Loan, Pool};
use crate::policy::directory::Share;
use crate::storage::answers::{self, Scene, Step};
use crate::storage::status::Status;
use crate::storage::{Fault, Outcome, StorageError};

/// So often may connections be lost under one verb. Those that were at rest do not count: after a restart of the server
/// all of them are lost at once.
const MOST_FAILURES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A step of a verb did not come to an end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Begin the verb again.
    Again(Again),
    /// Give up.
    Failed(StorageError),
}

/// Why a verb begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// A call that changes something got no answer.
    Lost,
    /// Something was replaced or removed between two calls.
    Changed(Status),
}

/// See the module.
pub(super) struct Attempt<'a> {
    pool: &'a Arc<Pool>,
    share: &'a Share,
    /// What the verb does, to follow the words "cannot".
    what: String,
    deadline: Instant,
    state: Mutex<State>,
}

struct State {
    /// A change may have been made that the verb does not know of, or only a part of what it is to do.
    unsure: bool,
    /// A call that changes something was lost. It may come late.
    lost: bool,
    waiting: Waiting,
    failures: u32,
    /// The latest failure was that of a connection that had been at rest.
    excused: bool,
    pause: Duration,
}

impl<'a> Attempt<'a> {
    pub fn new(pool: &'a Arc<Pool>, share: &'a Share, what: String, deadline: Instant) -> Self {
        let state = State {
            unsure: false,
            lost: false,
            waiting: Waiting::For(Part::Portmapper),
            failures: 0,
            excused: false,
            pause: FIRST_PAUSE,
        };
        Self {
            pool,
            share,
            what,
            deadline,
            state: Mutex::new(state),
        }
    }

    /// Runs `once` until it comes to an end, or the deadline does.
    pub async fn run<'b, T>(&self, once: impl Fn() -> BoxFuture<'b, Result<T, Trouble>>) -> Result<T, StorageError> {
        self.until_deadline(async {
            loop {
                match once().await {
                    Ok(done) => return Ok(done),
                    Err(Trouble::Failed(error)) => return Err(error),
                    Err(Trouble::Again(again)) => self.count(again).await?,
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

    /// The handle of the share.
    pub async fn root(&self) -> Result<Handle, Trouble> {
        loop {
            let loan = self.borrow().await?;
            if let Some(root) = loan.root() {
                loan.give_back();
                return Ok(root);
            }
        }
    }

    /// Sends a call until the server has answered it. The answer may be an error, but not JUKEBOX or a stale handle.
    pub async fn send(&self, call: Call<'_>) -> Result<Answer, Trouble> {
        loop {
            let mut loan = self.borrow().await?;
            let before = {
                let mut state = self.state();
                state.waiting = Waiting::Answer;
                let unsure = state.unsure || call.changes();
                std::mem::replace(&mut state.unsure, unsure)
            };
            let cause = match loan.call(&call).await {
                Ok(answer) => {
                    self.state().unsure = before;
                    match answer {
                        Err(status) if status.later() => {
                            loan.give_back();
                            self.pause(status).await;
                            continue;
                        }
                        Err(status) if status.stale() => {
                            // It may be the share's own, which only a new connection has anew.
                            self.pool.forget_rested();
                            return Err(Trouble::Again(Again::Changed(status)));
                        }
                        answer => {
                            loan.give_back();
                            self.state().pause = FIRST_PAUSE;
                            return Ok(answer);
                        }
                    }
                }
                Err(RpcError::Io(error)) if error.kind() != std::io::ErrorKind::InvalidData => Cause::Broken(error),
                Err(error) => {
                    let cause = Cause::Call(Part::Nfs, error);
                    // It was not carried out, unless the answer was unreadable.
                    if cause.refused() {
                        self.state().unsure = before;
                    }
                    return Err(self.failed(&cause));
                }
            };
            self.state().excused = loan.rested();
            if loan.rested() {
                self.pool.forget_rested();
            }
            drop(loan);
            if call.changes() {
                self.state().lost = true;
                return Err(Trouble::Again(Again::Lost));
            }
            self.failure(&cause).await?;
        }
    }

    async fn borrow(&self) -> Result<Loan<'_>, Trouble> {
        loop {
            let waiting = |part| self.state().waiting = Waiting::For(part);
            match self.pool.borrow(self.deadline, waiting).await {
                Ok(loan) => return Ok(loan),
                // The server restarted while it was asked.
                Err(NoConnection::Call(part, RpcError::Io(error)))
                    if error.kind() != std::io::ErrorKind::InvalidData =>
                {
                    self.failure(&Cause::NoConnection(NoConnection::Call(part, RpcError::Io(error))))
                        .await?;
                }
                Err(error) => return Err(self.failed(&Cause::NoConnection(error))),
            }
        }
    }

    /// The verb fails: at `step`, the server answered `status`.
    pub fn refused(&self, step: Step<'_>, status: Status) -> Trouble {
        let (fault, text) = answers::refused(&self.scene(), step, status);
        Trouble::Failed(self.error(fault, &text))
    }

    /// The verb fails for a reason that is no status.
    pub fn fails(&self, fault: Fault, text: &str) -> Trouble {
        Trouble::Failed(self.error(fault, text))
    }

    /// What the server answered cannot be.
    pub fn malformed(&self, what: &'static str) -> Trouble {
        self.failed(&Cause::Malformed(what))
    }

    /// From now on, a failure may leave a part of the verb done; or no longer.
    pub fn partly_done(&self, partly: bool) {
        self.state().unsure = partly;
    }

    /// Waits before the server, which answered `status`, is asked again.
    async fn pause(&self, status: Status) {
        let pause = {
            let mut state = self.state();
            state.waiting = Waiting::Later(status);
            let next = (state.pause * 2).min(LONGEST_PAUSE);
            std::mem::replace(&mut state.pause, next)
        };
        sleep(pause).await;
    }

    async fn count(&self, again: Again) -> Result<(), StorageError> {
        let cause = match again {
            Again::Lost => Cause::Broken(std::io::ErrorKind::ConnectionReset.into()),
            Again::Changed(status) => Cause::Restless(status),
        };
        match self.failure(&cause).await {
            Err(Trouble::Failed(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Counts a failure; the first is followed by another try at once: it is mostly a connection that the server has
    /// closed long since.
    async fn failure(&self, cause: &Cause) -> Result<(), Trouble> {
        let failures = {
            let mut state = self.state();
            let excused = std::mem::take(&mut state.excused);
            state.failures += u32::from(!excused);
            state.failures
        };
        match failures {
            _ if failures > MOST_FAILURES => return Err(self.failed(cause)),
            _ if failures > 1 => sleep(FIRST_PAUSE * failures).await,
            _ => {}
        }
        Ok(())
    }

    fn failed(&self, cause: &Cause) -> Trouble {
        let (fault, text) = diagnose::failed(&self.scene(), cause);
        Trouble::Failed(self.error(fault, &text))
    }

    fn timed_out(&self) -> StorageError {
        let waiting = self.state().waiting;
        let (fault, text) = diagnose::timed_out(&self.scene(), waiting);
        self.error(fault, &text)
    }

    fn error(&self, fault: Fault, text: &str) -> StorageError {
        let unsure = {
            let state = self.state();
            state.unsure || state.lost
        };
        let (outcome, note) = if unsure {
            (Outcome::Unknown, " All or a part of it may have been done.")
        } else {
            (Outcome::NotDone, "")
        };
        StorageError {
            fault,
            outcome,
            message: format!("cannot {} on {}: {text}{note}", self.what, self.share),
        }
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            share: self.share,
            uid: self.pool.options().uid,
            privileged: self.pool.came_privileged(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

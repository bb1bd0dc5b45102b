//! One run of a verb: its deadline, its retries, and what is known of it when it fails.
//!
//! - Nothing was carried out (a session that the server forgot, no connection yet): the call is sent again.
//! - A call that changes nothing got no answer: it is sent again.
//! - A call that changes something got no answer: [`Trouble::Again`]. The verb starts over and finds out from what is
//!   there; each verb says how. But one that does no harm when it comes late ([`Late::Harmless`]) is sent again.
//! - The server asks to come back later: after a pause, until the deadline.
//! - The deadline: everything is dropped where it stands. A call under way leaves a fence ([`super::server`]).

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout_at};

use super::compound::{Op, Reply};
use super::diagnose::{self, Cause, Waiting};
use super::loan::Late;
use super::rpc::RpcError;
use super::server::{NoSession, Server};
use super::wire::SessionError;
use crate::policy::directory::Share;
use crate::storage::answers::{self, Scene, Step};
use crate::storage::status::Status;
use crate::storage::{Fault, Outcome, StorageError};

/// So often may connections and sessions be lost under one verb. Those that were at rest do not count: after a restart of
/// the server all of them are lost at once.
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
    /// The server did a part of a call and asked to come back later; the pause is over.
    Later,
    /// Something was replaced or removed between two calls.
    Changed(Status),
}

/// See the module.
pub(super) struct Attempt<'a> {
    server: &'a Arc<Server>,
    share: &'a Share,
    /// What the verb does, to follow the words "cannot".
    what: String,
    deadline: Instant,
    state: Mutex<State>,
}

struct State {
    /// A change may have been made that the verb does not know of, or only a part of what it is to do.
    unsure: bool,
    waiting: Waiting,
    failures: u32,
    /// The latest failure was that of a session that had been at rest.
    excused: bool,
    pause: Duration,
}

/// A call brought no reply.
enum NoReply {
    /// It was not carried out and may be sent again.
    NotDone(Cause),
    /// Whether it was carried out is not known.
    Lost(Cause),
    /// To send it again would change nothing.
    Final(Cause),
}

impl<'a> Attempt<'a> {
    pub fn new(server: &'a Arc<Server>, share: &'a Share, what: String, deadline: Instant) -> Self {
        let state = State {
            unsure: false,
            waiting: Waiting::Session,
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

    /// Sends a COMPOUND until the server has answered it. The reply may tell of an operation that failed, but not of
    /// DELAY, GRACE or a stale handle, unless something was changed before that operation.
    pub async fn send(&self, ops: &[Op<'_>]) -> Result<Reply, Trouble> {
        self.send_as(ops, Late::Fenced).await
    }

    /// See [`Attempt::send`]; `late` is for calls that change something.
    pub async fn send_as(&self, ops: &[Op<'_>], late: Late) -> Result<Reply, Trouble> {
        let before = self.state().unsure;
        let late = if ops.iter().any(Op::changes) {
            late
        } else {
            Late::Harmless
        };
        loop {
            match self.send_once(ops, late).await {
                Ok(reply) => {
                    let changed = reply.stopped.is_some_and(|stop| ops[..stop.at].iter().any(Op::changes));
                    self.state().unsure = before || changed;
                    match reply.stopped {
                        Some(stop) if !changed && stop.status.later() => self.pause(stop.status).await,
                        Some(stop) if !changed && stop.status.stale() => {
                            return Err(Trouble::Again(Again::Changed(stop.status)));
                        }
                        _ => {
                            self.state().pause = FIRST_PAUSE;
                            return Ok(reply);
                        }
                    }
                }
                Err(NoReply::Final(cause)) => return Err(self.failed(&cause)),
                Err(NoReply::Lost(_)) if late == Late::Fenced => return Err(Trouble::Again(Again::Lost)),
                Err(NoReply::NotDone(cause) | NoReply::Lost(cause)) => self.failure(&cause).await?,
            }
        }
    }

    async fn send_once(&self, ops: &[Op<'_>], late: Late) -> Result<Reply, NoReply> {
        let waiting = |waiting| self.state().waiting = waiting;
        let loan = self.server.borrow(self.deadline, waiting).await;
        let mut loan = loan.map_err(|error| match error {
            NoSession::Connect(error) => NoReply::Final(Cause::Connect(error)),
            NoSession::Session(error) => match Cause::from(error) {
                // The server restarted while the session was opened, or is not ready for sessions yet.
                cause @ (Cause::Broken(_) | Cause::Session(..)) if cause.passes() => NoReply::NotDone(cause),
                cause => NoReply::Final(cause),
            },
        })?;
        let before = {
            let mut state = self.state();
            state.waiting = Waiting::Answer;
            let unsure = state.unsure || ops.iter().any(Op::changes);
            std::mem::replace(&mut state.unsure, unsure)
        };
        let reply = loan.call(ops, late).await;
        self.state().excused = reply.is_err() && loan.rested();
        match reply {
            Ok(reply) => {
                loan.give_back();
                Ok(reply)
            }
            Err(SessionError::Refused(operation, status)) => {
                self.state().unsure = before;
                let cause = Cause::Session(operation, status);
                if status.later() {
                    loan.give_back();
                } else if loan.rested() {
                    self.server.forget_rested();
                }
                if cause.passes() {
                    Err(NoReply::NotDone(cause))
                } else {
                    Err(NoReply::Final(cause))
                }
            }
            Err(SessionError::Rpc(RpcError::Broken(error))) => {
                if loan.rested() {
                    self.server.forget_rested();
                }
                Err(NoReply::Lost(Cause::Broken(error)))
            }
            Err(error) => Err(NoReply::Final(error.into())),
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

    /// The server left out of a reply what it must hold.
    pub fn incomplete(&self) -> Trouble {
        self.malformed("a reply lacks what was asked for")
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
    pub async fn pause(&self, status: Status) {
        let pause = {
            let mut state = self.state();
            state.waiting = Waiting::Later(status);
            let next = (state.pause * 2).min(LONGEST_PAUSE);
            std::mem::replace(&mut state.pause, next)
        };
        sleep(pause).await;
    }

    pub fn server(&self) -> &Server {
        self.server
    }

    pub fn share(&self) -> &Share {
        self.share
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    async fn count(&self, again: Again) -> Result<(), StorageError> {
        let cause = match again {
            Again::Later => return Ok(()),
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
        match cause {
            Cause::Session(_, status) if status.later() => self.pause(*status).await,
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
        let (outcome, note) = if self.state().unsure {
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
            uid: self.server.credentials().uid,
            privileged: self.server.came_privileged(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

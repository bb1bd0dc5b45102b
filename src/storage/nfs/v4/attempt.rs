//! Sends the COMPOUNDs of a verb, and sends some of them again.
//!
//! - Nothing was carried out (the server does not know the session, or there was no connection): the COMPOUND is sent again.
//! - A COMPOUND that changes nothing got no answer: it is sent again.
//! - A COMPOUND that changes something got no answer: the verb starts again, as [`RetryReason::Lost`]. But one that does no
//!   harm when it takes effect late ([`Late::Harmless`]) is sent again.
//! - A COMPOUND under way at the deadline is fenced off ([`super::server`]).

use super::compound::Reply;
use super::diagnose::{self, Cause, Failure, Opening};
use super::operation::Op;
use super::pool::Late;
use super::rpc::RpcError;
use super::server::{NoSession, Server};
use super::wire::SessionError;
use crate::model::directory::Share;
use crate::storage::attempt::{Attempt, RetryReason, RoundError, Transport, Waiting};
use crate::storage::error::Reason;
use crate::storage::messages::ErrorContext;
use crate::storage::status::Status;

/// Why a COMPOUND has no reply.
enum NoReply {
    /// It was not carried out and may be sent again.
    NotDone(Cause),
    /// Whether it was carried out is not known.
    Lost(Cause),
    /// Another try would fail in the same way.
    Final(Cause),
}

impl Attempt<'_, Server> {
    /// Sends a COMPOUND until the server has answered it. In the reply an operation may have failed, but not with DELAY, GRACE
    /// or a stale handle, unless an operation before it has changed something.
    pub async fn send(&self, ops: &[Op<'_>]) -> Result<Reply, RoundError> {
        self.send_as(ops, Late::Fenced).await
    }

    /// See [`Attempt::send`]; `late` is for calls that change something.
    pub async fn send_as(&self, ops: &[Op<'_>], late: Late) -> Result<Reply, RoundError> {
        let late = if ops.iter().any(Op::changes) {
            late
        } else {
            Late::Harmless
        };
        loop {
            match self.send_once(ops, late).await {
                Ok(reply) => {
                    let changed = reply.stopped.is_some_and(|stop| ops[..stop.at].iter().any(Op::changes));
                    self.state().unsure |= changed;
                    match reply.stopped {
                        Some(stop) if !changed && stop.status.later() => self.pause(stop.status).await,
                        Some(stop) if !changed && stop.status.stale() => {
                            return Err(RoundError::Retry(RetryReason::Changed(stop.status)));
                        }
                        _ => {
                            self.answered();
                            return Ok(reply);
                        }
                    }
                }
                Err(NoReply::Final(cause)) => return Err(self.failed(&cause)),
                Err(NoReply::Lost(_)) if late == Late::Fenced => return Err(RoundError::Retry(RetryReason::Lost)),
                Err(NoReply::NotDone(cause) | NoReply::Lost(cause)) => self.failure(&cause).await?,
            }
        }
    }

    async fn send_once(&self, ops: &[Op<'_>], late: Late) -> Result<Reply, NoReply> {
        let waiting = |opening| self.state().waiting = Waiting::Opening(opening);
        let failures = self.state().failures;
        let session = self.server.acquire(self.deadline(), waiting).await;
        if session.is_err() {
            let mut state = self.state();
            state.excused = state.failures > failures;
        }
        let mut session = session.map_err(|error| match error {
            NoSession::Connect(error) => NoReply::Final(Cause::Other(Failure::Connect(error))),
            NoSession::Session(error) => match diagnose::cause(error) {
                // The server restarted while the session was opened, or is not ready for sessions yet.
                cause if diagnose::passes(&cause) => NoReply::NotDone(cause),
                cause => NoReply::Final(cause),
            },
        })?;
        let changes = ops.iter().any(Op::changes);
        {
            let mut state = self.state();
            state.waiting = Waiting::Answer;
            state.under_way += usize::from(changes);
        }
        let reply = session.call(ops, late).await;
        {
            let mut state = self.state();
            state.under_way -= usize::from(changes);
            state.unsure |= changes && matches!(reply, Err(SessionError::Rpc(_)));
            state.excused = reply.is_err() && (session.reused() || state.failures > failures);
        }
        match reply {
            Ok(reply) => {
                if reply.stopped.is_some_and(|stop| stop.status == Status::GRACE) {
                    session.complete_reclaim().await;
                } else {
                    session.release();
                }
                Ok(reply)
            }
            Err(SessionError::Refused(operation, status)) => {
                let cause = Cause::Other(Failure::Session(operation, status));
                if status.later() {
                    session.release();
                } else if status.gone() {
                    session.forget();
                }
                if diagnose::passes(&cause) {
                    Err(NoReply::NotDone(cause))
                } else {
                    Err(NoReply::Final(cause))
                }
            }
            Err(SessionError::Rpc(RpcError::Broken(error))) => {
                if session.reused() {
                    self.server.discard_idle();
                }
                Err(NoReply::Lost(Cause::Broken(error)))
            }
            Err(error) => Err(NoReply::Final(diagnose::cause(error))),
        }
    }
}

impl Transport for Server {
    type Opening = Opening;
    type Failure = Failure;

    const FIRST: Opening = Opening::Session;

    fn retry_later_status(failure: &Failure) -> Option<Status> {
        match failure {
            Failure::Session(_, status) if status.later() => Some(*status),
            _ => None,
        }
    }

    fn malformed(context: &ErrorContext<'_>, what: &str) -> Reason {
        diagnose::malformed(context, what)
    }

    fn failed(context: &ErrorContext<'_>, failure: &Failure) -> Reason {
        diagnose::failed(context, failure)
    }

    fn not_opened(context: &ErrorContext<'_>, opening: Opening) -> Reason {
        diagnose::not_opened(context, opening)
    }

    fn context<'a>(&self, share: &'a Share) -> ErrorContext<'a> {
        ErrorContext {
            share,
            uid: self.options().uid,
            privileged: self.came_privileged(),
        }
    }
}

//! Sends the COMPOUNDs of a verb, and sends some of them again.
//!
//! - Nothing was carried out (the server does not know the session, or there was no connection): the COMPOUND is sent again.
//! - A COMPOUND that changes nothing got no answer: it is sent again.
//! - A COMPOUND that changes something got no answer: the verb starts again, as [`RetryReason::Lost`]. But one that does no
//!   harm when it takes effect late ([`Late::Harmless`]) is sent again.
//! - A COMPOUND in progress at the deadline is fenced off ([`super::server`]).

use super::compound::Reply;
use super::diagnose;
use super::operation::Op;
use super::pool::Late;
use super::server::Server;
use super::wire::SessionError;
use crate::storage::attempt::{Attempt, RetryReason, RoundError, Waiting};
use crate::storage::status::Status;

/// Why a COMPOUND has no reply.
enum NoReply {
    /// It was not carried out and may be sent again.
    NotDone(SessionError),
    /// It is not known whether it was carried out.
    Lost(SessionError),
    /// Another try would fail in the same way.
    Final(SessionError),
}

impl From<SessionError> for NoReply {
    /// Converts the error of a COMPOUND that was not carried out.
    fn from(error: SessionError) -> Self {
        if diagnose::is_retryable(&error) {
            Self::NotDone(error)
        } else {
            Self::Final(error)
        }
    }
}

impl Attempt<'_, Server> {
    /// Sends a COMPOUND until the server has answered it. In the reply an operation may have failed, but not with DELAY,
    /// GRACE or a stale handle, unless an operation before it has changed something.
    pub async fn send(&self, ops: &[Op<'_>]) -> Result<Reply, RoundError> {
        self.send_as(ops, Late::Fenced).await
    }

    /// Does the same as [`Attempt::send`]. `late` is for calls that change something.
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
                    self.state().maybe_changed |= changed;
                    match reply.stopped {
                        Some(stop) if !changed && stop.status.asks_to_retry() => self.pause(stop.status).await,
                        Some(stop) if !changed && stop.status.stale_handle() => {
                            return Err(RoundError::Retry(if self.is_in_path_of_share(ops, stop.at) {
                                RetryReason::ShareChanged(stop.status)
                            } else {
                                RetryReason::Changed(stop.status)
                            }));
                        }
                        _ => {
                            self.answered();
                            return Ok(reply);
                        }
                    }
                }
                Err(NoReply::Final(error)) => return Err(self.fails(diagnose::failed(&self.context(), &error))),
                Err(NoReply::Lost(_)) if late == Late::Fenced => return Err(RoundError::Retry(RetryReason::Lost)),
                Err(NoReply::NotDone(error) | NoReply::Lost(error)) => {
                    let later = match error {
                        SessionError::Refused(_, status) if status.asks_to_retry() => Some(status),
                        _ => None,
                    };
                    self.failure(later, || diagnose::failed(&self.context(), &error))
                        .await?;
                }
            }
        }
    }

    /// Returns whether the operation at this index uses a directory in the path of the share, or the share itself.
    fn is_in_path_of_share(&self, ops: &[Op<'_>], at: usize) -> bool {
        let is_lookup = |op: &&Op<'_>| matches!(op, Op::Lookup(_));
        let passed = ops[..at].iter().filter(is_lookup).count();
        matches!(ops.first(), Some(Op::PutRootFh)) && passed <= self.share().segments().count()
    }

    async fn send_once(&self, ops: &[Op<'_>], late: Late) -> Result<Reply, NoReply> {
        let waiting = |prerequisite| self.state().waiting = Waiting::Prerequisite(prerequisite);
        let failures = self.state().failures;
        let session = self.server.acquire(self.deadline(), waiting).await;
        if session.is_err() {
            let mut state = self.state();
            state.uncounted = state.failures > failures;
        }
        let mut session = session?;
        let changes = ops.iter().any(Op::changes);
        {
            let mut state = self.state();
            state.waiting = Waiting::Answer;
            state.in_progress += usize::from(changes);
        }
        let reply = session.call(ops, late).await;
        {
            let mut state = self.state();
            state.in_progress -= usize::from(changes);
            state.maybe_changed |= changes && matches!(reply, Err(SessionError::Rpc(_)));
            state.uncounted = reply.is_err() && (session.reused() || state.failures > failures);
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
            Err(SessionError::Rpc(error)) if error.is_no_answer() => {
                if session.reused() {
                    self.server.discard_idle();
                }
                Err(NoReply::Lost(error.into()))
            }
            Err(error) => {
                match error {
                    SessionError::Refused(_, status) if status.asks_to_retry() => session.release(),
                    SessionError::Refused(_, status) if status.lost_session() => session.forget(),
                    _ => {}
                }
                Err(error.into())
            }
        }
    }
}

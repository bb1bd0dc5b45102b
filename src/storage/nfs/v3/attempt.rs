//! Sends the calls of a verb, and sends some of them again.
//!
//! - A call that changes nothing got no answer: it is sent again.
//! - A call that changes something got no answer: the verb starts again, as [`RetryReason::Lost`]. The call may still take
//!   effect, which version 3 cannot prevent: if the verb fails after all, its outcome is not known.
//! - The connection of a call under way at the deadline is cut.

use std::io;

use nfs3_client::RpcError;

use super::diagnose::{self, Cause, Failure};
use super::mount::{NoConnection, Part};
use super::pool::{Pool, PooledConnection};
use super::procedure::{Answer, Call, Handle};
use crate::model::directory::Share;
use crate::storage::attempt::{Attempt, RetryReason, RoundError, Transport, Waiting};
use crate::storage::error::Reason;
use crate::storage::messages::ErrorContext;

impl Attempt<'_, Pool> {
    /// Returns the handle of the share.
    pub async fn root(&self) -> Result<Handle, RoundError> {
        loop {
            let connection = self.acquire().await?;
            if let Some(root) = connection.root() {
                connection.release();
                return Ok(root);
            }
        }
    }

    /// Sends a call until the server has answered it. The answer may be an error, but not JUKEBOX or a stale handle.
    pub async fn send(&self, call: Call<'_>) -> Result<Answer, RoundError> {
        loop {
            let mut connection = self.acquire().await?;
            let failures = {
                let mut state = self.state();
                state.waiting = Waiting::Answer;
                state.under_way += usize::from(call.changes());
                state.failures
            };
            let answer = connection.call(&call).await;
            self.state().under_way -= usize::from(call.changes());
            let cause = match answer {
                Ok(answer) => {
                    match answer {
                        Err(status) if status.later() => {
                            connection.release();
                            self.pause(status).await;
                            continue;
                        }
                        Err(status) if status.stale() => {
                            // It may be the share's own handle, which only a new connection brings again.
                            self.server.forget_idle();
                            return Err(RoundError::Retry(RetryReason::Changed(status)));
                        }
                        answer => {
                            connection.release();
                            self.answered();
                            return Ok(answer);
                        }
                    }
                }
                Err(RpcError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => Cause::Broken(error),
                Err(error) => {
                    let failure = Failure::Call(Part::Nfs, error);
                    // It was not carried out, unless the answer was unreadable.
                    self.state().unsure |= call.changes() && !failure.refused();
                    return Err(self.failed(&Cause::Other(failure)));
                }
            };
            {
                let mut state = self.state();
                state.excused = connection.reused() || state.failures > failures;
            }
            if connection.reused() {
                self.server.forget_idle();
            }
            drop(connection);
            if call.changes() {
                self.state().lost = true;
                return Err(RoundError::Retry(RetryReason::Lost));
            }
            self.failure(&cause).await?;
        }
    }

    async fn acquire(&self) -> Result<PooledConnection<'_>, RoundError> {
        loop {
            let waiting = |part| self.state().waiting = Waiting::Opening(part);
            let failures = self.state().failures;
            match self.server.acquire(self.deadline(), waiting).await {
                Ok(connection) => return Ok(connection),
                // The server restarted meanwhile.
                Err(NoConnection::Call(part, RpcError::Io(error))) if error.kind() != io::ErrorKind::InvalidData => {
                    {
                        let mut state = self.state();
                        state.excused = state.failures > failures;
                    }
                    self.failure(&Cause::Other(Failure::NoConnection(NoConnection::Call(
                        part,
                        RpcError::Io(error),
                    ))))
                    .await?;
                }
                Err(error) => return Err(self.failed(&Cause::Other(Failure::NoConnection(error)))),
            }
        }
    }
}

impl Transport for Pool {
    type Opening = Part;
    type Failure = Failure;

    const FIRST: Part = Part::Portmapper;

    fn malformed(context: &ErrorContext<'_>, what: &str) -> Reason {
        diagnose::malformed(context, what)
    }

    fn failed(context: &ErrorContext<'_>, failure: &Failure) -> Reason {
        diagnose::failed(context, failure)
    }

    fn not_opened(context: &ErrorContext<'_>, part: Part) -> Reason {
        diagnose::not_opened(context, part)
    }

    fn context<'a>(&self, share: &'a Share) -> ErrorContext<'a> {
        ErrorContext {
            share,
            uid: self.options().uid,
            privileged: self.came_privileged(),
        }
    }
}

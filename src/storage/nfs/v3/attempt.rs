//! Sends the calls of a verb, and sends some of them again.
//!
//! - A call that changes nothing got no answer: it is sent again.
//! - A call that changes something got no answer: the verb starts again, as [`RetryReason::Lost`]. The call may still take
//!   effect, which version 3 cannot prevent. If the verb then fails, its outcome is unknown.
//! - The connection of a call in progress at the deadline is cut.

use super::diagnose;
use super::mount::{Failure, Part};
use super::pool::{Pool, PooledConnection};
use super::procedure::{Answer, Call, Handle};
use crate::storage::attempt::{Attempt, RetryReason, RoundError, Waiting};

impl Attempt<'_, Pool> {
    /// Returns the handle of the share.
    pub async fn root(&self) -> Result<Handle, RoundError> {
        loop {
            // This asks for the root if that is necessary.
            self.acquire().await?.release();
            // Another call may just have dropped it.
            if let Some(root) = self.server.root() {
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
                state.in_progress += usize::from(call.changes());
                state.failures
            };
            let answer = connection.call(&call).await;
            self.state().in_progress -= usize::from(call.changes());
            let failure = match answer {
                Ok(Err(status)) if status.asks_to_retry() => {
                    connection.release();
                    self.pause(status).await;
                    continue;
                }
                Ok(Err(status)) if status.stale_handle() => {
                    let of_share = self
                        .server
                        .root()
                        .is_some_and(|root| call.directories().contains(&&root));
                    // Only a new connection asks for the handle of the share's root again.
                    self.server.forget_idle();
                    return Err(RoundError::Retry(if of_share {
                        RetryReason::ShareChanged(status)
                    } else {
                        RetryReason::Changed(status)
                    }));
                }
                Ok(answer) => {
                    connection.release();
                    self.answered();
                    return Ok(answer);
                }
                Err(error) => Failure::Call(Part::Nfs, error),
            };
            if !failure.is_broken() {
                // It was not carried out, unless the answer was unreadable.
                self.state().maybe_changed |= call.changes() && !failure.is_refusal();
                return Err(self.fails(diagnose::failed(&self.context(), &failure)));
            }
            {
                let mut state = self.state();
                state.uncounted = connection.reused() || state.failures > failures;
            }
            if connection.reused() {
                self.server.forget_idle();
            }
            drop(connection);
            if call.changes() {
                // The call may still take effect later.
                self.state().in_progress += 1;
                return Err(RoundError::Retry(RetryReason::Lost));
            }
            self.failure(None, || diagnose::failed(&self.context(), &failure))
                .await?;
        }
    }

    async fn acquire(&self) -> Result<PooledConnection<'_>, RoundError> {
        loop {
            let waiting = |part| self.state().waiting = Waiting::Prerequisite(part);
            let failures = self.state().failures;
            match self.server.acquire(self.deadline(), waiting).await {
                Ok(connection) => return Ok(connection),
                // The server has restarted.
                Err(failure) if failure.is_broken() => {
                    {
                        let mut state = self.state();
                        state.uncounted = state.failures > failures;
                    }
                    self.failure(None, || diagnose::failed(&self.context(), &failure))
                        .await?;
                }
                Err(failure) => return Err(self.fails(diagnose::failed(&self.context(), &failure))),
            }
        }
    }
}

//! Makes a directory with the wanted attributes (CREATE and SETATTR: RFC 8881, 18.4 and 18.30).
//!
//! Servers drop setuid, setgid and sticky bits from CREATE and may apply a umask. So SETATTR follows in the same COMPOUND,
//! the owner first, because a change of owner may drop bits too. GETATTR returns the result. If the attributes of a new
//! directory cannot be set, it is removed again, unless another one has replaced it.

use super::compound::Stopped;
use super::operation::{Handle, Op};
use super::server::Server;
use crate::model::attributes::Attributes;
use crate::model::identity::Identity;
use crate::storage::Found;
use crate::storage::attempt::{Attempt, RetryReason, RoundError};
use crate::storage::attributes::{AttributeError, Change, after_refused_mode, initial_mode};
use crate::storage::refusal::Action;
use crate::storage::status::Status;
use crate::storage::verbs::protocol::{Created, FsObject};

impl Attempt<'_, Server> {
    /// See [`crate::storage::verbs::protocol::Protocol::create`].
    pub async fn create_directory(
        &self,
        parent: &Handle,
        name: &str,
        wanted: Attributes,
    ) -> Result<Created<Handle>, RoundError> {
        let initial = Change::mode(initial_mode(wanted));
        let mut ops = vec![Op::PutFh(parent), Op::CreateDirectory(name, initial), Op::GetFh];
        ops.push(Op::GetAttr); // its identity, in case SETATTR fails
        ops.extend(changes(wanted));
        ops.push(Op::GetAttr);
        let reply = self.send(&ops).await?;
        let error = match reply.stopped {
            None => {
                let object = self.object(&reply)?;
                match AttributeError::check(&object.found, wanted) {
                    Ok(()) => return Ok(Created::New(object)),
                    Err(error) => error,
                }
            }
            Some(Stopped {
                at: 0 | 1,
                status: Status::EXIST,
            }) => return Ok(Created::Exists),
            // The parent was removed after the walk.
            Some(Stopped {
                at: 0 | 1,
                status: Status::NOENT,
            }) => {
                return Err(RoundError::Retry(RetryReason::Changed(Status::NOENT)));
            }
            Some(Stopped { at: 0 | 1, status }) => return Err(self.refused(Action::Make, status)),
            Some(Stopped { status, .. }) if status.asks_to_retry() => {
                self.pause(status).await;
                return Err(RoundError::Retry(RetryReason::Later));
            }
            Some(Stopped { at, status }) => {
                let error = AttributeError::Refused(action_of(ops[at]), status);
                match self.object(&reply) {
                    Ok(object) if error.mode_cannot_be_set() => {
                        match self.set(&object.handle, after_refused_mode(wanted)).await? {
                            Ok(found) => return Ok(Created::New(FsObject { found, ..object })),
                            Err(error) => error,
                        }
                    }
                    _ => error,
                }
            }
        };
        // Without its attributes the directory is useless. This call has just made it, so it may remove it.
        let gone = match reply.file() {
            Some(file) => self.undo(parent, name, file.found.identity).await,
            None => false,
        };
        self.partly_done(!gone);
        Err(self.wrong_attributes(&error))
    }

    /// Removes the directory that CREATE made. Returns whether it is gone.
    async fn undo(&self, parent: &Handle, name: &str, made: Identity) -> bool {
        let ops = [
            Op::PutFh(parent),
            Op::SaveFh,
            Op::Lookup(name.as_bytes()),
            Op::Verify(made),
            Op::RestoreFh,
            Op::Remove(name.as_bytes()),
        ];
        let undone = self.send(&ops).await;
        // NOT_SAME: another directory has replaced it, and must stay.
        let gone = [Status::NOENT, Status::NOT_SAME];
        undone.is_ok_and(|reply| reply.stopped.is_none_or(|stop| gone.contains(&stop.status)))
    }

    /// See [`crate::storage::verbs::protocol::Protocol::set_attributes`].
    pub async fn set(
        &self,
        directory: &Handle,
        wanted: Attributes,
    ) -> Result<Result<Found, AttributeError>, RoundError> {
        let mut ops = vec![Op::PutFh(directory)];
        ops.extend(changes(wanted));
        ops.push(Op::GetAttr);
        let reply = self.send(&ops).await?;
        let error = |at: usize, status| AttributeError::Refused(action_of(ops[at]), status);
        match reply.stopped {
            None => {
                let found = reply.file().ok_or_else(|| self.incomplete())?.found;
                Ok(AttributeError::check(&found, wanted).map(|()| found))
            }
            Some(stopped) if stopped.status.asks_to_retry() => {
                self.pause(stopped.status).await;
                Err(RoundError::Retry(RetryReason::Later))
            }
            Some(Stopped { at, status }) if error(at, status).mode_cannot_be_set() => {
                Box::pin(self.set(directory, after_refused_mode(wanted))).await
            }
            Some(Stopped { at, status }) => Ok(Err(error(at, status))),
        }
    }
}

/// The SETATTRs that set the wanted attributes.
fn changes<'a>(wanted: Attributes) -> impl Iterator<Item = Op<'a>> {
    Change::all(wanted).map(|(_, change)| Op::SetAttr(change))
}

fn action_of(op: Op<'_>) -> Action<'static> {
    match op {
        Op::SetAttr(Change { mode: None, .. }) => Action::SetOwner,
        _ => Action::SetMode,
    }
}

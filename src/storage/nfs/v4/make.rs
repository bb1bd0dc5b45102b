//! Making a directory with exactly the attributes that are wanted (CREATE and SETATTR: RFC 8881, 18.4 and 18.30).
//!
//! Servers drop setuid, setgid and sticky bits from CREATE and may apply a umask: SETATTR follows in the same COMPOUND,
//! the owner first, for a change of owner may drop bits too, and GETATTR shows what came of it. A directory that this
//! call made and could not give the attributes is removed again, if it is still the one at its place. Missing parents that were made stay: they are empty,
//! and the next try wants them.

use std::sync::atomic::{AtomicBool, Ordering};

use super::attempt::{Attempt, RetryReason, RoundError};
use super::attributes::Change;
use super::compound::Stopped;
use super::operation::{Handle, Op};
use super::walk::{Spot, Walk};
use crate::model::attributes::Attributes;
use crate::model::directory::Directory;
use crate::model::identity::Identity;
use crate::storage::attributes::{self, OF_PARENTS};
use crate::storage::messages::Action;
use crate::storage::status::Status;
use crate::storage::{Existing, Made};

/// What an earlier round of the same call knows.
#[derive(Default)]
pub(super) struct EarlierRounds {
    /// A CREATE got no answer, or no SETATTR after it: a directory that is there now counts as made by this call.
    maybe_made: AtomicBool,
}

/// See [`attributes::AttributeError`].
type AttributeError = attributes::AttributeError<Action<'static>, Status>;

/// What CREATE came to.
enum Created {
    Now(Spot),
    There,
}

impl Attempt<'_> {
    /// One round of [`crate::storage::Storage::make`].
    pub async fn make(
        &self,
        directory: &Directory,
        wanted: Attributes,
        existing: Existing,
        earlier: &EarlierRounds,
    ) -> Result<Made, RoundError> {
        let (parents, last) = directory.split_last();
        let parent = self.parents(&parents).await?;
        let ours = earlier.maybe_made.load(Ordering::Relaxed);
        if existing == Existing::LeaveAlone && !ours {
            // Looked at before anything is made: what is there after a lost CREATE is then known to be ours.
            if let Some(spot) = self.look(&parent, last.as_bytes()).await? {
                self.directory(&spot, Action::Segment(last))?;
                return Ok(Made {
                    identity: spot.file.identity,
                    new: false,
                });
            }
        }
        let created = self.create(&parent, last, wanted).await;
        if let Err(RoundError::Retry(RetryReason::Lost | RetryReason::Later)) = created {
            earlier.maybe_made.store(true, Ordering::Relaxed);
        }
        match created? {
            Created::Now(spot) => Ok(Made {
                identity: spot.file.identity,
                new: true,
            }),
            Created::There => {
                let spot = self.just_there(&parent, last).await?;
                if existing == Existing::SetAttributes || ours {
                    self.set(&spot, wanted).await?;
                }
                Ok(Made {
                    identity: spot.file.identity,
                    new: ours,
                })
            }
        }
    }

    /// The directory in which the last segment goes, made as far as it is missing.
    async fn parents(&self, segments: &[&str]) -> Result<Handle, RoundError> {
        let missing = match self.walk(segments).await? {
            Walk::Found(spot) => return Ok(spot.handle),
            Walk::Missing(at) => at,
        };
        let mut above = self.walk(&segments[..missing]).await?.must_exist()?.handle;
        for segment in &segments[missing..] {
            above = match self.create(&above, segment, OF_PARENTS).await? {
                Created::Now(spot) => spot.handle,
                // Somebody else made it in the meantime, for a directory beside ours.
                Created::There => self.just_there(&above, segment).await?.handle,
            };
        }
        Ok(above)
    }

    /// A directory that the server just said is there.
    async fn just_there(&self, parent: &Handle, name: &str) -> Result<Spot, RoundError> {
        let gone = RoundError::Retry(RetryReason::Changed(Status::NOENT));
        let spot = self.look(parent, name.as_bytes()).await?.ok_or(gone)?;
        self.directory(&spot, Action::Segment(name))?;
        Ok(spot)
    }

    async fn create(&self, parent: &Handle, name: &str, wanted: Attributes) -> Result<Created, RoundError> {
        // Nobody else may write to it before the owner is right.
        let at_first = Change::mode(wanted.mode & 0o755);
        let mut ops = vec![Op::Put(parent), Op::CreateDirectory(name, at_first), Op::GetHandle];
        ops.push(Op::Get); // which one it is, should SETATTR fail
        ops.extend(changes(wanted));
        ops.push(Op::Get);
        let reply = self.send(&ops).await?;
        let error = match reply.stopped {
            None => {
                let spot = self.spot(&reply)?;
                match AttributeError::check(&spot.file.found(), wanted) {
                    Ok(()) => return Ok(Created::Now(spot)),
                    Err(error) => error,
                }
            }
            Some(Stopped {
                at: 0 | 1,
                status: Status::EXIST,
            }) => return Ok(Created::There),
            // The parent was removed after the walk.
            Some(Stopped {
                at: 0 | 1,
                status: Status::NOENT,
            }) => {
                return Err(RoundError::Retry(RetryReason::Changed(Status::NOENT)));
            }
            Some(Stopped { at: 0 | 1, status }) => return Err(self.refused(Action::Make, status)),
            Some(Stopped { status, .. }) if status.later() => {
                self.pause(status).await;
                return Err(RoundError::Retry(RetryReason::Later));
            }
            Some(Stopped { at, status }) => AttributeError::Refused(action_of(ops[at]), status),
        };
        // It is of no use: this call made it, just now, so this call may remove it.
        let gone = match reply.file() {
            Some(file) => self.undo(parent, name, file.identity).await,
            None => false,
        };
        self.partly_done(!gone);
        Err(self.wrong_attributes(&error))
    }

    /// Removes the directory that CREATE made; whether it is not there any more.
    async fn undo(&self, parent: &Handle, name: &str, made: Identity) -> bool {
        let ops = [
            Op::Put(parent),
            Op::Save,
            Op::Lookup(name.as_bytes()),
            Op::Verify(made),
            Op::Restore,
            Op::Remove(name.as_bytes()),
        ];
        let undone = self.send(&ops).await;
        // NOT_SAME: somebody put another one in its place, and that is theirs.
        let gone = [Status::NOENT, Status::NOT_SAME];
        undone.is_ok_and(|reply| reply.stopped.is_none_or(|stop| gone.contains(&stop.status)))
    }

    /// Gives a directory that is there the attributes that it lacks.
    async fn set(&self, spot: &Spot, wanted: Attributes) -> Result<(), RoundError> {
        if AttributeError::check(&spot.file.found(), wanted).is_ok() {
            return Ok(());
        }
        let mut ops = vec![Op::Put(&spot.handle)];
        ops.extend(changes(wanted));
        ops.push(Op::Get);
        let reply = self.send(&ops).await?;
        match reply.stopped {
            None => {
                let file = reply.file().ok_or_else(|| self.incomplete())?;
                AttributeError::check(&file.found(), wanted).map_err(|error| self.wrong_attributes(&error))
            }
            Some(stopped) if stopped.status.later() => {
                self.pause(stopped.status).await;
                Err(RoundError::Retry(RetryReason::Later))
            }
            Some(Stopped { at, status }) => Err(self.refused(action_of(ops[at]), status)),
        }
    }
}

/// The SETATTRs that bring about what is wanted.
fn changes<'a>(wanted: Attributes) -> impl Iterator<Item = Op<'a>> {
    let owner = Change {
        mode: None,
        uid: wanted.uid,
        gid: wanted.gid,
    };
    let chown = wanted.uid.or(wanted.gid).is_some();
    chown
        .then_some(Op::Set(owner))
        .into_iter()
        .chain([Op::Set(Change::mode(wanted.mode))])
}

fn action_of(op: Op<'_>) -> Action<'static> {
    match op {
        Op::Set(Change { mode: None, .. }) => Action::SetOwner,
        _ => Action::SetMode,
    }
}

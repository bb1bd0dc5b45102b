//! Making a directory with exactly the attributes that are wanted (MKDIR and SETATTR: RFC 1813, 3.3.9 and 3.3.2).
//!
//! Servers drop setuid, setgid and sticky bits from MKDIR and may apply a umask: SETATTR follows, the owner first, for a
//! change of owner may drop bits too, and the attributes are looked at after it. A directory that this call made and could
//! not give the attributes is removed again, if it is still the one at its place. Missing parents that were made stay: they
//! are empty, and the next try wants them.

use std::sync::atomic::{AtomicBool, Ordering};

use super::attempt::{Attempt, RetryReason, RoundError};
use super::calls::{Call, Change, File, Handle, Reply, sane};
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
    /// An MKDIR got no answer, or no SETATTR after it: a directory that is there now counts as made by this call.
    maybe_made: AtomicBool,
}

/// See [`attributes::AttributeError`].
type AttributeError = attributes::AttributeError<Action<'static>, Status>;

/// What MKDIR came to.
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
            // Looked at before anything is made: what is there after a lost MKDIR is then known to be ours.
            if let Some(spot) = self.look(&parent, last.as_bytes()).await? {
                self.directory(&spot, Action::Segment(last))?;
                return Ok(Made {
                    identity: spot.file.identity,
                    new: false,
                });
            }
        }
        let created = self.create(&parent, last, wanted).await;
        if let Err(RoundError::Retry(RetryReason::Lost)) = created {
            earlier.maybe_made.store(true, Ordering::Relaxed);
        }
        match created? {
            Created::Now(spot) => Ok(Made {
                identity: spot.file.identity,
                new: true,
            }),
            Created::There => {
                let spot = self.just_there(&parent, last).await?;
                if (existing == Existing::SetAttributes || ours)
                    && AttributeError::check(&spot.file.found(), wanted).is_err()
                {
                    let set = self.set(&spot.handle, wanted).await?;
                    set.map_err(|error| self.wrong_attributes(&error))?;
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
        let handle = match self.send(Call::Make(parent, name, wanted.mode & 0o755)).await? {
            Ok(Reply::Spot(handle, _)) => handle.filter(sane),
            Ok(_) => return Err(self.incomplete()),
            Err(Status::EXIST) => return Ok(Created::There),
            // The parent was removed after the walk.
            Err(Status::NOENT) => return Err(RoundError::Retry(RetryReason::Changed(Status::NOENT))),
            Err(status) => return Err(self.refused(Action::Make, status)),
        };
        self.partly_done(true);
        let made = self.finish(parent, name, handle, wanted).await;
        if let Ok(Created::Now(_)) = made {
            self.partly_done(false);
        }
        // Whatever was to be found out was not: a directory that is there now is the one that was just made.
        made.map_err(|error| match error {
            RoundError::Retry(_) => RoundError::Retry(RetryReason::Lost),
            failed @ RoundError::Failed(_) => failed,
        })
    }

    /// Gives a directory that MKDIR just made its attributes, or removes it.
    async fn finish(
        &self,
        parent: &Handle,
        name: &str,
        handle: Option<Handle>,
        wanted: Attributes,
    ) -> Result<Created, RoundError> {
        let handle = match handle {
            Some(handle) => handle,
            None => self.just_there(parent, name).await?.handle,
        };
        let error = match self.set(&handle, wanted).await? {
            Ok(file) => return Ok(Created::Now(Spot { handle, file })),
            Err(error) => error,
        };
        // It is of no use: this call made it, just now, so this call may remove it.
        let identity = self.file(&handle, Action::Make).await?.identity;
        let gone = self.undo(parent, name, identity).await;
        self.partly_done(!gone);
        Err(self.wrong_attributes(&error))
    }

    /// Removes the directory that MKDIR made; whether it is not there any more.
    async fn undo(&self, parent: &Handle, name: &str, made: Identity) -> bool {
        match self.look(parent, name.as_bytes()).await {
            Ok(Some(spot)) if spot.file.identity == made => {}
            // Somebody put another one in its place, and that is theirs.
            Ok(_) => return true,
            Err(_) => return false,
        }
        let undone = self.send(Call::RemoveDirectory(parent, name.as_bytes())).await;
        matches!(undone, Ok(Ok(_) | Err(Status::NOENT)))
    }

    /// Gives a directory that is there the attributes that are wanted, and looks at what came of it.
    async fn set(&self, handle: &Handle, wanted: Attributes) -> Result<Result<File, AttributeError>, RoundError> {
        let owner = Change {
            mode: None,
            uid: wanted.uid,
            gid: wanted.gid,
        };
        let chown = wanted.uid.or(wanted.gid).is_some();
        let changes = [
            (chown, Action::SetOwner, owner),
            (true, Action::SetMode, Change::mode(wanted.mode)),
        ];
        let mut told = None;
        for (_, action, change) in changes.into_iter().filter(|(needed, ..)| *needed) {
            match self.send(Call::Set(handle, change)).await? {
                Ok(Reply::File(file)) => told = file,
                Ok(_) => return Err(self.incomplete()),
                Err(status) => return Ok(Err(AttributeError::Refused(action, status))),
            }
        }
        // Servers need not tell.
        let file = match told {
            Some(file) => file,
            None => self.file(handle, Action::SetMode).await?,
        };
        Ok(AttributeError::check(&file.found(), wanted).map(|()| file))
    }
}

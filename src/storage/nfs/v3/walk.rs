//! From the share to a directory below it, name by name (LOOKUP: RFC 1813, 3.3.3).
//!
//! LOOKUP follows no symbolic link: a link on the way is told by its type, and the walk stops there. What is done with the
//! place that is found goes by its file handle. Left out: handles kept from one verb to the next, which the server may have
//! forgotten.

use super::attempt::{Attempt, RetryReason, RoundError};
use super::calls::{Call, File, Handle, Reply, sane};
use crate::storage::messages::Action;
use crate::storage::status::Status;

/// A file on the server.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub handle: Handle,
    pub file: File,
}

/// Where a walk came to.
pub(super) enum Walk {
    Found(Spot),
    /// The segment with this number is not there.
    Missing(usize),
}

impl Attempt<'_> {
    /// Walks from the share through `below`. What is found is a directory.
    pub async fn walk(&self, below: &[&str]) -> Result<Walk, RoundError> {
        let handle = self.root().await?;
        let file = self.file(&handle, Action::Share("/")).await?;
        let mut spot = Spot { handle, file };
        self.directory(&spot, Action::Share("/"))?;
        for (at, segment) in below.iter().enumerate() {
            spot = match self.look(&spot.handle, segment.as_bytes()).await? {
                Some(next) => next,
                None => return Ok(Walk::Missing(at)),
            };
            self.directory(&spot, Action::Segment(segment))?;
        }
        Ok(Walk::Found(spot))
    }

    /// What has this name in a directory, whatever it is; a link is not followed.
    pub async fn look(&self, directory: &Handle, name: &[u8]) -> Result<Option<Spot>, RoundError> {
        match self.try_look(directory, name).await? {
            Ok(spot) => Ok(Some(spot)),
            Err(Status::NOENT) => Ok(None),
            Err(status) => Err(self.refused(Action::Segment(&String::from_utf8_lossy(name)), status)),
        }
    }

    /// The same, with what the server answers instead.
    pub async fn try_look(&self, directory: &Handle, name: &[u8]) -> Result<Result<Spot, Status>, RoundError> {
        let (handle, file) = match self.send(Call::Look(directory, name)).await? {
            Ok(Reply::Spot(Some(handle), file)) if sane(&handle) => (handle, file),
            Ok(_) => return Err(self.incomplete()),
            Err(status) => return Ok(Err(status)),
        };
        // Servers need not tell the attributes along with the handle.
        let file = match file {
            Some(file) => file,
            None => {
                self.file(&handle, Action::Segment(&String::from_utf8_lossy(name)))
                    .await?
            }
        };
        Ok(Ok(Spot { handle, file }))
    }

    /// What is behind a handle.
    pub async fn file(&self, handle: &Handle, action: Action<'_>) -> Result<File, RoundError> {
        match self.send(Call::Get(handle)).await? {
            Ok(Reply::File(Some(file))) => Ok(file),
            Ok(_) => Err(self.incomplete()),
            Err(status) => Err(self.refused(action, status)),
        }
    }

    /// Fails if a file or a link stands where a directory is meant.
    pub fn directory(&self, spot: &Spot, action: Action<'_>) -> Result<(), RoundError> {
        if spot.file.directory {
            return Ok(());
        }
        Err(self.refused(action, Status::NOTDIR))
    }
}

impl Walk {
    /// The place, if it must be there because it just was.
    pub fn must_exist(self) -> Result<Spot, RoundError> {
        match self {
            Self::Found(spot) => Ok(spot),
            Self::Missing(_) => Err(RoundError::Retry(RetryReason::Changed(Status::NOENT))),
        }
    }
}

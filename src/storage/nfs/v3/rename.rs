//! Moving and removing one directory, the one that is meant (RENAME and RMDIR: RFC 1813, 3.3.14 and 3.3.13).
//!
//! Version 3 cannot tie a look and a deed together. So the directory is looked at right before it is moved, and again at
//! its new place; what turns out to be another one is moved back. Nothing is ever moved onto something: RENAME would replace
//! an empty directory without a word. Left out: moving across file systems, which would be a copy.

use super::attempt::{Attempt, RetryReason, RoundError};
use super::calls::{Call, Handle};
use super::walk::Walk;
use crate::model::directory::Directory;
use crate::model::identity::Identity;
use crate::storage::messages::Action;
use crate::storage::status::Status;
use crate::storage::{Fault, Moved, Removed};

impl Attempt<'_> {
    /// One round of [`crate::storage::Storage::rename`]. After a lost answer the next round finds the directory at
    /// the new place.
    pub async fn rename(&self, from: &Directory, expected: Identity, to: &Directory) -> Result<Moved, RoundError> {
        let (from_parents, from_last) = from.split_last();
        let (to_parents, to_last) = to.split_last();
        let Walk::Found(source) = self.walk(&from_parents).await? else {
            return self.moved_before(from, expected, to, Moved::Missing).await;
        };
        let Walk::Found(target) = self.walk(&to_parents).await? else {
            return Err(self.refused(Action::Rename, Status::NOENT));
        };
        let Some(there) = self.look(&source.handle, from_last.as_bytes()).await? else {
            return self.moved_before(from, expected, to, Moved::Missing).await;
        };
        if there.file.identity != expected {
            let another = Moved::Another(there.file.identity);
            return self.moved_before(from, expected, to, another).await;
        }
        if self.look(&target.handle, to_last.as_bytes()).await?.is_some() {
            return Err(self.refused(Action::Rename, Status::EXIST));
        }
        self.move_one([&source.handle, &target.handle], [from_last, to_last])
            .await?;
        self.partly_done(true);
        let moved = self.look(&target.handle, to_last.as_bytes()).await?;
        let Some(moved) = moved else {
            return Err(RoundError::Retry(RetryReason::Changed(Status::NOENT)));
        };
        if moved.file.identity != expected {
            // It took the place of the one that is meant after the look.
            if self.look(&source.handle, from_last.as_bytes()).await?.is_some() {
                return Err(self.misplaced(from, to));
            }
            self.move_one([&target.handle, &source.handle], [to_last, from_last])
                .await?;
        }
        self.partly_done(false);
        Ok(if moved.file.identity == expected {
            Moved::Done
        } else {
            Moved::Another(moved.file.identity)
        })
    }

    async fn move_one(&self, directories: [&Handle; 2], names: [&str; 2]) -> Result<(), RoundError> {
        match self.send(Call::Rename(directories, names)).await? {
            Ok(_) => Ok(()),
            // Source or target went away after the looks: look again which.
            Err(Status::NOENT) => Err(RoundError::Retry(RetryReason::Changed(Status::NOENT))),
            Err(status) => Err(self.refused(Action::Rename, status)),
        }
    }

    /// `otherwise`, unless the directory is at its new place already.
    async fn moved_before(
        &self,
        from: &Directory,
        expected: Identity,
        to: &Directory,
        otherwise: Moved,
    ) -> Result<Moved, RoundError> {
        let (parents, last) = to.split_last();
        let Walk::Found(target) = self.walk(&parents).await? else {
            return Ok(otherwise);
        };
        match self.look(&target.handle, last.as_bytes()).await? {
            None => Ok(otherwise),
            Some(spot) if spot.file.identity == expected => Ok(Moved::Done),
            // To answer as if nothing were there would give it up to whoever looks after the new place.
            Some(_) => Err(self.misplaced(from, to)),
        }
    }

    fn misplaced(&self, from: &Directory, to: &Directory) -> RoundError {
        let text = format!(
            "another directory than the one that is meant is at {to}; a move that was cut short may have brought it there. \
             If it belongs at {from}, move it back on the server, else away."
        );
        self.fails(Fault::Other, &text)
    }

    /// One round of [`crate::storage::Storage::remove_empty`].
    pub async fn remove_empty(&self, directory: &Directory, expected: Identity) -> Result<Removed, RoundError> {
        let (parents, last) = directory.split_last();
        let Walk::Found(parent) = self.walk(&parents).await? else {
            return Ok(Removed::Missing);
        };
        match self.look(&parent.handle, last.as_bytes()).await? {
            None => return Ok(Removed::Missing),
            Some(spot) if spot.file.identity != expected => return Ok(Removed::Another(spot.file.identity)),
            Some(_) => {}
        }
        match self
            .send(Call::RemoveDirectory(&parent.handle, last.as_bytes()))
            .await?
        {
            Ok(_) => Ok(Removed::Done),
            Err(Status::NOENT) => Ok(Removed::Missing),
            // Some file systems say EXIST.
            Err(Status::NOTEMPTY | Status::EXIST) => Ok(Removed::NotEmpty),
            Err(status) => Err(self.refused(Action::Remove, status)),
        }
    }
}

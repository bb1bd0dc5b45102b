//! Moving and removing one directory, the one that is meant (RENAME, REMOVE and VERIFY: RFC 8881, 18.26, 18.25, 18.31).
//!
//! VERIFY compares the identity in the same COMPOUND as the deed: if another directory stands at the place by now, the
//! server stops there. Left out: moving across file systems, which would be a copy.

use super::attempt::{Attempt, RetryReason, RoundError};
use super::compound::Stopped;
use super::operation::Op;
use super::walk::Walk;
use crate::model::directory::Directory;
use crate::model::identity::Identity;
use crate::storage::messages::Action;
use crate::storage::status::Status;
use crate::storage::{Moved, Removed};

impl Attempt<'_> {
    /// One round of [`crate::storage::Storage::rename`]. After a lost answer the next round finds the directory at
    /// the new place.
    pub async fn rename(&self, from: &Directory, expected: Identity, to: &Directory) -> Result<Moved, RoundError> {
        let (from_parents, from_last) = from.split_last();
        let (to_parents, to_last) = to.split_last();
        let Walk::Found(source) = self.walk(&from_parents).await? else {
            return self.moved_before(expected, to, Moved::Missing).await;
        };
        let Walk::Found(target) = self.walk(&to_parents).await? else {
            return Err(self.refused(Action::Rename, Status::NOENT));
        };
        let ops = [
            Op::Put(&source.handle),
            Op::Save,
            Op::Lookup(from_last.as_bytes()),
            Op::Get,
            Op::Verify(expected),
            Op::Put(&target.handle),
            Op::Rename(from_last, to_last),
        ];
        let reply = self.send(&ops).await?;
        match reply.stopped {
            None => Ok(Moved::Done),
            Some(Stopped {
                at: 2,
                status: Status::NOENT,
            }) => self.moved_before(expected, to, Moved::Missing).await,
            Some(Stopped {
                at: 4,
                status: Status::NOT_SAME,
            }) => {
                let other = reply.file().ok_or_else(|| self.incomplete())?.identity;
                self.moved_before(expected, to, Moved::Another(other)).await
            }
            // Source or target went away between VERIFY and RENAME, or after the walks: look again which.
            Some(Stopped {
                at: 6,
                status: Status::NOENT,
            }) => Err(RoundError::Retry(RetryReason::Changed(Status::NOENT))),
            Some(Stopped { at: 2, status }) => Err(self.refused(Action::Segment(from_last), status)),
            Some(Stopped { status, .. }) => Err(self.refused(Action::Rename, status)),
        }
    }

    /// `otherwise`, unless the directory is at its new place already.
    async fn moved_before(&self, expected: Identity, to: &Directory, otherwise: Moved) -> Result<Moved, RoundError> {
        let (parents, last) = to.split_last();
        let Walk::Found(target) = self.walk(&parents).await? else {
            return Ok(otherwise);
        };
        let there = self.look(&target.handle, last.as_bytes()).await?;
        Ok(if there.is_some_and(|spot| spot.file.identity == expected) {
            Moved::Done
        } else {
            otherwise
        })
    }

    /// One round of [`crate::storage::Storage::remove_empty`].
    pub async fn remove_empty(&self, directory: &Directory, expected: Identity) -> Result<Removed, RoundError> {
        let (parents, last) = directory.split_last();
        let Walk::Found(parent) = self.walk(&parents).await? else {
            return Ok(Removed::Missing);
        };
        let ops = [
            Op::Put(&parent.handle),
            Op::Save,
            Op::Lookup(last.as_bytes()),
            Op::Get,
            Op::Verify(expected),
            Op::Restore,
            Op::Remove(last.as_bytes()),
        ];
        let reply = self.send(&ops).await?;
        match reply.stopped {
            None => Ok(Removed::Done),
            Some(Stopped {
                at: 2 | 6,
                status: Status::NOENT,
            }) => Ok(Removed::Missing),
            Some(Stopped {
                at: 4,
                status: Status::NOT_SAME,
            }) => Ok(Removed::Another(
                reply.file().ok_or_else(|| self.incomplete())?.identity,
            )),
            // Some file systems say EXIST.
            Some(Stopped {
                at: 6,
                status: Status::NOTEMPTY | Status::EXIST,
            }) => Ok(Removed::NotEmpty),
            Some(Stopped { at: 2, status }) => Err(self.refused(Action::Segment(last), status)),
            Some(Stopped { status, .. }) => Err(self.refused(Action::Remove, status)),
        }
    }
}

//! Moves or removes one directory, if it has the expected identity.
//!
//! Directories are not moved to another file system: that would be a copy.

use super::protocol::{Protocol, Walk};
use crate::model::directory::Directory;
use crate::model::identity::Identity;
use crate::storage::attempt::{Attempt, RoundError};
use crate::storage::refusal::Action;
use crate::storage::status::Status;
use crate::storage::{Fault, Moved, Removed};

impl<P: Protocol> Attempt<'_, P> {
    /// One round of [`crate::storage::Storage::rename`]. After a call without an answer, the next round finds the directory
    /// at the new place.
    pub async fn rename(&self, from: &Directory, expected: Identity, to: &Directory) -> Result<Moved, RoundError> {
        let (from_parents, last) = from.split_last();
        let (to_parents, _) = to.split_last();
        let Walk::Found(source) = P::walk(self, &from_parents).await? else {
            return self.unless_moved(from, expected, to, Moved::Missing).await;
        };
        let Walk::Found(target) = P::walk(self, &to_parents).await? else {
            return Err(self.refused(Action::Rename, Status::NOENT));
        };
        let moved = match self.current_identity(&source.handle, last, expected).await? {
            Some(found) if found == expected => {
                P::rename(self, (&source.handle, from), expected, (&target.handle, to)).await?
            }
            Some(other) => Moved::Another(other),
            None => Moved::Missing,
        };
        match moved {
            Moved::Done => Ok(Moved::Done),
            otherwise => self.unless_moved(from, expected, to, otherwise).await,
        }
    }

    /// Returns `Done` if the directory is at its new path already, else `otherwise`.
    async fn unless_moved(
        &self,
        from: &Directory,
        expected: Identity,
        to: &Directory,
        otherwise: Moved,
    ) -> Result<Moved, RoundError> {
        let (parents, last) = to.split_last();
        let Walk::Found(target) = P::walk(self, &parents).await? else {
            return Ok(otherwise);
        };
        match self.identity_in(&target.handle, last).await? {
            Some(found) if found == expected => Ok(Moved::Done),
            // With `otherwise` the caller would use the new path, although another directory is there.
            Some(_) if P::RENAME_MAY_MISPLACE => Err(self.misplaced(from, to)),
            _ => Ok(otherwise),
        }
    }

    /// Returns the error of the verb: a wrong directory is at the new path.
    pub fn misplaced(&self, from: &Directory, to: &Directory) -> RoundError {
        let text = format!(
            "a wrong directory is at {to}; an interrupted move may have put it there. If it belongs at {from}, move it back \
             on the server; otherwise move it away."
        );
        self.fails(Fault::Other.because(text))
    }

    /// One round of [`crate::storage::Storage::remove_empty`].
    pub async fn remove_empty(&self, directory: &Directory, expected: Identity) -> Result<Removed, RoundError> {
        let (parents, last) = directory.split_last();
        let Walk::Found(parent) = P::walk(self, &parents).await? else {
            return Ok(Removed::Missing);
        };
        match self.current_identity(&parent.handle, last, expected).await? {
            Some(found) if found == expected => P::remove_empty(self, &parent.handle, last, expected).await,
            Some(other) => Ok(Removed::Another(other)),
            None => Ok(Removed::Missing),
        }
    }

    /// Returns the identity of the directory of this name, or `expected` if a later call checks it.
    async fn current_identity(
        &self,
        parent: &P::Handle,
        name: &str,
        expected: Identity,
    ) -> Result<Option<Identity>, RoundError> {
        if P::CHECKS_IDENTITY {
            return Ok(Some(expected));
        }
        self.identity_in(parent, name).await
    }
}

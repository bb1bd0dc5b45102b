//! Reads the space of the file system of a share, or of a directory.

use super::protocol::{Protocol, Walk};
use crate::model::directory::Directory;
use crate::storage::Space;
use crate::storage::attempt::{Attempt, RoundError};
use crate::storage::refusal::Action;
use crate::storage::status::Status;

impl<P: Protocol> Attempt<'_, P> {
    /// One round of [`crate::storage::Storage::space`].
    pub async fn space(&self, directory: Option<&Directory>) -> Result<Option<Space>, RoundError> {
        let segments: Vec<&str> = directory.iter().flat_map(|directory| directory.segments()).collect();
        let found = match P::walk(self, &segments).await? {
            Walk::Missing(_) if directory.is_some() => return Ok(None),
            found => found.must_exist()?,
        };
        match P::space(self, &found.handle).await? {
            Ok(space) => Ok(space),
            // Version 4 lets a server omit the attributes; version 3 lets it omit the procedure.
            Err(Status::NOTSUPP | Status::ATTRNOTSUPP) => Ok(None),
            Err(status) => Err(self.refused(Action::ReadSpace, status)),
        }
    }
}

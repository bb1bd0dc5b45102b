//! Reads the space of the file system of a share.

use super::protocol::Protocol;
use crate::storage::Space;
use crate::storage::attempt::{Attempt, RoundError};
use crate::storage::refusal::Action;
use crate::storage::status::Status;

impl<P: Protocol> Attempt<'_, P> {
    /// One round of [`crate::storage::Storage::space`].
    pub async fn space(&self) -> Result<Option<Space>, RoundError> {
        let root = P::walk(self, &[]).await?.must_exist()?;
        match P::space(self, &root.handle).await? {
            Ok(space) => Ok(space),
            // Version 4 lets a server omit the attributes; version 3 lets it omit the procedure.
            Err(Status::NOTSUPP | Status::ATTRNOTSUPP) => Ok(None),
            Err(status) => Err(self.refused(Action::ReadSpace, status)),
        }
    }
}

//! Lists the names in a directory.

use super::protocol::{Position, Protocol, Walk};
use crate::model::directory::Directory;
use crate::storage::Fault;
use crate::storage::attempt::{Attempt, RetryReason, RoundError};
use crate::storage::refusal::{self, Action};
use crate::storage::status::Status;

impl<P: Protocol> Attempt<'_, P> {
    /// One round of [`crate::storage::Storage::list`].
    pub async fn list(&self, directory: Option<&Directory>) -> Result<Vec<String>, RoundError> {
        let segments: Vec<&str> = directory.iter().flat_map(|directory| directory.segments()).collect();
        let Walk::Found(directory) = P::walk(self, &segments).await? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        let mut from = Position::default();
        loop {
            let page = match P::page(self, &directory.handle, from).await? {
                Ok(page) => page,
                // The directory has changed, and the server cannot continue: an entry is gone, or a position is not valid.
                Err(status @ (Status::NOT_SAME | Status::BAD_COOKIE | Status::NOENT)) => {
                    return Err(RoundError::Retry(RetryReason::Changed(status)));
                }
                Err(status) => return Err(self.refused(Action::List, status)),
            };
            let in_utf8 = |name| String::from_utf8(name).ok();
            names.extend(page.entries.into_iter().filter_map(|entry| in_utf8(entry.name)));
            if names.len() > refusal::MAX_NAMES {
                return Err(self.fails(Fault::Other.because(refusal::TOO_MANY_NAMES)));
            }
            if page.last {
                return Ok(names);
            }
            from = page.next;
        }
    }
}

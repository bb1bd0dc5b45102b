//! The names in a directory (READDIR: RFC 8881, 18.23).

use super::attempt::{Attempt, RetryReason, RoundError};
use super::operation::{From, Handle, Op, Page};
use super::walk::Walk;
use crate::model::directory::Directory;
use crate::storage::Fault;
use crate::storage::messages::Action;
use crate::storage::status::Status;

/// What one READDIR is to bring at most, in bytes.
const LARGEST_PAGE: u32 = 32 * 1024;
/// A share with more names than this is not listed: 250 MB of memory at worst.
const MOST_NAMES: usize = 1_000_000;

impl Attempt<'_> {
    /// One round of [`crate::storage::Storage::list`].
    pub async fn list(&self, directory: Option<&Directory>) -> Result<Vec<String>, RoundError> {
        let segments: Vec<&str> = directory.iter().flat_map(|directory| directory.segments()).collect();
        let Walk::Found(spot) = self.walk(&segments).await? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        let (mut cookie, mut verifier) = (0, [0; 8]);
        loop {
            let page = match self.page(&spot.handle, cookie, verifier).await? {
                Ok(page) => page,
                // The server lost its place in the directory.
                Err(status @ (Status::NOT_SAME | Status::BAD_COOKIE)) => {
                    return Err(RoundError::Retry(RetryReason::Changed(status)));
                }
                Err(status) => return Err(self.refused(Action::List, status)),
            };
            let Some(end) = page.entries.last() else {
                return Ok(names);
            };
            (cookie, verifier) = (end.cookie, page.verifier);
            names.extend(
                page.entries
                    .into_iter()
                    .filter_map(|entry| String::from_utf8(entry.name).ok()),
            );
            if names.len() > MOST_NAMES {
                return Err(self.fails(Fault::Other, "more than a million names are in it. Divide it."));
            }
            if page.last {
                return Ok(names);
            }
        }
    }

    /// One page of a directory, or what the server answered instead.
    pub async fn page(
        &self,
        directory: &Handle,
        cookie: u64,
        verifier: [u8; 8],
    ) -> Result<Result<Page, Status>, RoundError> {
        // The reply holds more than the page.
        let room = LARGEST_PAGE.min(self.server().limits().reply - 1024);
        let reply = self
            .send(&[Op::Put(directory), Op::ReadDirectory(From { cookie, verifier, room })])
            .await?;
        match reply.stopped {
            None => {
                let page = reply.into_page().ok_or_else(|| self.incomplete())?;
                if page.entries.is_empty() && !page.last {
                    // Neither the end nor a way on: to take it for the end would leave names out.
                    return Err(self.malformed("a page of a directory is empty and not the last"));
                }
                Ok(Ok(page))
            }
            Some(stopped) => Ok(Err(stopped.status)),
        }
    }
}

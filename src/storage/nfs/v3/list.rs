//! The names in a directory (READDIR: RFC 1813, 3.3.16).

use super::attempt::{Attempt, RetryReason, RoundError};
use super::calls::{Call, From, Handle, Page, Reply};
use super::walk::Walk;
use crate::model::directory::Directory;
use crate::storage::Fault;
use crate::storage::messages::Action;
use crate::storage::status::Status;

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
        let mut from = From::default();
        loop {
            let page = match self.send(Call::Names(&spot.handle, from)).await? {
                Ok(reply) => self.page(reply, from)?,
                // The server lost its place in the directory.
                Err(Status::BAD_COOKIE) => return Err(RoundError::Retry(RetryReason::Changed(Status::BAD_COOKIE))),
                Err(status) => return Err(self.refused(Action::List, status)),
            };
            let utf8 = |name| String::from_utf8(name).ok();
            names.extend(page.entries.into_iter().filter_map(|entry| utf8(entry.name)));
            if names.len() > MOST_NAMES {
                return Err(self.fails(Fault::Other, "more than a million names are in it. Divide it."));
            }
            if page.last {
                return Ok(names);
            }
            from = page.next;
        }
    }

    /// The first page of a directory, with what the names are if the server says; or what it answers instead.
    pub async fn first_page(&self, directory: &Handle) -> Result<Result<Page, Status>, RoundError> {
        let from = From::default();
        let answer = match self.send(Call::Page(directory, from)).await? {
            // Not every server has it, nor for every directory.
            Err(Status::NOTSUPP) => self.send(Call::Names(directory, from)).await?,
            answer => answer,
        };
        match answer {
            Ok(reply) => self.page(reply, from).map(Ok),
            Err(status) => Ok(Err(status)),
        }
    }

    fn page(&self, reply: Reply, from: From) -> Result<Page, RoundError> {
        match reply {
            // Neither the end nor a way on: to take it for the end would leave names out.
            Reply::Page(page) if !page.last && page.next.cookie == from.cookie => {
                Err(self.malformed("a page of a directory is empty and not the last"))
            }
            Reply::Page(page) => Ok(page),
            Reply::File(_) | Reply::Spot(..) => Err(self.incomplete()),
        }
    }
}

//! Removing a tree (READDIRPLUS, LOOKUP, REMOVE, RMDIR and SETATTR: RFC 1813, 3.3.17, 3.3.3, 3.3.12, 3.3.13 and 3.3.2). What is
//! removed when is [`crate::storage::nfs::remove_tree`]'s.

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::attempt::{Attempt, RoundError};
use super::calls::{Call, Change, Handle};
use super::pool::Pool;
use super::walk::Walk;
use crate::model::directory::Directory;
use crate::storage::Tree;
use crate::storage::nfs::remove_tree::{self, Page, Removed, Spot, What};
use crate::storage::status::Status;

/// The calls of one run.
struct Calls<'a, 'b> {
    attempt: &'a Attempt<'b>,
}

impl Attempt<'_> {
    /// One round of [`crate::storage::Storage::remove_tree`]. No call is begun after `until`.
    pub async fn remove_tree(&self, directory: &Directory, until: Instant) -> Result<Tree, RoundError> {
        let (parents, last) = directory.split_last();
        let Walk::Found(parent) = self.walk(&parents).await? else {
            return Ok(Tree::Gone);
        };
        let calls = Calls { attempt: self };
        remove_tree::remove(&calls, parent.handle, parent.file.identity.fsid, last, until).await
    }
}

impl remove_tree::Calls for Calls<'_, '_> {
    type Handle = Handle;
    type Protocol = Pool;

    fn attempt(&self) -> &Attempt<'_> {
        self.attempt
    }

    fn removals(&self) -> &Semaphore {
        self.attempt.server.removals()
    }

    async fn page(&self, directory: &Handle) -> Result<Result<Page, Status>, RoundError> {
        let page = self.attempt.first_page(directory).await?;
        Ok(page.map(|page| Page {
            entries: page
                .entries
                .into_iter()
                // What it is not known to be is found out by a look.
                .map(|entry| (entry.name, entry.directory != Some(false)))
                .collect(),
            last: page.last,
        }))
    }

    async fn look(&self, directory: &Handle, name: &[u8]) -> Result<Result<Spot<Handle>, Status>, RoundError> {
        let spot = self.attempt.try_look(directory, name).await?;
        Ok(spot.map(|spot| Spot {
            handle: spot.handle,
            is_directory: spot.file.directory,
            fsid: spot.file.identity.fsid,
        }))
    }

    /// Version 3 has no call for several.
    fn fit(&self, _: &[&[u8]]) -> usize {
        1
    }

    async fn remove(&self, directory: &Handle, names: &[&[u8]], what: What) -> Result<Removed, RoundError> {
        let Some(name) = names.first() else {
            return Ok(Removed { gone: 0, stopped: None });
        };
        let call = match what {
            What::Files => Call::Remove(directory, name),
            What::Directories | What::Tree => Call::RemoveDirectory(directory, name),
        };
        let answer = self.attempt.send(call).await?;
        self.attempt.partly_done(true);
        Ok(Removed {
            gone: usize::from(answer.is_ok()),
            stopped: answer.err(),
        })
    }

    async fn open(&self, directory: &Handle) -> Result<bool, RoundError> {
        let call = Call::Set(directory, Change::mode(0o700));
        Ok(self.attempt.send(call).await?.is_ok())
    }
}

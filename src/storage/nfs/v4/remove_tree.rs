//! Removing a tree (READDIR, LOOKUP, REMOVE and SETATTR: RFC 8881, 18.23, 18.13, 18.25 and 18.30). What is removed when is
//! [`crate::storage::nfs::remove_tree`]'s.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::attempt::{Attempt, RoundError};
use super::attributes::{Change, Kind};
use super::operation::{Handle, Op};
use super::pool::Late;
use super::server::Server;
use super::walk::Walk;
use crate::failpoints::{self, Point};
use crate::model::directory::Directory;
use crate::storage::Tree;
use crate::storage::nfs::remove_tree::{self, Page, Removed, Spot, What};
use crate::storage::status::Status;

/// REMOVEs in one COMPOUND: so many at first, and at most.
const FIRST_REMOVES: usize = 4;
const MOST_REMOVES: usize = 32;
/// A COMPOUND that took longer is followed by a smaller one: there may be large files in it, or others wait for the same
/// disk, and a call that takes longer than the verb has time for comes to nothing. Twice as much is still less than a
/// verb keeps for its last calls.
const SLOW: Duration = Duration::from_millis(200);

/// The calls of one run.
struct Calls<'a, 'b> {
    attempt: &'a Attempt<'b>,
    /// How many REMOVEs go into the next COMPOUND.
    removes: AtomicUsize,
}

impl Attempt<'_> {
    /// One round of [`crate::storage::Storage::remove_tree`]. No call is begun after `until`.
    pub async fn remove_tree(&self, directory: &Directory, until: Instant) -> Result<Tree, RoundError> {
        let (parents, last) = directory.split_last();
        let Walk::Found(parent) = self.walk(&parents).await? else {
            return Ok(Tree::Gone);
        };
        let calls = Calls {
            attempt: self,
            removes: AtomicUsize::new(FIRST_REMOVES),
        };
        remove_tree::remove(&calls, parent.handle, parent.file.identity.fsid, last, until).await
    }
}

impl remove_tree::Calls for Calls<'_, '_> {
    type Handle = Handle;
    type Protocol = Server;

    fn attempt(&self) -> &Attempt<'_> {
        self.attempt
    }

    fn removals(&self) -> &Semaphore {
        self.attempt.server().removals()
    }

    async fn page(&self, directory: &Handle) -> Result<Result<Page, Status>, RoundError> {
        let page = self.attempt.page(directory, 0, [0; 8]).await?;
        Ok(page.map(|page| Page {
            entries: page
                .entries
                .into_iter()
                .map(|entry| (entry.name, matches!(entry.kind, Some(Kind::Directory) | None)))
                .collect(),
            last: page.last,
        }))
    }

    async fn look(&self, directory: &Handle, name: &[u8]) -> Result<Result<Spot<Handle>, Status>, RoundError> {
        let ops = [Op::Put(directory), Op::Lookup(name), Op::GetHandle, Op::Get];
        let reply = self.attempt.send(&ops).await?;
        if let Some(stopped) = reply.stopped {
            return Ok(Err(stopped.status));
        }
        let spot = self.attempt.spot(&reply)?;
        Ok(Ok(Spot {
            handle: spot.handle,
            is_directory: spot.file.kind == Kind::Directory,
            fsid: spot.file.identity.fsid,
        }))
    }

    fn fit(&self, names: &[&[u8]]) -> usize {
        // SEQUENCE and PUTFH go along.
        let most = self.attempt.server().limits().fit(2, names.iter().copied());
        most.min(self.removes.load(Ordering::Relaxed))
    }

    async fn remove(&self, directory: &Handle, names: &[&[u8]], what: What) -> Result<Removed, RoundError> {
        let mut ops = vec![Op::Put(directory)];
        ops.extend(names.iter().map(|name| Op::Remove(name)));
        let sent = Instant::now();
        let late = match what {
            // They go by handle, in a directory that is to be emptied anyway: late, they do what the next call will do.
            What::Files | What::Directories => Late::Harmless,
            What::Tree => Late::Fenced,
        };
        let reply = self.attempt.send_as(&ops, late).await?;
        let removes = self.removes.load(Ordering::Relaxed);
        let next = if sent.elapsed() > SLOW {
            removes.min(names.len() / 2).max(1)
        } else {
            // Calls of one size that were under way together raise it once.
            removes.max(names.len() * 2).min(MOST_REMOVES)
        };
        self.removes.store(next, Ordering::Relaxed);
        self.attempt.partly_done(true);
        failpoints::point(Point::TreeHalfRemoved);
        let Some(stopped) = reply.stopped else {
            return Ok(Removed {
                gone: names.len(),
                stopped: None,
            });
        };
        if stopped.status.later() {
            self.attempt.pause(stopped.status).await;
        }
        Ok(Removed {
            // PUTFH is the operation before the first REMOVE.
            gone: stopped.at.saturating_sub(1),
            stopped: Some(stopped.status),
        })
    }

    async fn open(&self, directory: &Handle) -> Result<bool, RoundError> {
        let reply = self
            .attempt
            .send(&[Op::Put(directory), Op::Set(Change::mode(0o700))])
            .await?;
        Ok(reply.stopped.is_none())
    }
}

//! Removes a tree, for every kind of storage: which calls are made in which order.
//!
//! Calls go by file handle, so that no path is walked and no link can lead out of the tree; names are bytes. Several calls are
//! under way at the same time, since a server that writes synchronously lets each one wait for its disk: for parts of one page
//! of names, and for several directories. The deepest directory goes first. One page of names is kept for each directory that
//! is being emptied, and a limited number of those ([`directories`]): beyond it the one nearest to the top is forgotten. When
//! those that were below it are empty, the tree is entered from its top again. Pages are read from the front each time,
//! because what was read before has been removed since. After an interruption the next run finds less to remove.
//!
//! A directory that may not be listed or changed gets mode 0700 first, where the client may set it. Another file system in the
//! tree ends the run with an error: its files are not the claim's. After an error no further call is begun, and those
//! under way are waited for.

mod calls;
mod directories;
mod directory;

use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use self::calls::{Calls, Done};
use self::directories::{ABOVE, Directories};
use self::directory::{Child, Id};
use super::protocol::{FsObject, Name, Protocol, RemovedNames, Target, Walk};
use crate::model::directory::Directory;
use crate::storage::Tree;
use crate::storage::attempt::{Attempt, RetryReason, RoundError};
use crate::storage::messages;
use crate::storage::refusal::{self, Action};
use crate::storage::status::Status;

/// Calls under way for one tree, and for all trees of one server together: half of its sessions, so that claims always find
/// one.
pub(in crate::storage) const MAX_CALLS: usize = 8;
/// A run leaves at most this much of its time unused.
const LONGEST_MARGIN: Duration = Duration::from_millis(500);
/// How often directories may fill up again during the run before that is an error.
const MAX_ROUNDS: u32 = 64;
/// How many times in a row one directory may be not empty although nothing is listed in it.
const MAX_UNLISTED: u32 = 6;

/// A call under way, in this directory.
type Call<'a, H> = BoxFuture<'a, (Id, Result<Done<H>, RoundError>)>;

/// One run.
struct Removal<'a, P: Protocol> {
    calls: &'a Calls<'a, P>,
    /// The directory above the tree: on the file system that the run must not leave.
    parent: &'a FsObject<P::Handle>,
    directories: Directories<P::Handle>,
    rounds: u32,
}

impl<P: Protocol> Attempt<'_, P> {
    /// One round of [`crate::storage::Storage::remove_tree`].
    pub async fn remove_tree(&self, directory: &Directory) -> Result<Tree, RoundError> {
        let (parents, top) = directory.split_last();
        let Walk::Found(parent) = P::walk(self, &parents).await? else {
            return Ok(Tree::Gone);
        };
        // No call is begun later, so that none is dropped only because the deadline was short.
        let margin = self.deadline().saturating_duration_since(Instant::now()) / 4;
        let until = self.deadline() - margin.min(LONGEST_MARGIN);
        let calls = Calls::new(self, until);
        let mut removal = Removal {
            calls: &calls,
            parent: &parent,
            directories: Directories::new(parent.handle.clone(), top, P::MAX_DIRECTORIES),
            rounds: 0,
        };
        let mut in_progress: FuturesUnordered<Call<'_, P::Handle>> = FuturesUnordered::new();
        let mut failed = None;
        loop {
            while failed.is_none() && in_progress.len() < MAX_CALLS && Instant::now() < until {
                let Some(call) = removal.begin() else { break };
                in_progress.push(call);
            }
            let Some((id, done)) = in_progress.next().await else {
                break;
            };
            if let Err(error) = done.and_then(|done| removal.end(id, done)) {
                failed.get_or_insert(error);
            }
        }
        match failed {
            Some(error) => Err(error),
            None if removal.directories.is_empty() => Ok(Tree::Gone),
            None => Ok(Tree::Remains),
        }
    }
}

impl<'a, P: Protocol> Removal<'a, P> {
    /// Begins the next call, if there is one that waits for no other.
    fn begin(&mut self) -> Option<Call<'a, P::Handle>> {
        let calls = self.calls;
        let (id, directory, next) = self.directories.next_call(|names| calls.fit(names))?;
        let target = if id == ABOVE { Target::Tree } else { Target::Directories };
        Some(Box::pin(
            async move { (id, calls.send(&directory, next, target).await) },
        ))
    }

    /// Notes what a call came to.
    fn end(&mut self, id: Id, done: Done<P::Handle>) -> Result<(), RoundError> {
        // It may have been forgotten since; then it is found again.
        let Some(directory) = self.directories.get_mut(id) else {
            return Ok(());
        };
        directory.calls -= 1;
        match done {
            Done::NotSent => Ok(()),
            Done::Page(Ok(page)) => {
                directory.read = page.last;
                directory.listed |= !page.entries.is_empty();
                for entry in page.entries {
                    if entry.is_directory == Some(false) {
                        directory.files.push(entry.name);
                    } else {
                        // What the server does not say is looked up.
                        directory.directories.push(Child::new(entry.name));
                    }
                }
                Ok(())
            }
            // A late call of an earlier run removed it.
            Done::Page(Err(Status::NOENT)) => {
                directory.read = true;
                directory.listed = true;
                Ok(())
            }
            Done::Page(Err(status)) => self.denied(id, status),
            Done::Object(_, Err(Status::NOENT)) => Ok(()),
            // It has been replaced since.
            Done::Object(child, Err(Status::NOTDIR)) if id != ABOVE => {
                directory.files.push(child.name);
                Ok(())
            }
            Done::Object(child, Err(status)) => {
                if id == ABOVE {
                    let name = String::from_utf8_lossy(&child.name);
                    return Err(self.calls.attempt.refused(Action::Segment(&name), status));
                }
                directory.directories.push(child);
                self.denied(id, status)
            }
            Done::Object(child, Ok(object)) => self.enter(id, child, object),
            Done::Files(names, removed) => self.files_removed(id, names, removed),
            Done::Emptied(children, removed) => self.directories_removed(id, children, removed),
            Done::MadeAccessible(true) => {
                directory.made_accessible = true;
                directory.denied = None;
                Ok(())
            }
            Done::MadeAccessible(false) => {
                directory.made_accessible = true;
                // What was denied first says more than that the mode may not be set either.
                let status = directory.denied.take().unwrap_or(Status::ACCESS);
                self.denied(id, status)
            }
        }
    }

    /// Notes a directory that was found. What is no directory is removed like a file.
    fn enter(&mut self, id: Id, child: Child, object: FsObject<P::Handle>) -> Result<(), RoundError> {
        if id == ABOVE && !object.is_directory {
            let name = String::from_utf8_lossy(&child.name);
            return Err(self.calls.attempt.refused(Action::Segment(&name), Status::NOTDIR));
        }
        let attempt = self.calls.attempt;
        if !P::is_on_same_system(self.parent, &object) {
            let reason = messages::mounted_in_tree(&attempt.context(), &child.name);
            return Err(attempt.fails(reason));
        }
        if object.is_directory {
            self.directories.enter(id, child, object.handle);
        } else if let Some(above) = self.directories.get_mut(id) {
            above.files.push(child.name);
        }
        Ok(())
    }

    fn files_removed(&mut self, id: Id, names: Vec<Name>, removed: RemovedNames) -> Result<(), RoundError> {
        let Some(directory) = self.directories.get_mut(id) else {
            return Ok(());
        };
        let mut left = names.into_iter().skip(removed.count);
        let Some(status) = removed.stopped else {
            directory.files.extend(left);
            return Ok(());
        };
        match status {
            Status::NOENT => drop(left.next()),
            // It has become a directory.
            Status::NOTEMPTY | Status::EXIST | Status::ISDIR => {
                directory.directories.extend(left.next().map(Child::new));
                directory.files.extend(left);
                return self.count_round();
            }
            _ => {}
        }
        directory.files.extend(left);
        self.stopped(id, status)
    }

    fn directories_removed(&mut self, id: Id, children: Vec<Child>, removed: RemovedNames) -> Result<(), RoundError> {
        let Some(directory) = self.directories.get_mut(id) else {
            return Ok(());
        };
        let mut left = children.into_iter().skip(removed.count);
        let Some(status) = removed.stopped else {
            directory.emptied.extend(left);
            return Ok(());
        };
        match status {
            Status::NOENT => drop(left.next()),
            Status::NOTEMPTY | Status::EXIST | Status::NOTDIR => {
                let Some(child) = left.next() else { return Ok(()) };
                directory.emptied.extend(left);
                directory.directories.push(child.clone());
                return self.not_empty(id, &child);
            }
            _ => {}
        }
        directory.emptied.extend(left);
        self.stopped(id, status)
    }

    /// A directory that was emptied is not empty.
    fn not_empty(&mut self, parent: Id, child: &Child) -> Result<(), RoundError> {
        if child.unlisted == 0 {
            return self.count_round();
        }
        if child.unlisted <= MAX_UNLISTED {
            return Ok(());
        }
        let name = if parent == ABOVE {
            "".into()
        } else {
            String::from_utf8_lossy(&child.name)
        };
        Err(self.calls.attempt.fails(refusal::unlisted_entries(&name)))
    }

    fn stopped(&mut self, id: Id, status: Status) -> Result<(), RoundError> {
        match status {
            // The pause is over by now.
            status if status == Status::NOENT || status.asks_to_retry() => Ok(()),
            status if status.stale_handle() => Err(RoundError::Retry(RetryReason::Changed(status))),
            status => self.denied(id, status),
        }
    }

    /// The server denied something in this directory: it is opened, unless that was tried before.
    fn denied(&mut self, id: Id, status: Status) -> Result<(), RoundError> {
        let Some(directory) = self.directories.get_mut(id) else {
            return Ok(());
        };
        if !directory.made_accessible && matches!(status, Status::ACCESS | Status::PERM) {
            directory.denied.get_or_insert(status);
            return Ok(());
        }
        let name = String::from_utf8_lossy(&directory.child.name);
        // The tree itself has no directory of this tree above it.
        let action = if id == ABOVE || directory.parent == Some(ABOVE) {
            Action::Remove
        } else {
            Action::Inside(&name)
        };
        Err(self.calls.attempt.refused(action, status))
    }

    fn count_round(&mut self) -> Result<(), RoundError> {
        self.rounds += 1;
        if self.rounds <= MAX_ROUNDS {
            return Ok(());
        }
        Err(self.calls.attempt.fails(refusal::keeps_filling()))
    }
}

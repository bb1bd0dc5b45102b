//! Removes a tree, for every kind of storage: the order of the calls.
//!
//! Calls use file handles, so that no path is walked and no link can lead out of the tree. Names are bytes. Several calls
//! are in progress at the same time, for parts of one page of names and for several directories, because a server that
//! writes synchronously makes each call wait for its disk. The deepest directory is emptied first. One page of names is kept
//! for each directory that is being emptied, and the number of directories is limited ([`directories`]): above the limit,
//! the directory nearest to the top of the tree is forgotten. When the directories below it are empty, the tree is entered
//! from its top again. Pages are always read from the front, because earlier names have been removed. After an interruption
//! the next run continues with the rest.
//!
//! A directory that may not be listed or changed first gets mode 0700, if the client may set it. Another file system in the
//! tree ends the run with an error, because its files do not belong to the claim. After an error no further call begins, and
//! the run waits for the calls in progress.

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

/// The most calls in progress for one tree, and for all trees of one server together: half of its sessions, so that claims
/// always get one.
pub(in crate::storage) const MAX_CALLS: usize = 8;
/// The longest time before the deadline in which no call begins.
const LONGEST_MARGIN: Duration = Duration::from_millis(500);
/// How often new files may appear in emptied directories during a run.
const MAX_ROUNDS: u32 = 64;
/// How many times in a row a directory may be not empty although its listing is empty.
const MAX_UNLISTED: u32 = 6;

/// A call in progress, with the id of its directory.
type Call<'a, H> = BoxFuture<'a, (Id, Result<Done<H>, RoundError>)>;

/// One run.
struct Removal<'a, P: Protocol> {
    calls: &'a Calls<'a, P>,
    /// The parent of the tree. The run must not leave its file system.
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
        // No call begins after `until`, so that none is dropped at the deadline.
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
    /// Begins the next call, if there is one that need not wait for others.
    fn begin(&mut self) -> Option<Call<'a, P::Handle>> {
        let calls = self.calls;
        let (id, directory, next) = self.directories.next_call(|names| calls.fit(names))?;
        let target = if id == ABOVE { Target::Tree } else { Target::Directories };
        Some(Box::pin(
            async move { (id, calls.send(&directory, next, target).await) },
        ))
    }

    /// Records the result of a call.
    fn end(&mut self, id: Id, done: Done<P::Handle>) -> Result<(), RoundError> {
        // The directory may have been forgotten since; then it will be found again.
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
                        // An entry of unknown type is looked up.
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
            // A file has replaced the directory.
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
                // The first denial says more than the refused change of the mode.
                let status = directory.denied.take().unwrap_or(Status::ACCESS);
                self.denied(id, status)
            }
        }
    }

    /// Records an object that was looked up. If it is not a directory, it is removed like a file.
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
            // A directory has replaced the file.
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

    /// Handles the answer that an emptied directory is not empty.
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
            // The pause is over.
            status if status == Status::NOENT || status.asks_to_retry() => Ok(()),
            status if status.stale_handle() => Err(RoundError::Retry(RetryReason::Changed(status))),
            status => self.denied(id, status),
        }
    }

    /// Handles a denial in this directory: its mode becomes 0700, unless that was tried before.
    fn denied(&mut self, id: Id, status: Status) -> Result<(), RoundError> {
        let Some(directory) = self.directories.get_mut(id) else {
            return Ok(());
        };
        if !directory.made_accessible && matches!(status, Status::ACCESS | Status::PERM) {
            directory.denied.get_or_insert(status);
            return Ok(());
        }
        let name = String::from_utf8_lossy(&directory.child.name);
        // The top of the tree has no parent inside the tree.
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

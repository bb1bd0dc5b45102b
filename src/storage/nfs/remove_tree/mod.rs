//! Removing a tree over NFS, of whatever version: what is removed when. The calls are each version's own
//! ([`super::v4`], [`super::v3`]).
//!
//! By file handle, so that no path is walked and no link can lead out; names are bytes. Several calls are under way at the
//! same time, since a server that writes synchronously makes each wait for its disk: parts of the page of names that was
//! read of a directory, and directories side by side. The deepest directory goes first. What is kept is one page of names for
//! each directory that is being emptied, and at most [`MOST_DIRECTORIES`] of those: beyond that the one nearest to the top is
//! forgotten. When those that were below it are empty, the tree is entered from its top again. Pages are read from the front each time, for what was read
//! before is gone by then. Whatever stops the run, the next one simply finds less.
//!
//! A directory that lets nobody list or change it gets mode 0700 first, where the client may set it. Another file system in
//! the tree ends the run with an error: its files are somebody else's. After an error no further call is begun, and those
//! under way come to their own ends.

mod calls;
mod directory;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, timeout_at};

use self::calls::Name;
pub(super) use self::calls::{Calls, Page, Removed, Spot, What};
use self::directory::{Child, Directory, Id, Next};
use super::attempt::{RetryReason, RoundError};
use crate::storage::Tree;
use crate::storage::messages::{self, Action};
use crate::storage::status::Status;

/// Calls under way for one tree, and for all trees of one server together: half of its sessions, so that claims always find
/// one.
pub(super) const MOST_CALLS: usize = 8;
const MOST_DIRECTORIES: usize = 1024;
/// So many directories may fill up again behind our back before it is an error.
const MOST_ROUNDS: u32 = 64;
/// So often in a row may one directory be not empty although nothing is listed in it, with this pause in between: something
/// may just have been made or removed in it.
const MOST_UNLISTED: u32 = 6;
const UNLISTED_PAUSE: Duration = Duration::from_millis(50);

/// The directory that the tree itself is in. The tree's top is all that is ever looked at or removed in it.
const ABOVE: Id = 0;

/// What a call of a directory brought.
enum Done<H> {
    /// It was too late to send it.
    NotSent,
    Page(Result<Page, Status>),
    Spot(Child, Result<Spot<H>, Status>),
    Files(Vec<Name>, Removed),
    /// Of directories.
    Emptied(Vec<Child>, Removed),
    Opened(bool),
}

/// A call under way.
type Call<'a, H> = BoxFuture<'a, (Id, Result<Done<H>, RoundError>)>;

/// One run.
struct Removal<'a, C: Calls> {
    calls: &'a C,
    until: Instant,
    /// The file system that the run must not leave.
    fsid: (u64, u64),
    /// The tree's name in the directory that it is in.
    top: &'a str,
    /// The oldest, [`ABOVE`], is the one that the tree itself is in. Each is younger than the one above it.
    directories: BTreeMap<Id, Directory<C::Handle>>,
    next: Id,
    rounds: u32,
}

/// Removes the directory `top` of `parent`, as far as the time goes: no call is begun after `until`, which lies before the
/// deadline, so that no call is cut short by a deadline that was merely short.
pub(super) async fn remove<C: Calls>(
    calls: &C,
    parent: C::Handle,
    fsid: (u64, u64),
    top: &str,
    until: Instant,
) -> Result<Tree, RoundError> {
    let mut above = Directory::new(parent, Child::new(Name::new()), None);
    above.directories.push(Child::new(top.into()));
    // Nothing else in it is of any concern, and its mode is not ours to set.
    (above.read, above.opened) = (true, true);
    let mut removal = Removal {
        calls,
        until,
        fsid,
        top,
        directories: BTreeMap::from([(ABOVE, above)]),
        next: ABOVE + 1,
        rounds: 0,
    };
    let mut under_way: FuturesUnordered<Call<'_, C::Handle>> = FuturesUnordered::new();
    let mut failed = None;
    loop {
        while failed.is_none() && under_way.len() < MOST_CALLS && Instant::now() < until {
            let Some(call) = removal.begin() else { break };
            under_way.push(call);
        }
        let Some((id, done)) = under_way.next().await else {
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

impl<'a, C: Calls> Removal<'a, C> {
    /// Begins the next call, in the youngest directory that has one to make.
    fn begin(&mut self) -> Option<Call<'a, C::Handle>> {
        loop {
            let calls = self.calls;
            let (id, next) = self
                .directories
                .iter_mut()
                .rev()
                .find_map(|(id, directory)| Some((*id, directory.next(calls)?)))?;
            if let Next::End = next {
                self.leave(id);
                continue;
            }
            let directory = self.directories.get_mut(&id)?;
            directory.calls += 1;
            let (handle, until) = (directory.handle.clone(), self.until);
            return Some(Box::pin(async move {
                let turn = timeout_at(until, calls.removals().acquire()).await;
                if turn.is_err() {
                    return (id, Ok(Done::NotSent));
                }
                let what = if id == ABOVE { What::Tree } else { What::Directories };
                (id, call(calls, &handle, next, what).await)
            }));
        }
    }

    /// Notes what a call brought.
    fn end(&mut self, id: Id, done: Done<C::Handle>) -> Result<(), RoundError> {
        // It may be forgotten by now; then it is found again.
        let Some(directory) = self.directories.get_mut(&id) else {
            return Ok(());
        };
        directory.calls -= 1;
        match done {
            Done::NotSent => Ok(()),
            Done::Page(Ok(page)) => {
                directory.read = page.last;
                directory.listed |= !page.entries.is_empty();
                for (name, may_be_directory) in page.entries {
                    if may_be_directory {
                        directory.directories.push(Child::new(name));
                    } else {
                        directory.files.push(name);
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
            Done::Spot(_, Err(Status::NOENT)) => Ok(()),
            Done::Spot(child, Err(status)) => {
                if id == ABOVE {
                    let name = String::from_utf8_lossy(&child.name);
                    return Err(self.calls.attempt().refused(Action::Segment(&name), status));
                }
                directory.directories.push(child);
                self.denied(id, status)
            }
            Done::Spot(child, Ok(spot)) => self.enter(id, child, spot),
            Done::Files(names, removed) => self.files_removed(id, names, removed),
            Done::Emptied(children, removed) => self.directories_removed(id, children, removed),
            Done::Opened(true) => {
                directory.opened = true;
                directory.denied = None;
                Ok(())
            }
            Done::Opened(false) => {
                directory.opened = true;
                // What was denied first says more than that the mode may not be set either.
                let status = directory.denied.take().unwrap_or(Status::ACCESS);
                self.denied(id, status)
            }
        }
    }

    /// Goes into a directory that was found. What is no directory is removed like a file.
    fn enter(&mut self, id: Id, child: Child, spot: Spot<C::Handle>) -> Result<(), RoundError> {
        let Some(above) = self.directories.get_mut(&id) else {
            return Ok(());
        };
        let name = String::from_utf8_lossy(&child.name).into_owned();
        if id == ABOVE && !spot.is_directory {
            return Err(self.calls.attempt().refused(Action::Segment(&name), Status::NOTDIR));
        }
        if spot.fsid != self.fsid {
            let (fault, text) = messages::mounted_in_tree(&child.name);
            return Err(self.calls.attempt().fails(fault, &text));
        }
        if !spot.is_directory {
            above.files.push(child.name);
            return Ok(());
        }
        above.children += 1;
        self.directories
            .insert(self.next, Directory::new(spot.handle, child, Some(id)));
        self.next += 1;
        if self.directories.len() > MOST_DIRECTORIES {
            self.forget();
        }
        Ok(())
    }

    /// Forgets the directory nearest to the top of the tree: the top itself, or one whose parent was forgotten before.
    fn forget(&mut self) {
        let Some(id) = self.directories.keys().nth(1).copied() else {
            return;
        };
        self.directories.remove(&id);
        let mut orphans = 0;
        for directory in self.directories.values_mut() {
            if directory.parent == Some(id) {
                directory.parent = None;
                orphans += 1;
            }
        }
        if let Some(above) = self.directories.get_mut(&ABOVE) {
            above.children += orphans;
        }
        self.orphan_is_done();
    }

    /// Nothing is left in a directory: it is to be removed from the one above.
    fn leave(&mut self, id: Id) {
        let Some(done) = self.directories.remove(&id) else {
            return;
        };
        let Some(parent) = done.parent else {
            return self.orphan_is_done();
        };
        let Some(above) = self.directories.get_mut(&parent) else {
            return;
        };
        above.children -= 1;
        above.emptied.push(Child {
            unlisted: if done.listed { 0 } else { done.child.unlisted + 1 },
            name: done.child.name,
        });
    }

    /// A directory whose parent was forgotten is done, or the one nearest to the top was forgotten. After the last one, the
    /// tree is entered from its top again.
    fn orphan_is_done(&mut self) {
        let Some(above) = self.directories.get_mut(&ABOVE) else {
            return;
        };
        above.children -= 1;
        if above.children == 0 {
            above.directories.push(Child::new(self.top.into()));
        }
    }

    fn files_removed(&mut self, id: Id, names: Vec<Name>, removed: Removed) -> Result<(), RoundError> {
        let Some(directory) = self.directories.get_mut(&id) else {
            return Ok(());
        };
        let mut left = names.into_iter().skip(removed.gone);
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
                return self.round();
            }
            _ => {}
        }
        directory.files.extend(left);
        self.stopped(id, status)
    }

    fn directories_removed(&mut self, id: Id, children: Vec<Child>, removed: Removed) -> Result<(), RoundError> {
        let Some(directory) = self.directories.get_mut(&id) else {
            return Ok(());
        };
        let mut left = children.into_iter().skip(removed.gone);
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
            return self.round();
        }
        if child.unlisted <= MOST_UNLISTED {
            return Ok(());
        }
        let name = if parent == ABOVE {
            "".into()
        } else {
            String::from_utf8_lossy(&child.name)
        };
        let (fault, text) = messages::unlisted_entries(&name);
        Err(self.calls.attempt().fails(fault, &text))
    }

    fn stopped(&mut self, id: Id, status: Status) -> Result<(), RoundError> {
        match status {
            // The pause is over by now.
            status if status == Status::NOENT || status.later() => Ok(()),
            status if status.stale() => Err(RoundError::Retry(RetryReason::Changed(status))),
            status => self.denied(id, status),
        }
    }

    /// The server denied something in this directory: it is opened, unless that was tried before.
    fn denied(&mut self, id: Id, status: Status) -> Result<(), RoundError> {
        let Some(directory) = self.directories.get_mut(&id) else {
            return Ok(());
        };
        if !directory.opened && matches!(status, Status::ACCESS | Status::PERM) {
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
        Err(self.calls.attempt().refused(action, status))
    }

    fn round(&mut self) -> Result<(), RoundError> {
        self.rounds += 1;
        if self.rounds <= MOST_ROUNDS {
            return Ok(());
        }
        let (fault, text) = messages::keeps_filling();
        Err(self.calls.attempt().fails(fault, text))
    }
}

/// `what` is what directories are that are to be removed.
async fn call<C: Calls>(
    calls: &C,
    directory: &C::Handle,
    next: Next,
    what: What,
) -> Result<Done<C::Handle>, RoundError> {
    Ok(match next {
        Next::Page => Done::Page(calls.page(directory).await?),
        Next::Look(child) => {
            if child.unlisted > 0 {
                sleep(UNLISTED_PAUSE).await;
            }
            let spot = calls.look(directory, &child.name).await?;
            Done::Spot(child, spot)
        }
        Next::Files(files) => {
            let names: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
            let removed = calls.remove(directory, &names, What::Files).await?;
            Done::Files(files, removed)
        }
        Next::Emptied(children) => {
            let names: Vec<&[u8]> = children.iter().map(|child| child.name.as_slice()).collect();
            let removed = calls.remove(directory, &names, what).await?;
            Done::Emptied(children, removed)
        }
        Next::Open => Done::Opened(calls.open(directory).await?),
        // It is no call.
        Next::End => Done::NotSent,
    })
}

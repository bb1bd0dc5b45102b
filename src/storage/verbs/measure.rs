//! Measures a tree: counts its files, and the space that they use.
//!
//! The tree is read depth first, with one call at a time. Each directory on the path to the current one keeps the names of
//! one page, so the memory does not depend on the number of files. Handles are kept from one call of the verb to the next;
//! if the server has forgotten one, its directory is looked up again. Files may be created and removed meanwhile; what is
//! gone is left out.
//!
//! Links are never followed. Directories of another file system are neither entered nor counted, nor are snapshots.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::protocol::{Entry, FsObject, ObjectSize, Page, Protocol, Walk};
use crate::model::directory::{Directory, is_snapshots};
use crate::model::identity::Identity;
use crate::storage::attempt::{Attempt, RetryReason, RoundError};
use crate::storage::measurement::{Level, Measured, Measurement, Pace, Progress, Waiting};
use crate::storage::refusal::Action;
use crate::storage::status::Status;

/// The most directories on a path. Deeper ones count as not read.
const MAX_DEPTH: usize = 1024;
/// The longest time before the deadline in which no call begins.
const LONGEST_MARGIN: Duration = Duration::from_secs(5);

/// One round.
struct Round<'a, P: Protocol> {
    attempt: &'a Attempt<'a, P>,
    measurement: &'a Measurement,
    pace: &'a dyn Pace,
    /// No call begins after this time.
    until: Instant,
    /// The handles of the directories in [`Progress::levels`], if they are known.
    handles: Vec<Option<P::Handle>>,
    /// The file system of the tree.
    fsid: (u64, u64),
}

/// What is next in a tree.
enum Next {
    /// Look up the directory of the last level, whose handle is not known.
    Find,
    /// Look up this name in the last level.
    LookUp(Waiting),
    /// Read a page of the last level.
    Page,
    /// All is counted.
    Done,
}

impl<P: Protocol> Attempt<'_, P> {
    /// One round of [`crate::storage::Storage::measure`].
    pub async fn measure(
        &self,
        directory: &Directory,
        expected: Identity,
        measurement: &Measurement,
        pace: &dyn Pace,
    ) -> Result<Measured, RoundError> {
        // No call begins after `until`, so that none is dropped at the deadline.
        let margin = self.deadline().saturating_duration_since(Instant::now()) / 4;
        let until = self.deadline() - margin.min(LONGEST_MARGIN);
        if timeout_at(until, pace.wait()).await.is_err() {
            return Ok(Measured::Remains { answered: false });
        }
        let segments: Vec<&str> = directory.segments().collect();
        let Walk::Found(top) = P::walk(self, &segments).await? else {
            return Ok(Measured::Missing);
        };
        if top.found.identity != expected {
            return Ok(Measured::Another(top.found.identity));
        }
        let fsid = file_system(top.size.as_ref(), top.found.identity);
        let mut handles = {
            let mut progress = measurement.progress();
            if !progress.begun {
                progress.begun = true;
                progress.levels.push(Level::new(Vec::new(), expected));
            }
            let kept = progress.handles.take().and_then(|kept| kept.downcast().ok());
            kept.map_or_else(Vec::new, |kept: Box<Vec<Option<P::Handle>>>| *kept)
        };
        let top = Some(top.handle);
        match handles.first_mut() {
            Some(first) => *first = top,
            None => handles.push(top),
        }
        let mut round = Round {
            attempt: self,
            measurement,
            pace,
            until,
            handles,
            fsid,
        };
        let measured = round.run().await?;
        measurement.progress().handles = Some(Box::new(round.handles));
        Ok(measured)
    }
}

impl<P: Protocol> Round<'_, P> {
    async fn run(&mut self) -> Result<Measured, RoundError> {
        loop {
            let next = self.next();
            if matches!(next, Next::Done) {
                return Ok(Measured::Done(self.measurement.progress().used()));
            }
            if timeout_at(self.until, self.pace.wait()).await.is_err() || Instant::now() >= self.until {
                return Ok(Measured::Remains { answered: true });
            }
            let done = match next {
                Next::Find => self.find().await,
                Next::LookUp(waiting) => self.look_up(waiting).await,
                Next::Page => self.page().await,
                Next::Done => Ok(()),
            };
            match done {
                // The directory was removed, or the server has forgotten its handle.
                Err(RoundError::Retry(RetryReason::Changed(_))) if self.last_known() > 0 => self.forget_handle(),
                done => done?,
            }
        }
    }

    /// Leaves the directories that are counted, and returns the next step.
    fn next(&mut self) -> Next {
        let mut progress = self.measurement.progress();
        loop {
            let Some(level) = progress.levels.last_mut() else {
                return Next::Done;
            };
            if level.read && level.waiting.is_empty() {
                progress.levels.pop();
                continue;
            }
            let depth = progress.levels.len();
            self.handles.truncate(depth);
            if self.handles.len() < depth || self.handles.last().is_some_and(Option::is_none) {
                return Next::Find;
            }
            let waiting = progress.levels.last().and_then(|level| level.waiting.last());
            return waiting.cloned().map_or(Next::Page, Next::LookUp);
        }
    }

    fn level<T>(&self, change: impl FnOnce(&mut Level) -> T) -> Option<T> {
        self.measurement.progress().levels.last_mut().map(change)
    }

    /// Returns the handle of the last level.
    fn handle(&self) -> Result<P::Handle, RoundError> {
        let handle = self.handles.last().cloned().flatten();
        handle.ok_or(RoundError::Retry(RetryReason::Changed(Status::STALE)))
    }

    /// Returns the number of the last level whose handle is known. The next call uses that handle.
    fn last_known(&self) -> usize {
        self.handles.iter().rposition(Option::is_some).unwrap_or(0)
    }

    /// Looks up the directory below the last one whose handle is known. If it was removed or replaced, what is below it is
    /// left out.
    async fn find(&mut self) -> Result<(), RoundError> {
        let known = self.last_known();
        let at = known + 1;
        let level = {
            let progress = self.measurement.progress();
            progress
                .levels
                .get(at)
                .map(|level| (level.name.clone(), level.identity))
        };
        let (Some((name, identity)), Some(Some(parent))) = (level, self.handles.get(known).cloned()) else {
            // The handle of the top is not known any more.
            return Err(RoundError::Retry(RetryReason::Changed(Status::STALE)));
        };
        let found = P::look_up(self.attempt, &parent, &name).await?;
        self.handle_is_known(known);
        self.handles.truncate(at);
        match found {
            Ok(object) if object.is_directory && object.found.identity == identity => {
                self.keep_handle(object.handle);
            }
            Ok(_) | Err(Status::NOENT | Status::NOTDIR) => self.measurement.progress().levels.truncate(at),
            Err(status) => {
                self.measurement.progress().levels.truncate(at);
                self.denied(status)?;
            }
        }
        Ok(())
    }

    /// Forgets the handle of the last call: the next step looks its directory up again. If the server forgets the handle
    /// again before it has answered a call with it, the directory counts as not read.
    fn forget_handle(&mut self) {
        let at = self.last_known();
        self.handles.truncate(at);
        let mut progress = self.measurement.progress();
        let forgotten = progress
            .levels
            .get_mut(at)
            .map(|level| std::mem::replace(&mut level.forgotten, true));
        if forgotten == Some(true) {
            progress.levels.truncate(at);
            progress.count_unread();
        }
    }

    /// Records that the server has answered a call with the handle of a level.
    fn handle_is_known(&self, at: usize) {
        if let Some(level) = self.measurement.progress().levels.get_mut(at) {
            level.forgotten = false;
        }
    }

    /// Looks up a name of the last level, and enters it if it is a directory.
    async fn look_up(&mut self, waiting: Waiting) -> Result<(), RoundError> {
        let parent = self.handle()?;
        let found = P::look_up(self.attempt, &parent, &waiting.name).await?;
        self.handle_is_known(self.last_known());
        self.level(|level| level.waiting.pop());
        match found {
            Ok(object) => {
                self.enter(waiting, object);
                Ok(())
            }
            // It was removed, or replaced: on a mount only directories are looked up.
            Err(Status::NOENT | Status::NOTDIR) => Ok(()),
            Err(status) => self.denied(status),
        }
    }

    fn enter(&mut self, Waiting { name, is_counted }: Waiting, object: FsObject<P::Handle>) {
        let mut progress = self.measurement.progress();
        let identity = object.found.identity;
        if file_system(object.size.as_ref(), identity) != self.fsid || is_mounted(object.size.as_ref()) {
            return;
        }
        if !is_counted && let Some(size) = &object.size {
            progress.count(object.is_directory, size);
        }
        if !object.is_directory {
            return;
        }
        if progress.levels.len() >= MAX_DEPTH {
            progress.count_unread();
            return;
        }
        progress.levels.push(Level::new(name, identity));
        drop(progress);
        self.keep_handle(object.handle);
    }

    /// Keeps the handle of one more level. If there are too many, an older one is looked up again on the way back. The top
    /// keeps its handle.
    fn keep_handle(&mut self, handle: P::Handle) {
        self.handles.push(Some(handle));
        if self.handles.len() > P::MAX_DIRECTORIES {
            let oldest = self.handles.len() - P::MAX_DIRECTORIES;
            self.handles[oldest] = None;
        }
    }

    /// Reads and counts a page of the last level.
    async fn page(&mut self) -> Result<(), RoundError> {
        let directory = self.handle()?;
        let Some(from) = self.level(|level| level.next) else {
            return Ok(());
        };
        let page = P::page_with_sizes(self.attempt, &directory, from).await?;
        self.handle_is_known(self.last_known());
        match page {
            Ok(page) => {
                self.count(page);
                Ok(())
            }
            Err(Status::NOENT) => {
                self.level(|level| level.read = true);
                Ok(())
            }
            Err(status) => {
                self.level(|level| level.read = true);
                self.denied(status)
            }
        }
    }

    fn count(&self, page: Page) {
        let mut progress = self.measurement.progress();
        let waiting = page
            .entries
            .into_iter()
            .filter_map(|entry| self.count_entry(&mut progress, entry));
        let waiting: Vec<_> = waiting.collect();
        if let Some(level) = progress.levels.last_mut() {
            level.next = page.next;
            level.read = page.last;
            level.waiting = waiting;
        }
    }

    /// Counts an entry. Returns its name if it is to be looked up.
    fn count_entry(&self, progress: &mut Progress, entry: Entry) -> Option<Waiting> {
        if is_snapshots(&entry.name) {
            return None;
        }
        let (Some(is_directory), Some(size)) = (entry.is_directory, entry.size) else {
            return Some(Waiting {
                name: entry.name,
                is_counted: false,
            });
        };
        if size.fsid != self.fsid || size.is_mounted {
            return None;
        }
        progress.count(is_directory, &size);
        is_directory.then_some(Waiting {
            name: entry.name,
            is_counted: true,
        })
    }

    /// Counts a directory that this client may not read, or that has changed too much while it was read. Any other error
    /// ends the verb.
    fn denied(&self, status: Status) -> Result<(), RoundError> {
        match status {
            Status::ACCESS | Status::PERM | Status::WRONGSEC | Status::NOT_SAME | Status::BAD_COOKIE => {
                self.measurement.progress().count_unread();
                Ok(())
            }
            status => Err(self.attempt.refused(Action::List, status)),
        }
    }
}

fn file_system(size: Option<&ObjectSize>, identity: Identity) -> (u64, u64) {
    size.map_or(identity.fsid, |size| size.fsid)
}

fn is_mounted(size: Option<&ObjectSize>) -> bool {
    size.is_some_and(|size| size.is_mounted)
}

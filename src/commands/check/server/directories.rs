//! Uses a share as Bindery does: in a directory with a name that only this run has, which is removed in the end.
//!
//! The directory is made before anything else, and must be new. So all that is changed or removed is in a directory of this
//! run. [`super::trials`] has the steps. If the program is killed, the directory stays, with other empty directories in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::report::{Finding, Report, Step};
use super::step::{deadline, step};
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share};
use crate::storage::{Existing, Fault, Found, Made, Outcome, Removed, Storage, StorageError, Storages};

/// The directories in the one of the run, in the order in which they can be removed. Only empty directories are removed, so
/// nothing is lost if another program uses one.
const INSIDE: [&str; 6] = ["to/data", "from/data", "to", "from", "mode", "owner"];

/// The directories of one run.
pub struct Directories {
    pub(super) share: Share,
    pub(super) storage: Storages,
    pub(super) run: Uuid,
    pub(super) timeout: Duration,
    /// The directory of the run may exist.
    made: AtomicBool,
    /// A call may still make something, although its caller does not wait any more.
    late: AtomicBool,
}

impl Directories {
    /// Creates the value. Sends nothing.
    pub fn new(share: Share, storage: Storages, run: Uuid, timeout: Duration) -> Self {
        Self {
            share,
            storage,
            run,
            timeout,
            made: AtomicBool::new(false),
            late: AtomicBool::new(false),
        }
    }

    /// Makes one directory, and records what may have to be removed.
    pub async fn make_one(&self, directory: &Directory, attributes: Attributes) -> Result<Made, StorageError> {
        self.made.store(true, Ordering::Relaxed);
        // Remains set if this is dropped.
        let was_late = self.late.swap(true, Ordering::Relaxed);
        let deadline = deadline(self.timeout);
        let made = self
            .storage
            .make(&self.share, directory, attributes, Existing::LeaveAlone, deadline)
            .await;
        let unknown = |error: &StorageError| error.outcome == Outcome::Unknown;
        self.late
            .store(was_late || made.as_ref().is_err_and(unknown), Ordering::Relaxed);
        if *directory == Directory::of_check(self.run) && made.as_ref().is_err_and(|error| !unknown(error)) {
            self.disown();
        }
        made
    }

    /// Records that nothing has to be removed.
    pub fn disown(&self) {
        self.made.store(false, Ordering::Relaxed);
    }

    /// Removes the directory of the run. Adds the last step, and what may be left.
    pub async fn clean_up(&self, report: &mut Report) {
        if !self.made.load(Ordering::Relaxed) {
            return;
        }
        let top = Directory::of_check(self.run);
        let removed = async {
            for path in INSIDE {
                self.remove_one(&self.inside(path)).await?;
            }
            self.remove_one(&top).await?;
            match self.look_up(&top).await? {
                None => Ok(()),
                Some(_) => Err(self.failure(
                    "remove a directory",
                    "the server says that it was removed, and it was not.",
                )),
            }
        };
        let removed = step(&mut report.steps, Step::Remove, removed, |()| {
            (Finding::Ok, "the directory of this check is gone".to_owned())
        });
        if removed.await.is_some() && !self.may_return() {
            self.disown();
        }
        report.left = self.left();
    }

    /// Removes a directory if it is empty. It need not exist.
    async fn remove_one(&self, directory: &Directory) -> Result<(), StorageError> {
        let Some(found) = self.look_up(directory).await? else {
            return Ok(());
        };
        let deadline = deadline(self.timeout);
        let removed = self
            .storage
            .remove_empty(&self.share, directory, found.identity, deadline);
        match removed.await? {
            Removed::Done | Removed::Missing => Ok(()),
            Removed::NotEmpty | Removed::Another(_) => {
                let text = format!("another program has changed {directory}, so it is kept.");
                Err(self.failure("remove a directory", &text))
            }
        }
    }

    /// Returns the directory of the run, if it may be there.
    pub fn left(&self) -> Option<String> {
        let made = self.made.load(Ordering::Relaxed);
        made.then(|| {
            format!(
                "{}:{}",
                self.share.server(),
                self.share.join(&Directory::of_check(self.run))
            )
        })
    }

    /// Returns whether a late call may make the directory again.
    fn may_return(&self) -> bool {
        self.late.load(Ordering::Relaxed) && !self.storage.prevents_late_calls(&self.share)
    }

    /// Ends the sessions on the server.
    pub async fn shut_down(&self) {
        self.storage.shut_down().await;
    }

    /// Looks up a directory of the run.
    pub async fn look_up(&self, directory: &Directory) -> Result<Option<Found>, StorageError> {
        self.storage
            .look_up(&self.share, directory, deadline(self.timeout))
            .await
    }

    /// Returns a directory that was made.
    pub async fn existing(&self, directory: &Directory) -> Result<Found, StorageError> {
        let gone = || self.failure("find a directory", "a directory that was made is not there.");
        self.look_up(directory).await?.ok_or_else(gone)
    }

    /// Returns a directory in the one of the run.
    pub fn inside(&self, path: &'static str) -> Directory {
        Directory::in_check(self.run, path)
    }

    /// Returns the error of a step whose calls succeeded, and did not do what they promise.
    pub fn failure(&self, what: &str, cause: &str) -> StorageError {
        StorageError {
            fault: Fault::Other,
            outcome: Outcome::Unknown,
            tried: format!("cannot {what} on {}", self.share),
            cause: cause.to_owned(),
        }
    }
}

//! Sends the calls of a removal, and decides how many names each one removes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::directory::{Child, Next};
use crate::failpoints::{self, Point};
use crate::storage::attempt::{Attempt, RoundError};
use crate::storage::status::Status;
use crate::storage::verbs::protocol::{FsObject, Name, Page, Protocol, RemovedNames, Target};

/// How many names the first call removes, if the protocol allows several.
const FIRST_REMOVES: usize = 4;
/// After a call that took longer, the next one removes fewer names: they may be large files, or other clients use the same
/// disk, and a call without an answer at the deadline is lost. Twice this time is less than [`super::LONGEST_MARGIN`].
const SLOW_CALL: Duration = Duration::from_millis(200);
/// The pause before the next look-up of a directory that is not empty although its listing is empty: a file may just have
/// been created or removed in it.
const UNLISTED_PAUSE: Duration = Duration::from_millis(50);

/// The result of a call.
pub(super) enum Done<H> {
    /// The call was not sent, because it was too late.
    NotSent,
    Page(Result<Page, Status>),
    Object(Child, Result<FsObject<H>, Status>),
    Files(Vec<Name>, RemovedNames),
    /// The emptied directories of the call, and how many it has removed.
    Emptied(Vec<Child>, RemovedNames),
    /// Whether the directory has mode 0700.
    MadeAccessible(bool),
}

/// The calls of one run.
pub(super) struct Calls<'a, P: Protocol> {
    pub attempt: &'a Attempt<'a, P>,
    /// No call begins after this time.
    until: Instant,
    /// The most names that the next call removes.
    batch: AtomicUsize,
}

impl<'a, P: Protocol> Calls<'a, P> {
    pub fn new(attempt: &'a Attempt<'a, P>, until: Instant) -> Self {
        Self {
            attempt,
            until,
            batch: AtomicUsize::new(FIRST_REMOVES.min(P::MAX_REMOVES)),
        }
    }

    /// Returns how many of the names the next call removes.
    pub fn fit(&self, names: &[&[u8]]) -> usize {
        let batch = self.batch.load(Ordering::Relaxed);
        self.attempt.server.fit(names).min(batch).clamp(1, names.len())
    }

    /// Waits until fewer calls than the limit are in progress, and sends a call. `target` is the kind of emptied
    /// directories.
    pub async fn send(&self, directory: &P::Handle, next: Next, target: Target) -> Result<Done<P::Handle>, RoundError> {
        let permit = timeout_at(self.until, self.attempt.server.removals().acquire()).await;
        if permit.is_err() {
            return Ok(Done::NotSent);
        }
        Ok(match next {
            Next::Page => Done::Page(P::first_page(self.attempt, directory).await?),
            Next::LookUp(child) => {
                if child.unlisted > 0 {
                    sleep(UNLISTED_PAUSE).await;
                }
                let object = P::look_up(self.attempt, directory, &child.name).await?;
                Done::Object(child, object)
            }
            Next::Files(files) => {
                let names: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
                let removed = self.remove(directory, &names, Target::Files).await?;
                Done::Files(files, removed)
            }
            Next::Emptied(children) => {
                let names: Vec<&[u8]> = children.iter().map(|child| child.name.as_slice()).collect();
                let removed = self.remove(directory, &names, target).await?;
                Done::Emptied(children, removed)
            }
            Next::MakeAccessible => Done::MadeAccessible(P::make_accessible(self.attempt, directory).await?),
            // This is not a call.
            Next::End => Done::NotSent,
        })
    }

    async fn remove(&self, directory: &P::Handle, names: &[&[u8]], target: Target) -> Result<RemovedNames, RoundError> {
        let sent = Instant::now();
        let removed = P::remove(self.attempt, directory, names, target).await?;
        let batch = self.batch.load(Ordering::Relaxed);
        let next = if sent.elapsed() > SLOW_CALL {
            batch.min(names.len() / 2).max(1)
        } else {
            // Calls of the same size that were in progress at the same time raise it only once.
            batch.max(names.len() * 2).min(P::MAX_REMOVES)
        };
        self.batch.store(next, Ordering::Relaxed);
        self.attempt.partly_done(true);
        failpoints::point(Point::TreeHalfRemoved);
        if let Some(status) = removed.stopped
            && status.asks_to_retry()
        {
            self.attempt.pause(status).await;
        }
        Ok(removed)
    }
}

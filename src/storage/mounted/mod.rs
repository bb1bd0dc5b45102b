//! Shares that are mounted for Bindery: a verb is a few file system calls below a directory.
//!
//! This is for what the NFS clients do not support: Kerberos, CephFS, anything that the node's kernel can mount. [`mount`] makes
//! sure that something is mounted; [`run`] runs a verb on a thread of its own until its deadline; [`diagnose`] describes what
//! went wrong, and [`errno`] what each error number means for a call; [`walk`], [`make`], [`rename`], [`list`] and [`remove_tree`]
//! are the verbs; [`file`](mod@file) identifies directories.
//!
//! `cap-std` keeps each call below an open directory, but it follows links that lead to a place below it. So every path is
//! walked name by name, and each name is opened without following links.
//!
//! Weaker than in the NFS clients are:
//! - **Late calls.** A call that hangs in the kernel cannot be cancelled. After the deadline no further call is begun, but the
//!   one under way may still be carried out when the server answers again, after later verbs. The error is then
//!   [`Outcome::Unknown`].
//! - **Checks.** No file system compares and renames in one call. The directory is looked at before and after a rename, and
//!   if another one was moved, it is moved back.
//! - **Identity** is the file's number and little more, see [`file`](mod@file).

mod diagnose;
mod errno;
mod file;
mod list;
mod make;
mod mount;
mod open_directory;
mod remove_tree;
mod rename;
mod run;
mod walk;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use self::mount::Mount;
use self::run::{RoundError, Run};
use self::walk::Walk;
use super::{
    Attributes, Existing, Fault, Found, Identity, Made, Moved, Outcome, Removed, ShareId, Storage, StorageError, Tree,
    View,
};
use crate::model::directory::{Directory, Share};
use crate::model::endpoint::Endpoint;

/// The removal of a tree leaves at most this much of its time unused, so that it ends before the deadline.
const LONGEST_MARGIN: Duration = Duration::from_millis(500);
/// How long the check at the start may take.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// [`Storage`] on shares that are mounted.
///
/// A verb may be dropped at any time: the call under way in the kernel continues, and no further one is begun.
#[derive(Debug, Default)]
pub struct MountedStorage {
    mounts: Vec<Arc<Mount>>,
}

impl MountedStorage {
    /// Creates it from each share and the directory on which it is mounted. Looks at nothing yet.
    pub fn new(mounts: Vec<(Share, PathBuf)>) -> Self {
        let mounts = mounts.into_iter().map(|(share, path)| Mount::new(share, path));
        Self {
            mounts: mounts.map(Arc::new).collect(),
        }
    }

    /// Whether this share is mounted, whatever NFS version it names.
    pub fn serves(&self, share: &Share) -> bool {
        self.mount(share).is_some()
    }

    /// Checks every mount. An error means that a person must mount something. A mount that does not answer is only logged,
    /// because it may answer later.
    pub async fn check(&self) -> Result<(), StorageError> {
        for mount in &self.mounts {
            let look = |run: &Run| run.share().map(drop);
            let deadline = Instant::now() + FIRST_LOOK;
            match run::run(mount, "begin".to_owned(), deadline, look).await {
                Err(error) if !error.transient() || error.fault == Fault::NotMounted => return Err(error),
                Err(error) => tracing::warn!(%error, "a mounted share does not answer"),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn mount(&self, share: &Share) -> Option<&Arc<Mount>> {
        self.mounts.iter().find(|mount| mount.is(share))
    }

    async fn run<T: Send + 'static>(
        &self,
        share: &Share,
        what: String,
        deadline: Instant,
        once: impl Fn(&Run) -> Result<T, RoundError> + Send + 'static,
    ) -> Result<T, StorageError> {
        match self.mount(share) {
            Some(mount) => run::run(mount, what, deadline, once).await,
            None => Err(StorageError {
                fault: Fault::NoSuchShare,
                outcome: Outcome::NotDone,
                tried: format!("cannot {what} on {share}"),
                cause: "it is not mounted. Start Bindery with --mounted for it.".to_owned(),
            }),
        }
    }
}

#[async_trait]
impl Storage for MountedStorage {
    fn endpoint(&self, share: &Share) -> Endpoint {
        Endpoint::mount(share)
    }

    async fn look_up(
        &self,
        share: &Share,
        directory: &Directory,
        deadline: Instant,
    ) -> Result<Option<Found>, StorageError> {
        let what = format!("look up directory {directory}");
        let directory = directory.clone();
        let once = move |run: &Run| {
            let segments: Vec<&str> = directory.segments().collect();
            Ok(match run.walk(&segments)? {
                Walk::Found(opened) => Some(opened.file.found),
                Walk::Missing(_) => None,
            })
        };
        self.run(share, what, deadline, once).await
    }

    async fn identify(&self, share: &Share, deadline: Instant) -> Result<ShareId, StorageError> {
        let once = |run: &Run| {
            Ok(ShareId {
                view: View::Mounted,
                root: run.share()?.file.found.identity,
                server: None,
            })
        };
        self.run(share, "look at the share".to_owned(), deadline, once).await
    }

    async fn above(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Found, StorageError> {
        let what = format!("look above directory {directory}");
        let directory = directory.clone();
        let once = move |run: &Run| {
            let (parents, _) = directory.split_last();
            let mut segments = &parents[..];
            loop {
                match run.walk(segments)? {
                    Walk::Found(opened) => return Ok(opened.file.found),
                    // At least one segment fewer each time; a walk through no segment never says that one is missing.
                    Walk::Missing(at) => segments = &segments[..at],
                }
            }
        };
        self.run(share, what, deadline, once).await
    }

    async fn make(
        &self,
        share: &Share,
        directory: &Directory,
        attributes: Attributes,
        existing: Existing,
        deadline: Instant,
    ) -> Result<Made, StorageError> {
        let what = format!("make directory {directory}");
        let directory = directory.clone();
        let once = move |run: &Run| run.make(&directory, attributes, existing);
        self.run(share, what, deadline, once).await
    }

    async fn rename(
        &self,
        share: &Share,
        from: &Directory,
        expected: Identity,
        to: &Directory,
        deadline: Instant,
    ) -> Result<Moved, StorageError> {
        let what = format!("move directory {from} to {to}");
        let (from, to) = (from.clone(), to.clone());
        let once = move |run: &Run| run.rename(&from, expected, &to);
        self.run(share, what, deadline, once).await
    }

    async fn remove_empty(
        &self,
        share: &Share,
        directory: &Directory,
        expected: Identity,
        deadline: Instant,
    ) -> Result<Removed, StorageError> {
        let what = format!("remove the empty directory {directory}");
        let directory = directory.clone();
        let once = move |run: &Run| run.remove_empty(&directory, expected);
        self.run(share, what, deadline, once).await
    }

    async fn remove_tree(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Tree, StorageError> {
        let what = format!("remove directory {directory} with all in it");
        let directory = directory.clone();
        let margin = deadline.saturating_duration_since(Instant::now()) / 4;
        let until = deadline.checked_sub(margin.min(LONGEST_MARGIN)).unwrap_or(deadline);
        let once = move |run: &Run| run.remove_tree(&directory, until.into_std());
        self.run(share, what, deadline, once).await
    }

    async fn list(
        &self,
        share: &Share,
        directory: Option<&Directory>,
        deadline: Instant,
    ) -> Result<Vec<String>, StorageError> {
        let what = directory.map_or_else(
            || "list the share".to_owned(),
            |directory| format!("list directory {directory}"),
        );
        let directory = directory.cloned();
        let once = move |run: &Run| run.list(directory.as_ref());
        self.run(share, what, deadline, once).await
    }
}

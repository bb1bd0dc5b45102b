//! Shares that are mounted for Bindery: a verb is a few file system calls below a directory.
//!
//! This is for what the NFS clients do not support: Kerberos, CephFS, anything that the node's kernel can mount. [`mount`] makes
//! sure that something is mounted; [`thread`] makes the calls of a verb on a thread of its own; [`calls`], [`make`] and [`rename`]
//! are the calls that the verbs are made of; [`file`](mod@file) identifies directories.
//!
//! `cap-std` keeps each call below an open directory, but it follows links that lead to a place below it. So every path is
//! walked name by name, and each name is opened without following links.
//!
//! Weaker than in the NFS clients are:
//! - **Late calls.** A call that hangs in the kernel cannot be cancelled. After the deadline no further call is begun, but the
//!   one under way may still be carried out when the server answers again, after later verbs. The error is then
//!   [`Outcome::Unknown`](crate::storage::Outcome::Unknown).
//! - **Checks.** No file system compares and renames in one call. The directory is looked at before and after a rename, and
//!   if another one was moved, it is moved back.
//! - **Identity** is the file's number and little more, see [`file`](mod@file).

#![allow(private_interfaces, reason = "MountedStorage is all that others need")]

mod calls;
mod file;
mod make;
mod mount;
mod open_directory;
mod rename;
mod thread;

use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use self::mount::Mount;
use super::attempt::Attempt;
use super::client::Client;
use super::verbs::protocol::Protocol;
use super::{Fault, StorageError};
use crate::model::directory::Share;

/// How long the check at the start may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// [`Storage`](super::Storage) on shares that are mounted. It is made from each share and the directory on which it is mounted.
///
/// A verb may be dropped at any time: the call under way in the kernel continues, and no further change is begun.
pub type MountedStorage = Client<Mount>;

impl MountedStorage {
    /// Whether this share is mounted, whatever NFS version it names.
    pub fn serves(&self, share: &Share) -> bool {
        let mut mounts = self.config.iter();
        mounts.any(|(mounted, _)| Mount::key(mounted) == Mount::key(share))
    }

    /// Checks every mount. An error means that a person must mount something. A mount that does not answer is only logged,
    /// because it may answer later.
    pub async fn check(&self) -> Result<(), StorageError> {
        for (share, _) in &self.config {
            let mount = self.server(share);
            let attempt = Attempt::new(&mount, share, "begin".to_owned(), Instant::now() + CHECK_TIMEOUT);
            match attempt.run(|| attempt.identify().boxed()).await {
                Err(error) if !error.transient() || error.fault == Fault::NotMounted => return Err(error),
                Err(error) => tracing::warn!(%error, "a mounted share does not answer"),
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

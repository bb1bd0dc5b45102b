//! Mounted shares: a verb is a few file system calls below a mount point in Bindery's pod.
//!
//! They are for protocols that the NFS clients do not support: Kerberos, CephFS, anything that the node's kernel can mount.
//! [`mount`] checks that something is mounted. [`thread`] runs the calls of a verb on a thread of its own. [`calls`],
//! [`make`] and [`rename`] are the calls that verbs consist of. [`file`](mod@file) identifies directories.
//!
//! `cap-std` confines each call to an open directory, but follows links inside that directory. So every path is walked name
//! by name, and each name is opened without following links.
//!
//! Three promises are weaker than those of the NFS clients:
//! - **Late calls.** A call that hangs in the kernel cannot be cancelled. After the deadline no further call begins, but the
//!   call in progress may still be carried out when the server answers again, even after later verbs. The error then has
//!   [`Outcome::Unknown`](crate::storage::Outcome::Unknown).
//! - **Checks.** No file system compares and renames in one call. The identity is checked before and after a rename. If
//!   another directory was moved, it is moved back.
//! - **Identity.** It is little more than the file number, see [`file`](mod@file).

#![allow(private_interfaces, reason = "other modules need MountedStorage only")]

mod calls;
mod file;
mod limit;
mod make;
mod mount;
mod open_directory;
mod page;
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

/// [`Storage`](super::Storage) on mounted shares. Its configuration lists each share with its mount point.
///
/// A verb may be dropped at any time: the call in progress in the kernel continues, and no further change begins.
pub type MountedStorage = Client<Mount>;

impl MountedStorage {
    /// Returns whether this share is mounted. The NFS version of the share is ignored.
    pub fn serves(&self, share: &Share) -> bool {
        let mut mounts = self.config.iter();
        mounts.any(|(mounted, _)| Mount::key(mounted) == Mount::key(share))
    }

    /// Checks every mount. An error means that an administrator must mount something. A mount that does not answer is only
    /// logged, because it may answer later.
    pub async fn check(&self) -> Result<(), StorageError> {
        for (share, _) in &self.config {
            let mount = self.server(share);
            let attempt = Attempt::new(&mount, share, "start".to_owned(), Instant::now() + CHECK_TIMEOUT);
            match attempt.run(|| attempt.identify().boxed()).await {
                Err(error) if !error.transient() || error.fault == Fault::NotMounted => return Err(error),
                Err(error) => tracing::warn!(%error, "a mounted share does not answer"),
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

//! One mounted share: where it is mounted, and whether it is.
//!
//! A directory on which nothing is mounted looks like an empty share. What is made in it would be on the disk of Bindery's own
//! container and be lost with it. So before each verb the directory must be the root of a mount, as it is where a pod's volume
//! is mounted, or on another file system than the directory above it.

use std::path::PathBuf;
use std::sync::Arc;

use cap_std::fs::Dir;
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;
use tokio::sync::Semaphore;

use super::file::File;
use super::open_directory::OpenDirectory;

/// Verbs under way on one mount at a time. A mount that hangs may keep so many threads for ever.
pub(super) const MAX_THREADS: usize = 16;

/// The directory that a share is mounted on.
#[derive(Debug)]
pub struct Mount {
    pub(super) path: PathBuf,
    /// One permit for each verb under way, held until its thread has ended.
    pub(super) threads: Arc<Semaphore>,
    /// Limits the calls that remove trees.
    pub(super) removals: Semaphore,
}

impl Mount {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            threads: Arc::new(Semaphore::new(MAX_THREADS)),
            removals: Semaphore::new(MAX_THREADS),
        }
    }

    /// Opens the root of what is mounted now; none if nothing is. Links on the way to it are followed: that path is the
    /// administrator's.
    pub(super) fn open(&self) -> Result<Option<OpenDirectory>, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(&self.path, flags, Mode::empty())?;
        let file = File::of(&root, None)?;
        let mounted = if let Some(mounted) = file.mounted {
            mounted
        } else {
            let above = openat(&root, "..", flags, Mode::empty())?;
            File::of(above, None)?.device != file.device
        };
        let dir = Dir::from_std_file(root.into());
        Ok(mounted.then_some(OpenDirectory { dir, file }))
    }
}

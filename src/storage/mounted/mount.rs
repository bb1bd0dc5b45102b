//! One mounted share: its mount point, and whether something is mounted there.
//!
//! A directory on which nothing is mounted looks like an empty share. Directories in it would be on the disk of Bindery's
//! container, and lost with it. So each verb first checks that the directory is the root of a mount, as the mount point of a
//! pod's volume is. Kernels before 5.8 do not tell that; there it must be on another file system than its parent.

use std::path::PathBuf;
use std::sync::Arc;

use cap_std::fs::Dir;
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;
use tokio::sync::Semaphore;

use super::file::File;
use super::open_directory::OpenDirectory;

/// The most verbs at a time on one mount. A mount that hangs may keep this number of threads for ever.
pub(super) const MAX_THREADS: usize = 16;

/// The directory that a share is mounted on.
#[derive(Debug)]
pub struct Mount {
    pub(super) path: PathBuf,
    /// One permit for each verb in progress, held until its thread has ended.
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

    /// Opens the root of the mount; `None` if nothing is mounted. Follows links in the path of the mount point, because the
    /// administrator chose it.
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

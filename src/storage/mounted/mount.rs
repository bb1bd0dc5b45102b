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
use crate::model::directory::Share;

/// Verbs under way on one mount at a time. A mount that hangs may keep so many threads for ever.
pub(super) const MOST_AT_WORK: usize = 16;

/// A share and the directory that it is mounted on.
#[derive(Debug)]
pub(super) struct Mount {
    pub share: Share,
    pub path: PathBuf,
    /// One permit for each verb under way, held until its thread has ended.
    pub at_work: Arc<Semaphore>,
}

/// Why the root of a mount cannot be used.
pub(super) enum NoMount {
    /// An ordinary directory.
    NotMounted,
    Refused(Errno),
}

impl From<Errno> for NoMount {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

impl Mount {
    pub fn new(share: Share, path: PathBuf) -> Self {
        Self {
            share,
            path,
            at_work: Arc::new(Semaphore::new(MOST_AT_WORK)),
        }
    }

    /// Whether it is this share, whatever the version.
    pub fn is(&self, share: &Share) -> bool {
        (self.share.server(), self.share.path()) == (share.server(), share.path())
    }

    /// The root of what is mounted now. Links on the way to it are followed: that path is the administrator's.
    pub fn open(&self) -> Result<OpenDirectory, NoMount> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(&self.path, flags, Mode::empty())?;
        let file = File::of(&root, None)?;
        let mounted = if let Some(mounted) = file.mounted {
            mounted
        } else {
            let above = openat(&root, "..", flags, Mode::empty())?;
            File::of(above, None)?.device != file.device
        };
        if !mounted {
            return Err(NoMount::NotMounted);
        }
        Ok(OpenDirectory {
            dir: Dir::from_std_file(root.into()),
            file,
        })
    }
}

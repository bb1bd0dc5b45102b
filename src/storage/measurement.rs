//! What [`super::Storage::measure`] has counted so far, and how fast it may ask the server.

use std::any::Any;
use std::collections::HashSet;

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};

use super::listing::{Name, ObjectSize, Position};
use crate::model::identity::Identity;

/// The most file numbers that are remembered of files with hard links: they need at most 8 MB of memory.
const MAX_LINKED: usize = 256 * 1024;

/// The space that a tree uses. The directory itself does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// The bytes on the disk. A file with several names counts once.
    pub bytes: u64,
    /// The number of files, directories and other objects.
    pub files: u64,
    /// The number of directories that could not be read. What is in them is missing in the numbers above.
    pub unread: u64,
}

/// The result of [`super::Storage::measure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// The whole tree is counted.
    Done(Used),
    /// A part is counted, and the deadline is near; call again.
    Remains {
        /// Whether the server has answered a call.
        answered: bool,
    },
    /// The directory does not exist.
    Missing,
    /// Another directory is at the path.
    Another(Identity),
}

/// Decides when the next call to a server may be sent.
#[async_trait]
pub trait Pace: Send + Sync {
    /// Waits until one more call may be sent.
    async fn wait(&self);
}

/// A measurement of one tree. It keeps one page of names for each directory on the path to the current one, so its size does
/// not depend on the number of files.
#[derive(Debug, Default)]
pub struct Measurement(Mutex<Progress>);

impl Measurement {
    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.lock()
    }

    /// Releases the handles of directories. The next call of the verb looks the directories up again.
    pub fn release_handles(&self) {
        self.progress().handles = None;
    }
}

/// The position of a measurement in its tree.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Whether the first directory has been entered.
    pub begun: bool,
    /// The directories from the top of the tree down to the current one.
    pub levels: Vec<Level>,
    /// The handles of the levels, in the type of the storage. Without them, the path is looked up again.
    pub handles: Option<Box<dyn Any + Send>>,
    counted: Used,
    /// The file numbers of counted files that have more than one name.
    linked: HashSet<u64>,
    /// Parts of files, see [`Progress::count`].
    parts: f64,
}

/// A directory that has been entered, and is not counted completely.
#[derive(Debug)]
pub(super) struct Level {
    /// Its name; empty for the top of the tree.
    pub name: Name,
    pub identity: Identity,
    /// Where its next page begins.
    pub next: Position,
    /// Whether all of its pages are read.
    pub read: bool,
    /// The names of its last page that are to be looked up.
    pub waiting: Vec<Waiting>,
    /// Whether the server has forgotten its handle since the last call that it answered with it.
    pub forgotten: bool,
}

/// A name to be looked up: a directory, or an object of which the server has told too little.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub name: Name,
    /// Whether the object is counted already.
    pub is_counted: bool,
}

impl Level {
    pub fn new(name: Name, identity: Identity) -> Self {
        Self {
            name,
            identity,
            next: Position::default(),
            read: false,
            waiting: Vec::new(),
            forgotten: false,
        }
    }
}

impl Progress {
    /// Counts an object. A file with several names counts with the first of them. If too many such files are known, each of
    /// its names counts as a part of the file.
    pub fn count(&mut self, is_directory: bool, size: &ObjectSize) {
        let (mut bytes, mut files) = (size.used, 1);
        if !is_directory && size.links > 1 && !self.linked.contains(&size.fileid) {
            if self.linked.len() < MAX_LINKED {
                self.linked.insert(size.fileid);
            } else {
                bytes /= u64::from(size.links);
                self.parts += f64::from(size.links).recip();
                files = 0;
            }
        } else if !is_directory && size.links > 1 {
            return;
        }
        self.counted.bytes = self.counted.bytes.saturating_add(bytes);
        self.counted.files += files;
    }

    /// Counts a directory that cannot be read.
    pub fn count_unread(&mut self) {
        self.counted.unread += 1;
    }

    /// Returns what is counted.
    pub fn used(&self) -> Used {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most the number of names"
        )]
        let parts = self.parts.round() as u64;
        Used {
            files: self.counted.files + parts,
            ..self.counted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(fileid: u64, links: u32) -> ObjectSize {
        ObjectSize {
            fsid: (1, 0),
            fileid,
            links,
            used: 4096,
            is_mounted: false,
        }
    }

    #[test]
    fn a_file_with_several_names_counts_once() {
        let mut progress = Progress::default();
        for fileid in [7, 8, 7] {
            progress.count(false, &file(fileid, 2));
        }
        progress.count(false, &file(9, 1));
        // Each directory has at least two names: its own, and the one inside it.
        progress.count(true, &file(10, 2));
        let used = Used {
            bytes: 4 * 4096,
            files: 4,
            unread: 0,
        };
        assert_eq!(progress.used(), used);
    }

    #[test]
    fn names_count_as_parts_of_files_if_too_many_files_have_several() {
        let mut progress = Progress::default();
        let most = MAX_LINKED as u64;
        for fileid in 0..most + 30 {
            for _ in 0..3 {
                progress.count(false, &file(fileid, 3));
            }
        }
        assert_eq!(progress.linked.len(), MAX_LINKED);
        let used = progress.used();
        assert_eq!(used.files, most + 30);
        assert!(used.bytes.abs_diff((most + 30) * 4096) < 4096, "{used:?}");
    }
}

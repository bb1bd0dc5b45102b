//! From the root of the mount to a directory, name by name (openat).
//!
//! Each name is opened as a directory and nothing else: at a link or a file the walk stops. What is done with the place
//! goes by its descriptor, so whatever is moved or replaced on the way there later, the place stays the one that was
//! found. The descriptors are of the kind that needs no permission on the directory itself (`O_PATH`).

use std::ffi::OsStr;

use cap_std::fs::Dir;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::diagnose::Action;
use super::file::File;
use super::mount::NoMount;
use super::run::{RoundError, Run};

/// A directory that is there.
#[derive(Debug)]
pub(super) struct Spot {
    pub dir: Dir,
    pub file: File,
}

/// Where a walk came to.
pub(super) enum Walk {
    Found(Spot),
    /// The segment with this number is not there.
    Missing(usize),
}

impl Spot {
    /// The directory of this name in this one; never one behind a link.
    pub fn below(&self, name: &OsStr) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(&self.dir, name, flags, Mode::empty())?;
        Ok(Self {
            file: File::of(&opened, Some(&self.file))?,
            dir: Dir::from_std_file(opened.into()),
        })
    }
}

impl Run {
    /// The share itself, if it is mounted.
    pub fn share(&self) -> Result<Spot, RoundError> {
        self.mount().open().map_err(|no| match no {
            NoMount::NotMounted => self.not_mounted(),
            NoMount::Refused(errno) => self.refused(Action::Mount, errno),
        })
    }

    /// Walks from the share through `segments`.
    pub fn walk(&self, segments: &[&str]) -> Result<Walk, RoundError> {
        let mut spot = self.share()?;
        for (at, segment) in segments.iter().enumerate() {
            match self.look(&spot, segment)? {
                Some(below) => spot = below,
                None => return Ok(Walk::Missing(at)),
            }
        }
        Ok(Walk::Found(spot))
    }

    /// The directory of this name; an error if a file or a link has it.
    pub fn look(&self, directory: &Spot, name: &str) -> Result<Option<Spot>, RoundError> {
        match directory.below(OsStr::new(name)) {
            Ok(spot) => Ok(Some(spot)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.refused(Action::Segment(name), errno)),
        }
    }
}

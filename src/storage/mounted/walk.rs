//! From the root of the mount to a directory, name by name (openat).
//!
//! Each name is opened as a directory and nothing else: at a link or a file the walk stops. What is done with the place
//! goes by its descriptor, so whatever is moved or replaced on the way there later, the place stays the one that was
//! found.

use std::ffi::OsStr;

use rustix::io::Errno;

use super::mount::NoMount;
use super::open_directory::OpenDirectory;
use super::run::{RoundError, Run};
use crate::storage::refusal::Action;

/// Where a walk came to.
pub(super) enum Walk {
    Found(OpenDirectory),
    /// The segment with this number is not there.
    Missing(usize),
}

impl Run {
    /// The share itself, if it is mounted.
    pub fn share(&self) -> Result<OpenDirectory, RoundError> {
        self.mount().open().map_err(|no| match no {
            NoMount::NotMounted => self.not_mounted(),
            NoMount::Refused(errno) => self.refused(Action::Share(""), errno),
        })
    }

    /// Walks from the share through `segments`.
    pub fn walk(&self, segments: &[&str]) -> Result<Walk, RoundError> {
        let mut opened = self.share()?;
        for (at, segment) in segments.iter().enumerate() {
            match self.look(&opened, segment)? {
                Some(below) => opened = below,
                None => return Ok(Walk::Missing(at)),
            }
        }
        Ok(Walk::Found(opened))
    }

    /// The directory of this name; an error if a file or a link has it.
    pub fn look(&self, directory: &OpenDirectory, name: &str) -> Result<Option<OpenDirectory>, RoundError> {
        match directory.below(OsStr::new(name)) {
            Ok(opened) => Ok(Some(opened)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.refused(Action::Segment(name), errno)),
        }
    }
}

//! Walks from the root of the mount to a directory, name by name (openat).
//!
//! Each name is opened as a directory and nothing else: at a link or a file the walk stops. What is done with the directory
//! goes by its descriptor, so it stays the one that was found, whatever is moved or replaced above it later.

use std::ffi::OsStr;

use rustix::io::Errno;

use super::mount::NoMount;
use super::open_directory::OpenDirectory;
use super::run::{RoundError, Run};
use crate::storage::refusal::Action;

/// Where a path leads.
pub(super) enum Walk {
    Found(OpenDirectory),
    /// To nothing: the segment with this number is missing.
    Missing(usize),
}

impl Run {
    /// Opens the share itself, if it is mounted.
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

    /// Opens the directory of this name; fails if it is a file or a link.
    pub fn look(&self, directory: &OpenDirectory, name: &str) -> Result<Option<OpenDirectory>, RoundError> {
        match directory.below(OsStr::new(name)) {
            Ok(opened) => Ok(Some(opened)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.refused(Action::Segment(name), errno)),
        }
    }
}

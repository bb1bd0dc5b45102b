//! An open directory below a mount.
//!
//! The descriptor needs no permission on the directory itself (`O_PATH`).

use std::ffi::OsStr;

use cap_std::fs::Dir;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::file::File;

/// An open directory and its attributes.
#[derive(Debug)]
pub(in crate::storage) struct OpenDirectory {
    pub dir: Dir,
    pub file: File,
}

impl OpenDirectory {
    /// Opens the subdirectory of this name. Follows no link.
    pub fn below(&self, name: &OsStr) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(&self.dir, name, flags, Mode::empty())?;
        Ok(Self {
            file: File::of(&opened, Some(&self.file))?,
            dir: Dir::from_std_file(opened.into()),
        })
    }
}

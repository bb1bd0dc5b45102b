//! Makes a directory with exactly the attributes that are wanted (mkdirat, fchownat, chmod).
//!
//! It is made with mode 0700, then gets its owner, then its mode: so no other user can use it before it has its owner, and
//! neither a umask nor a parent's setgid bit matters. Finally the attributes are checked. A directory that this call has made
//! and could not give the attributes is removed again, if it is still the one at its place. Missing parents that were made
//! stay: they are empty, and the next try needs them.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use cap_std::fs::{DirBuilder, DirBuilderExt};
use rustix::fs::{AtFlags, Gid, Mode, Uid, chmod, chownat};
use rustix::io::Errno;

use super::file::File;
use super::open_directory::OpenDirectory;
use super::run::{RoundError, Run};
use crate::model::attributes::Attributes;
use crate::model::directory::Directory;
use crate::storage::attributes::{self, OF_PARENTS};
use crate::storage::refusal::Action;
use crate::storage::{Existing, Fault, Made};

/// See [`attributes::AttributeError`].
type AttributeError = attributes::AttributeError<Errno>;

/// The result of mkdir.
enum Created {
    Now(OpenDirectory),
    There,
}

impl Run {
    /// One round of [`crate::storage::Storage::make`].
    pub fn make(&self, directory: &Directory, wanted: Attributes, existing: Existing) -> Result<Made, RoundError> {
        let (parents, last) = directory.split_last();
        let parent = self.parents(&parents)?;
        if existing == Existing::LeaveAlone
            && let Some(opened) = self.look(&parent, last)?
        {
            return Ok(made(&opened, false));
        }
        match self.create(&parent, last, wanted)? {
            Created::Now(opened) => Ok(made(&opened, true)),
            Created::There => {
                let opened = self.look(&parent, last)?.ok_or(RoundError::Retry(Errno::NOENT))?;
                if existing == Existing::SetAttributes {
                    self.give(&opened, wanted)?
                        .map_err(|error| self.wrong_attributes(&error))?;
                }
                Ok(made(&opened, false))
            }
        }
    }

    /// Returns the directory that the last segment goes into. Makes what is missing of it.
    fn parents(&self, segments: &[&str]) -> Result<OpenDirectory, RoundError> {
        let mut opened = self.share()?;
        for segment in segments {
            if let Some(below) = self.look(&opened, segment)? {
                opened = below;
                continue;
            }
            opened = match self.create(&opened, segment, OF_PARENTS)? {
                Created::Now(below) => {
                    self.partly_done(false);
                    below
                }
                // Another call has made it since, for a directory next to this one.
                Created::There => self.look(&opened, segment)?.ok_or(RoundError::Retry(Errno::NOENT))?,
            };
        }
        Ok(opened)
    }

    fn create(&self, parent: &OpenDirectory, name: &str, wanted: Attributes) -> Result<Created, RoundError> {
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        match self.change(|| parent.dir.create_dir_with(name, &builder))? {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(Created::There),
            // The parent was removed after the walk.
            Err(Errno::NOENT) => return Err(RoundError::Retry(Errno::NOENT)),
            Err(errno) => return Err(self.refused(Action::Make, errno)),
        }
        // It may have been replaced since.
        let opened = self.look(parent, name)?.ok_or(RoundError::Retry(Errno::NOENT))?;
        let error = match self.give(&opened, wanted)? {
            Ok(file) => return Ok(Created::Now(OpenDirectory { file, ..opened })),
            Err(error) => error,
        };
        // It is useless, and this call has just made it: so this call may remove it.
        if undo(parent, name, &opened.file) {
            self.partly_done(false);
        }
        Err(self.wrong_attributes(&error))
    }

    /// Gives a directory the attributes that it lacks.
    fn give(&self, opened: &OpenDirectory, wanted: Attributes) -> Result<Result<File, AttributeError>, RoundError> {
        let lacks = AttributeError::check(&opened.file.found, wanted);
        if lacks.is_ok() {
            return Ok(Ok(opened.file));
        }
        if let Err(AttributeError::Owner) = lacks {
            if [wanted.uid, wanted.gid].contains(&Some(u32::MAX)) {
                // To the kernel this number means "as it is".
                return Ok(Err(AttributeError::Refused(Action::SetOwner, Errno::INVAL)));
            }
            let (uid, gid) = (wanted.uid.map(Uid::from_raw), wanted.gid.map(Gid::from_raw));
            let chown = || chownat(&opened.dir, "", uid, gid, AtFlags::EMPTY_PATH).map_err(io::Error::from);
            if let Err(errno) = self.change(chown)? {
                return Ok(Err(AttributeError::Refused(Action::SetOwner, errno)));
            }
        }
        if let Err(errno) = self.change(|| set_mode(&opened.dir, wanted.mode))? {
            return Ok(Err(AttributeError::Refused(Action::SetMode, errno)));
        }
        let file = match File::of(&opened.dir, Some(&opened.file)) {
            Ok(file) => file,
            Err(errno) => return Err(self.refused(Action::SetMode, errno)),
        };
        Ok(AttributeError::check(&file.found, wanted).map(|()| file))
    }

    fn wrong_attributes(&self, error: &AttributeError) -> RoundError {
        match *error {
            AttributeError::Refused(action, errno) => self.refused(action, errno),
            AttributeError::Owner => self.refused(Action::SetOwner, Errno::PERM),
            AttributeError::Mode { is, wanted } => {
                let text = format!(
                    "it got mode {is:04o} where {wanted:04o} was asked for. File systems drop setgid when the group is \
                     not one of Bindery's; choose a mode that this one keeps."
                );
                self.fails(Fault::Denied.because(text))
            }
        }
    }
}

/// Sets the mode of a directory that this process need not be able to read. The kernel has a path for its descriptor: so no
/// other path is walked, and no link followed. (fchmod does not accept such descriptors; fchmodat2 needs Linux 6.6.)
pub(super) fn set_mode(directory: impl AsFd, mode: u32) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
    Ok(chmod(path, Mode::from_raw_mode(mode))?)
}

/// Removes the directory that mkdir made, also after the deadline. Returns whether it is gone.
fn undo(parent: &OpenDirectory, name: &str, made: &File) -> bool {
    match parent.below(OsStr::new(name)) {
        Ok(opened) if opened.file.found.identity == made.found.identity => parent.dir.remove_dir(name).is_ok(),
        // Another one has been put in its place, and that must stay.
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => true,
        Err(_) => false,
    }
}

fn made(opened: &OpenDirectory, new: bool) -> Made {
    Made {
        identity: opened.file.found.identity,
        new,
    }
}

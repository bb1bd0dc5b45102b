//! Makes a directory with the wanted attributes (mkdirat, fchownat, chmod).
//!
//! The owner is set first, then the mode, so that neither a umask nor the parent's setgid bit matters. Finally the owner is
//! checked. If the attributes of a new directory cannot be set, it is removed again, unless another one has replaced it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use cap_std::fs::{DirBuilder, DirBuilderExt};
use rustix::fs::{AtFlags, Gid, Mode, Uid, chmod, chownat};
use rustix::io::Errno;

use super::file::File;
use super::open_directory::OpenDirectory;
use super::thread::Caller;
use crate::model::attributes::Attributes;
use crate::storage::attributes::{AttributeError, after_refused_mode, initial_mode};
use crate::storage::refusal::Action;
use crate::storage::status::Status;

/// Makes a directory with these attributes.
pub(super) fn make(
    caller: &Caller,
    parent: &OpenDirectory,
    name: &str,
    wanted: Attributes,
) -> Result<Result<OpenDirectory, AttributeError>, Status> {
    let mut builder = DirBuilder::new();
    builder.mode(initial_mode(wanted));
    caller.change(|| parent.dir.create_dir_with(name, &builder))??;
    // Another directory may have replaced it.
    let opened = parent.below(OsStr::new(name))?;
    let set = set_attributes(caller, &opened, wanted)?;
    // Without its attributes the directory is useless. This call has just made it, so it may remove it.
    if set.is_ok() || undo(parent, name, &opened.file) {
        caller.not_partly_done();
    }
    Ok(set.map(|file| OpenDirectory { file, ..opened }))
}

/// Gives a directory the attributes that it lacks.
pub(super) fn set_attributes(
    caller: &Caller,
    opened: &OpenDirectory,
    wanted: Attributes,
) -> Result<Result<File, AttributeError>, Status> {
    if opened.file.found.has(wanted) {
        return Ok(Ok(opened.file));
    }
    if AttributeError::check(&opened.file.found, wanted).is_err() {
        if [wanted.uid, wanted.gid].contains(&Some(u32::MAX)) {
            // To the kernel this number means "unchanged".
            return Ok(Err(AttributeError::Refused(Action::SetOwner, Status::INVAL)));
        }
        let (uid, gid) = (wanted.uid.map(Uid::from_raw), wanted.gid.map(Gid::from_raw));
        let chown = || chownat(&opened.dir, "", uid, gid, AtFlags::EMPTY_PATH);
        if let Err(status) = caller.change(chown)? {
            return Ok(Err(AttributeError::Refused(Action::SetOwner, status)));
        }
    }
    if let Some(mode) = wanted.mode
        && let Err(status) = caller.change(|| set_mode(&opened.dir, mode))?
    {
        let error = AttributeError::Refused(Action::SetMode, status);
        if !error.mode_cannot_be_set() {
            return Ok(Err(error));
        }
        return set_attributes(caller, opened, after_refused_mode(wanted));
    }
    let file = File::of(&opened.dir, Some(&opened.file))?;
    Ok(AttributeError::check(&file.found, wanted).map(|()| file))
}

/// Sets the mode of a directory through the path that the kernel has for its descriptor. So no link is followed, and no
/// permission to read is needed. (fchmod does not accept `O_PATH` descriptors; fchmodat2 needs Linux 6.6.)
pub(super) fn set_mode(directory: impl AsFd, mode: u32) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
    Ok(chmod(path, Mode::from_raw_mode(mode))?)
}

/// Removes the directory that mkdir made, also after the deadline. Returns whether it is gone.
fn undo(parent: &OpenDirectory, name: &str, made: &File) -> bool {
    match parent.below(OsStr::new(name)) {
        Ok(opened) if opened.file.found.identity == made.found.identity => parent.dir.remove_dir(name).is_ok(),
        // Another directory has replaced it, and must stay.
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => true,
        Err(_) => false,
    }
}

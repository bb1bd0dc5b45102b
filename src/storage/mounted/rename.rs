//! Moves a directory if it has the expected identity (renameat2).
//!
//! No call compares and moves at the same time. So the directory, whose identity was checked before, is moved to a name that
//! does not exist, and is checked again. If another directory has replaced it since, that one is moved back: it was at the
//! wrong path for two calls.

use std::ffi::OsStr;
use std::io;

use rustix::fs::{RenameFlags, renameat, renameat_with};
use rustix::io::Errno;

use super::open_directory::OpenDirectory;
use super::thread::Caller;
use crate::model::identity::Identity;
use crate::storage::Moved;
use crate::storage::status::Status;

/// A name in a directory.
type Place<'a> = (&'a OpenDirectory, &'a str);

/// Moves the directory. Returns `None` if another one was moved and cannot be moved back.
pub(super) fn rename(
    caller: &Caller,
    from: Place<'_>,
    expected: Identity,
    to: Place<'_>,
) -> Result<Option<Moved>, Status> {
    caller.change(|| rename_noreplace(from, to))??;
    let moved = match to.0.below(OsStr::new(to.1)) {
        Ok(opened) => Ok(opened.file.found.identity),
        // A file or a link has replaced the directory since the check.
        Err(Errno::NOTDIR) => Err(Status::NOTDIR),
        Err(errno) => return Err(errno.into()),
    };
    if moved == Ok(expected) {
        return Ok(Some(Moved::Done));
    }
    // Also after the deadline: the wrong directory must not stay there.
    if let Err(error) = rename_noreplace(to, from) {
        tracing::warn!(%error, "a directory that was moved by mistake cannot be moved back");
        return Ok(None);
    }
    caller.not_partly_done();
    moved.map(|other| Some(Moved::Another(other)))
}

/// Renames without replacing. On file systems that cannot guarantee that (NFS), the target is looked up first.
fn rename_noreplace((source, from): Place<'_>, (target, to): Place<'_>) -> io::Result<()> {
    match renameat_with(&source.dir, from, &target.dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        done => return Ok(done?),
    }
    if target.dir.symlink_metadata(to).is_ok() {
        return Err(Errno::EXIST.into());
    }
    Ok(renameat(&source.dir, from, &target.dir, to)?)
}

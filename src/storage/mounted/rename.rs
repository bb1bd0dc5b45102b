//! Moves and removes one directory, if it is the one that is meant (renameat2, unlinkat).
//!
//! No call compares and moves at the same time. So the directory is looked at, moved to a place where nothing is, and looked at
//! again; if another one was put there between look and move, that is moved back. It was away for two calls.

use std::ffi::OsStr;
use std::io;

use rustix::fs::{RenameFlags, renameat, renameat_with};
use rustix::io::Errno;

use super::open_directory::OpenDirectory;
use super::run::{RoundError, Run};
use super::walk::Walk;
use crate::model::directory::Directory;
use crate::model::identity::Identity;
use crate::storage::refusal::Action;
use crate::storage::{Fault, Moved, Removed};

impl Run {
    /// One round of [`crate::storage::Storage::rename`].
    pub fn rename(&self, from: &Directory, expected: Identity, to: &Directory) -> Result<Moved, RoundError> {
        let (from_parents, from_last) = from.split_last();
        let (to_parents, to_last) = to.split_last();
        let Walk::Found(source) = self.walk(&from_parents)? else {
            return self.unless_moved(expected, to, Moved::Missing);
        };
        let Walk::Found(target) = self.walk(&to_parents)? else {
            return Err(self.refused(Action::Rename, Errno::NOENT));
        };
        match self.look(&source, from_last)? {
            None => return self.unless_moved(expected, to, Moved::Missing),
            Some(opened) if opened.file.found.identity != expected => {
                return self.unless_moved(expected, to, Moved::Another(opened.file.found.identity));
            }
            Some(_) => {}
        }
        match self.change(|| move_to_nothing(&source, from_last, &target, to_last))? {
            Ok(()) => {}
            // Source or target went away after the looks: the next round finds out which.
            Err(Errno::NOENT) => return Err(RoundError::Retry(Errno::NOENT)),
            Err(errno) => return Err(self.refused(Action::Rename, errno)),
        }
        let moved = match target.below(OsStr::new(to_last)) {
            Ok(opened) => Some(opened.file.found.identity),
            // A file or a link was put there since, and is not the one that is meant either.
            Err(Errno::NOTDIR) => None,
            Err(Errno::NOENT) => return Err(RoundError::Retry(Errno::NOENT)),
            Err(errno) => return Err(self.refused(Action::Rename, errno)),
        };
        if moved == Some(expected) {
            return Ok(Moved::Done);
        }
        // Also after the deadline: it must not stay there.
        if let Err(error) = move_to_nothing(&target, to_last, &source, from_last) {
            let text = format!(
                "another directory took its place at that moment, was moved to {to} instead, and cannot be moved back \
                 ({error}). Move it back by hand."
            );
            return Err(self.fails(Fault::Other.because(text)));
        }
        self.partly_done(false);
        match moved {
            Some(other) => self.unless_moved(expected, to, Moved::Another(other)),
            None => Err(self.refused(Action::Segment(from_last), Errno::NOTDIR)),
        }
    }

    /// Returns `otherwise`, unless the directory is at its new place already.
    fn unless_moved(&self, expected: Identity, to: &Directory, otherwise: Moved) -> Result<Moved, RoundError> {
        let segments: Vec<&str> = to.segments().collect();
        Ok(match self.walk(&segments)? {
            Walk::Found(opened) if opened.file.found.identity == expected => Moved::Done,
            _ => otherwise,
        })
    }

    /// One round of [`crate::storage::Storage::remove_empty`].
    pub fn remove_empty(&self, directory: &Directory, expected: Identity) -> Result<Removed, RoundError> {
        let (parents, last) = directory.split_last();
        let Walk::Found(parent) = self.walk(&parents)? else {
            return Ok(Removed::Missing);
        };
        match self.look(&parent, last)? {
            None => return Ok(Removed::Missing),
            Some(opened) if opened.file.found.identity != expected => {
                return Ok(Removed::Another(opened.file.found.identity));
            }
            Some(_) => {}
        }
        match self.change(|| parent.dir.remove_dir(last))? {
            Ok(()) => Ok(Removed::Done),
            Err(Errno::NOENT) => Ok(Removed::Missing),
            // Some file systems say EXIST.
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Removed::NotEmpty),
            Err(Errno::NOTDIR) => Err(self.refused(Action::Segment(last), Errno::NOTDIR)),
            Err(errno) => Err(self.refused(Action::Remove, errno)),
        }
    }
}

/// Renames, but replaces nothing. On file systems that cannot guarantee that (NFS), the new place is looked at first.
fn move_to_nothing(source: &OpenDirectory, from: &str, target: &OpenDirectory, to: &str) -> io::Result<()> {
    match renameat_with(&source.dir, from, &target.dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        done => return Ok(done?),
    }
    if target.dir.symlink_metadata(to).is_ok() {
        return Err(Errno::EXIST.into());
    }
    Ok(renameat(&source.dir, from, &target.dir, to)?)
}

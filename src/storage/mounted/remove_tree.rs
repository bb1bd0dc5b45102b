//! Removes a tree (openat, getdents, unlinkat).
//!
//! The deepest directory goes first, by descriptor, so that no path is walked and no link can lead out of the tree; names are
//! bytes. A descriptor and some names are kept for each level, and at most [`DEEPEST`] levels: below that the levels above are
//! forgotten, and found again from the top later. Directories are read from the front each time, because what was read before
//! has been removed since. After an interruption the next run finds less to remove.
//!
//! A directory that may not be listed or changed gets mode 0700 first, where that is allowed. Anything mounted in the tree ends
//! the run with an error: its files are not the claim's.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::errno::errno;
use super::make::set_mode;
use super::open_directory::OpenDirectory;
use super::run::{RoundError, Run};
use super::walk::Walk;
use crate::model::directory::Directory;
use crate::storage::refusal::{self, Action};
use crate::storage::{Fault, Tree};

/// Descriptors that a run keeps open: a process may have 1024 in all, and sixteen verbs are under way on each mount.
const DEEPEST: usize = 32;
/// Directories of one level that are noted at a time.
const MOST_NOTED: usize = 256;
/// How often directories may fill up again during the run before that is an error.
const MOST_ROUNDS: u32 = 64;
/// How many times in a row a directory may be not empty although nothing was listed in it, and the pause before another look:
/// something may just have been made or removed in it.
const MOST_UNLISTED: u32 = 6;
const UNLISTED_PAUSE: Duration = Duration::from_millis(50);

/// A directory that is being emptied.
struct Level {
    directory: OpenDirectory,
    /// Its name in the level above; empty for the top of the tree.
    name: OsString,
    /// Directories in it that are still to be entered.
    directories: Vec<OsString>,
    /// Nothing was found in it.
    empty: bool,
    /// Something was found in it before.
    listed: bool,
    /// Its mode was set to 0700.
    made_accessible: bool,
}

/// One run.
struct Removal<'a> {
    run: &'a Run,
    /// The file system that the run must not leave.
    device: (u32, u32),
    until: Instant,
    rounds: u32,
    unlisted: u32,
    /// Whether anything was found in the top of the tree, once that is empty.
    top_listed: Option<bool>,
}

impl Run {
    /// One round of [`crate::storage::Storage::remove_tree`], which ends at `until`.
    pub fn remove_tree(&self, directory: &Directory, until: Instant) -> Result<Tree, RoundError> {
        let (parents, last) = directory.split_last();
        let Walk::Found(parent) = self.walk(&parents)? else {
            return Ok(Tree::Gone);
        };
        let mut removal = Removal {
            run: self,
            device: parent.file.device,
            until,
            rounds: 0,
            unlisted: 0,
            top_listed: None,
        };
        loop {
            let Some(top) = self.look(&parent, last)? else {
                return Ok(Tree::Gone);
            };
            removal.stays(&top, OsStr::new(last))?;
            if !removal.empty(top)? {
                return Ok(Tree::Remains);
            }
            match self.change(|| parent.dir.remove_dir(last))? {
                Ok(()) | Err(Errno::NOENT) => return Ok(Tree::Gone),
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    if let Some(listed) = removal.top_listed.take() {
                        removal.not_empty(listed, OsStr::new(""))?;
                    }
                }
                Err(errno) => return Err(self.refused(Action::Remove, errno)),
            }
        }
    }
}

impl Removal<'_> {
    /// Removes all that is in `top`, as far as its levels are remembered. Returns `false` if the time ends first.
    fn empty(&mut self, top: OpenDirectory) -> Result<bool, RoundError> {
        let mut levels = VecDeque::from([Level::new(top, OsString::new())]);
        while let Some(level) = levels.back_mut() {
            if self.is_late()? {
                return Ok(false);
            }
            if let Some(name) = level.directories.pop() {
                if let Some(below) = self.enter(level, name)? {
                    if levels.len() == DEEPEST {
                        levels.pop_front();
                    }
                    levels.push_back(below);
                }
            } else if !level.empty {
                self.sweep(level)?;
            } else if let Some(done) = levels.pop_back() {
                match levels.back_mut() {
                    Some(above) => self.leave(above, done)?,
                    // The top is empty; or a level whose upper levels are forgotten: then the top is found not to be empty.
                    None if done.name.is_empty() => self.top_listed = Some(done.listed),
                    None => {}
                }
            }
        }
        Ok(true)
    }

    /// Reads a directory from the front, removes its files and notes its directories.
    fn sweep(&self, level: &mut Level) -> Result<(), RoundError> {
        let entries = match level.directory.dir.entries() {
            Ok(entries) => entries,
            Err(error) => return self.make_accessible(level, errno(&error)),
        };
        level.empty = true;
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Err(self.refused(level, errno(&error))),
            };
            (level.empty, level.listed) = (false, true);
            let name = entry.file_name();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                level.directories.push(name);
            } else {
                self.remove_file(level, name)?;
            }
            if level.directories.len() == MOST_NOTED || self.is_late()? {
                break;
            }
        }
        Ok(())
    }

    /// Enters a directory. `None`: there is none of that name.
    fn enter(&self, level: &mut Level, name: OsString) -> Result<Option<Level>, RoundError> {
        match level.directory.below(&name) {
            Ok(directory) => {
                self.stays(&directory, &name)?;
                Ok(Some(Level::new(directory, name)))
            }
            Err(Errno::NOENT) => Ok(None),
            // It was replaced since.
            Err(Errno::NOTDIR | Errno::LOOP) => self.remove_file(level, name).map(|()| None),
            Err(errno) => {
                self.make_accessible(level, errno)?;
                level.directories.push(name);
                Ok(None)
            }
        }
    }

    fn remove_file(&self, level: &mut Level, name: OsString) -> Result<(), RoundError> {
        match self.run.change(|| level.directory.dir.remove_file(&name))? {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => {
                level.directories.push(name);
                Ok(())
            }
            // What is left is found by the next sweep.
            Err(errno) => self.make_accessible(level, errno),
        }
    }

    /// Removes a directory that was emptied. If it filled up again, it is found by the next sweep.
    fn leave(&mut self, above: &mut Level, done: Level) -> Result<(), RoundError> {
        match self.run.change(|| above.directory.dir.remove_dir(&done.name))? {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => self.not_empty(done.listed, &done.name),
            Err(errno) => {
                self.make_accessible(above, errno)?;
                above.directories.push(done.name);
                Ok(())
            }
        }
    }

    /// Something was denied in a directory: sets its mode to 0700, once.
    fn make_accessible(&self, level: &mut Level, errno: Errno) -> Result<(), RoundError> {
        let denied = matches!(errno, Errno::ACCESS | Errno::PERM);
        if level.made_accessible || !denied {
            return Err(self.refused(level, errno));
        }
        match self.run.change(|| set_mode(&level.directory.dir, 0o700))? {
            Ok(()) => {
                level.made_accessible = true;
                Ok(())
            }
            // What was denied first says more than that the mode may not be set either.
            Err(_) => Err(self.refused(level, errno)),
        }
    }

    fn stays(&self, directory: &OpenDirectory, name: &OsStr) -> Result<(), RoundError> {
        // A mount of a part of the same file system has the same device.
        if directory.file.device == self.device && directory.file.mounted != Some(true) {
            return Ok(());
        }
        let text = format!(
            "another file system is mounted in it at {:?}, and is not removed. Unmount it.",
            name.to_string_lossy()
        );
        Err(self.run.fails(Fault::OtherFileSystem.because(text)))
    }

    fn is_late(&self) -> Result<bool, RoundError> {
        if self.run.is_over() {
            return Err(RoundError::TimedOut);
        }
        Ok(Instant::now() >= self.until)
    }

    /// A directory that was emptied is not empty. `listed`: whether anything was found in it. The top has no name.
    fn not_empty(&mut self, listed: bool, name: &OsStr) -> Result<(), RoundError> {
        if listed {
            self.unlisted = 0;
            return self.round();
        }
        self.unlisted += 1;
        if self.unlisted <= MOST_UNLISTED {
            std::thread::sleep(UNLISTED_PAUSE);
            return Ok(());
        }
        Err(self.run.fails(refusal::unlisted_entries(&name.to_string_lossy())))
    }

    /// The verb fails in a directory of the tree.
    fn refused(&self, level: &Level, errno: Errno) -> RoundError {
        let name = level.name.to_string_lossy();
        // The top of the tree has no name here.
        let action = if name.is_empty() {
            Action::Remove
        } else {
            Action::Inside(&name)
        };
        self.run.refused(action, errno)
    }

    fn round(&mut self) -> Result<(), RoundError> {
        self.rounds += 1;
        if self.rounds <= MOST_ROUNDS {
            return Ok(());
        }
        Err(self.run.fails(refusal::keeps_filling()))
    }
}

impl Level {
    fn new(directory: OpenDirectory, name: OsString) -> Self {
        Self {
            directory,
            name,
            directories: Vec::new(),
            empty: false,
            listed: false,
            made_accessible: false,
        }
    }
}

//! Removing a tree (READDIRPLUS, LOOKUP, REMOVE, RMDIR and SETATTR: RFC 1813, 3.3.17, 3.3.3, 3.3.12, 3.3.13 and 3.3.2).
//!
//! Depth first, by file handle, so that no path is walked and no link can lead out; names are bytes. What is kept is one
//! page of names for each level, and at most [`DEEPEST`] levels: below that the levels above are forgotten and found
//! again from the top later. Pages are read from the front each time, for what was read before is gone by then. Whatever
//! stops the run, the next one simply finds less.
//!
//! A directory that lets nobody list or change it gets mode 0700 first, where the client may set it. Another file system
//! in the tree ends the run with an error: its files are somebody else's.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::attempt::{Attempt, Trouble};
use super::calls::{Call, Change, Handle};
use super::walk::{Spot, Walk};
use crate::policy::directory::Directory;
use crate::storage::Tree;
use crate::storage::answers::{self, Step};
use crate::storage::status::Status;

const DEEPEST: usize = 1024;
/// So many directories may fill up again behind our back before it is an error.
const MOST_ROUNDS: u32 = 64;

/// A directory on the way down.
struct Level {
    handle: Handle,
    /// Its name in the level above.
    name: Vec<u8>,
    /// What is still to be removed of the page that was read; directories are entered first.
    directories: Vec<Vec<u8>>,
    files: Vec<Vec<u8>>,
    /// Nothing was left in it after that page.
    read: bool,
    /// Its mode was set to 0700.
    opened: bool,
}

/// One run.
struct Removal<'a, 'b> {
    attempt: &'a Attempt<'b>,
    /// The file system that the run must not leave.
    fsid: (u64, u64),
    rounds: u32,
}

impl Attempt<'_> {
    /// One round of [`crate::storage::Storage::remove_tree`], to be over at `until`: before the deadline, so that no
    /// call is cut short by a deadline that was merely short.
    pub async fn remove_tree(&self, directory: &Directory, until: Instant) -> Result<Tree, Trouble> {
        let (parents, last) = directory.split_last();
        let Walk::There(parent) = self.walk(&parents).await? else {
            return Ok(Tree::Gone);
        };
        let Some(top) = self.look(&parent.handle, last.as_bytes()).await? else {
            return Ok(Tree::Gone);
        };
        self.directory(&top, Step::Segment(last))?;
        let mut removal = Removal {
            attempt: self,
            fsid: parent.file.identity.fsid,
            rounds: 0,
        };
        removal.stays(&top, last.as_bytes())?;
        loop {
            if !removal.empty(&top, until).await? {
                return Ok(Tree::Remains);
            }
            let call = Call::RemoveDirectory(&parent.handle, last.as_bytes());
            match self.send(call).await? {
                Ok(_) | Err(Status::NOENT) => return Ok(Tree::Gone),
                Err(Status::NOTEMPTY | Status::EXIST) => removal.round()?,
                Err(status) => return Err(self.refused(Step::Remove, status)),
            }
        }
    }
}

impl Removal<'_, '_> {
    /// Removes all that is in `top`, as far as its levels are remembered, or as much as goes until then: `false`.
    async fn empty(&mut self, top: &Spot, until: Instant) -> Result<bool, Trouble> {
        let mut levels = VecDeque::from([Level::new(top.handle.clone(), Vec::new())]);
        while let Some(level) = levels.back_mut() {
            if Instant::now() >= until {
                return Ok(false);
            }
            if let Some(name) = level.directories.pop() {
                if let Some(below) = self.enter(level, name).await? {
                    if levels.len() == DEEPEST {
                        levels.pop_front();
                    }
                    levels.push_back(below);
                }
            } else if let Some(name) = level.files.pop() {
                self.remove(level, name).await?;
            } else if !level.read {
                self.read(level).await?;
            } else if let Some(done) = levels.pop_back() {
                match levels.back_mut() {
                    Some(above) => self.remove_directory(above, done.name).await?,
                    // Or of a level whose own are forgotten: then the top is found not to be empty.
                    None => return Ok(true),
                }
            }
        }
        Ok(true)
    }

    /// Notes what the first page of a directory holds.
    async fn read(&self, level: &mut Level) -> Result<(), Trouble> {
        let page = match self.attempt.first_page(&level.handle).await? {
            Ok(page) => page,
            // A late call of an earlier run removed it.
            Err(Status::NOENT) => {
                level.read = true;
                return Ok(());
            }
            Err(status) => return self.open(level, status).await,
        };
        level.read = page.last;
        for entry in page.entries {
            // What it is not known to be is found out on the way in.
            let names = match entry.directory {
                Some(false) => &mut level.files,
                Some(true) | None => &mut level.directories,
            };
            names.push(entry.name);
        }
        Ok(())
    }

    /// Goes into a directory; `None` if it is gone, or is no directory.
    async fn enter(&mut self, level: &mut Level, name: Vec<u8>) -> Result<Option<Level>, Trouble> {
        let spot = match self.attempt.try_look(&level.handle, &name).await? {
            Ok(spot) => spot,
            Err(Status::NOENT) => return Ok(None),
            Err(status) => {
                self.open(level, status).await?;
                level.directories.push(name);
                return Ok(None);
            }
        };
        self.stays(&spot, &name)?;
        if spot.file.directory {
            return Ok(Some(Level::new(spot.handle, name)));
        }
        level.files.push(name);
        Ok(None)
    }

    /// Removes what is not a directory; if it has become one it is entered.
    async fn remove(&mut self, level: &mut Level, name: Vec<u8>) -> Result<(), Trouble> {
        let answer = self.attempt.send(Call::Remove(&level.handle, &name)).await?;
        self.attempt.partly_done(true);
        match answer {
            Ok(_) | Err(Status::NOENT) => {}
            Err(Status::ISDIR | Status::EXIST | Status::NOTEMPTY) => {
                self.round()?;
                level.directories.push(name);
            }
            Err(status) => {
                self.open(level, status).await?;
                level.files.push(name);
            }
        }
        Ok(())
    }

    /// Removes an emptied directory; if it has filled up it is entered again.
    async fn remove_directory(&mut self, level: &mut Level, name: Vec<u8>) -> Result<(), Trouble> {
        let answer = self.attempt.send(Call::RemoveDirectory(&level.handle, &name)).await?;
        self.attempt.partly_done(true);
        match answer {
            Ok(_) | Err(Status::NOENT) => {}
            Err(Status::NOTEMPTY | Status::EXIST | Status::NOTDIR) => {
                self.round()?;
                level.directories.push(name);
            }
            Err(status) => {
                self.open(level, status).await?;
                level.directories.push(name);
            }
        }
        Ok(())
    }

    /// The server denied something in this directory: lets us in, unless that was tried before.
    async fn open(&self, level: &mut Level, status: Status) -> Result<(), Trouble> {
        let name = String::from_utf8_lossy(&level.name);
        // The top has no directory of this tree above it.
        let step = if name.is_empty() {
            Step::Remove
        } else {
            Step::Inside(&name)
        };
        let denied = matches!(status, Status::ACCESS | Status::PERM);
        if level.opened || !denied {
            return Err(self.attempt.refused(step, status));
        }
        match self.attempt.send(Call::Set(&level.handle, Change::mode(0o700))).await? {
            Ok(_) => {
                level.opened = true;
                Ok(())
            }
            // What was denied first says more than that the mode may not be set either.
            Err(_) => Err(self.attempt.refused(step, status)),
        }
    }

    fn stays(&self, spot: &Spot, name: &[u8]) -> Result<(), Trouble> {
        if spot.file.identity.fsid == self.fsid {
            return Ok(());
        }
        let (fault, text) = answers::mounted_in_tree(name);
        Err(self.attempt.fails(fault, &text))
    }

    fn round(&mut self) -> Result<(), Trouble> {
        self.rounds += 1;
        if self.rounds <= MOST_ROUNDS {
            return Ok(());
        }
        let (fault, text) = answers::fills_up();
        Err(self.attempt.fails(fault, text))
    }
}

impl Level {
    fn new(handle: Handle, name: Vec<u8>) -> Self {
        Self {
            handle,
            name,
            directories: Vec::new(),
            files: Vec::new(),
            read: false,
            opened: false,
        }
    }
}

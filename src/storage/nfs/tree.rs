//! Removing a tree (READDIR, LOOKUP, REMOVE and SETATTR: RFC 8881, 18.23, 18.13, 18.25 and 18.30).
//!
//! Depth first, by file handle, so that no path is walked and no link can lead out; names are bytes. What is kept is one
//! page of names for each level, and at most [`DEEPEST`] levels: below that the levels above are forgotten and found
//! again from the top later. Pages are read from the front each time, for what was read before is gone by then. Whatever
//! stops the run, the next one simply finds less.
//!
//! A directory that lets nobody list or change it gets mode 0700 first, where the client may set it. Another file system
//! in the tree ends the run with an error: its files are somebody else's.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Again, Attempt, Trouble};
use super::attributes::{Change, Kind};
use super::loan::Late;
use super::operation::{Handle, Op};
use super::walk::{Spot, Walk};
use crate::crash::{self, Point};
use crate::policy::directory::Directory;
use crate::storage::Tree;
use crate::storage::answers::{self, Step};
use crate::storage::status::Status;

const DEEPEST: usize = 1024;
/// REMOVEs in one COMPOUND: so many at first, and at most.
const FIRST_REMOVES: usize = 4;
const MOST_REMOVES: usize = 32;
/// A COMPOUND that took longer is followed by a smaller one: there may be large files in it, and a call that takes longer
/// than the verb has time for comes to nothing.
const SLOW: Duration = Duration::from_millis(500);
/// So many directories may fill up again behind our back before it is an error.
const MOST_ROUNDS: u32 = 64;

/// A directory on the way down.
struct Level {
    handle: Handle,
    /// Its name in the level above.
    name: Vec<u8>,
    /// The directories of the page that was read, still to be entered.
    directories: Vec<Vec<u8>>,
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
    /// How many REMOVEs go into the next COMPOUND.
    removes: usize,
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
            removes: FIRST_REMOVES,
        };
        removal.stays(&top, last.as_bytes())?;
        loop {
            if !removal.empty(&top, until).await? {
                return Ok(Tree::Remains);
            }
            let reply = self
                .send(&[Op::Put(&parent.handle), Op::Remove(last.as_bytes())])
                .await?;
            match reply.stopped.map(|stopped| stopped.status) {
                None | Some(Status::NOENT) => return Ok(Tree::Gone),
                Some(Status::NOTEMPTY | Status::EXIST) => removal.round()?,
                Some(status) => return Err(self.refused(Step::Remove, status)),
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
            } else if !level.read {
                self.sweep(level, until).await?;
            } else if let Some(done) = levels.pop_back() {
                match levels.back_mut() {
                    Some(above) => self.remove(above, vec![done.name], until).await?,
                    // Or of a level whose own are forgotten: then the top is found not to be empty.
                    None => return Ok(true),
                }
            }
        }
        Ok(true)
    }

    /// Reads the first page of a directory, removes the files and notes the directories.
    async fn sweep(&mut self, level: &mut Level, until: Instant) -> Result<(), Trouble> {
        let page = match self.attempt.page(&level.handle, 0, [0; 8]).await? {
            Ok(page) => page,
            // A late call of an earlier run removed it.
            Err(Status::NOENT) => {
                level.read = true;
                return Ok(());
            }
            Err(status) => return self.open(level, status).await,
        };
        level.read = page.last;
        let (directories, files): (Vec<_>, Vec<_>) = page
            .entries
            .into_iter()
            .partition(|entry| matches!(entry.kind, Some(Kind::Directory) | None));
        level.directories = directories.into_iter().map(|entry| entry.name).collect();
        self.remove(level, files.into_iter().map(|entry| entry.name).collect(), until)
            .await
    }

    /// Goes into a directory; `None` if it is gone, or is no directory and so was removed.
    async fn enter(&mut self, level: &mut Level, name: Vec<u8>) -> Result<Option<Level>, Trouble> {
        let ops = [Op::Put(&level.handle), Op::Lookup(&name), Op::GetHandle, Op::Get];
        let reply = self.attempt.send(&ops).await?;
        match reply.stopped.map(|stopped| stopped.status) {
            None => {}
            Some(Status::NOENT) => return Ok(None),
            Some(status) => {
                self.open(level, status).await?;
                level.directories.push(name);
                return Ok(None);
            }
        }
        let spot = self.attempt.spot(&reply)?;
        self.stays(&spot, &name)?;
        if spot.file.kind == Kind::Directory {
            return Ok(Some(Level::new(spot.handle, name)));
        }
        self.remove(level, vec![name], self.attempt.deadline()).await?;
        Ok(None)
    }

    /// Removes names from a directory. A directory among them that is not empty is to be entered again.
    async fn remove(&mut self, level: &mut Level, names: Vec<Vec<u8>>, until: Instant) -> Result<(), Trouble> {
        let mut left = &names[..];
        while !left.is_empty() {
            if Instant::now() >= until {
                level.read = false;
                return Ok(());
            }
            // SEQUENCE and PUTFH go along.
            let most = self.attempt.server().limits().fit(2, left.iter().map(Vec::as_slice));
            let mut ops = vec![Op::Put(&level.handle)];
            ops.extend(left.iter().take(most.min(self.removes)).map(|name| Op::Remove(name)));
            let sent = Instant::now();
            // It goes by handle, in a directory that is to be emptied anyway: late, it does what the next call will do.
            let reply = self.attempt.send_as(&ops, Late::Harmless).await?;
            self.removes = if sent.elapsed() > SLOW {
                (self.removes / 2).max(1)
            } else {
                (self.removes * 2).min(MOST_REMOVES)
            };
            self.attempt.partly_done(true);
            crash::point(Point::TreeHalfRemoved);
            let Some(stopped) = reply.stopped else {
                left = &left[ops.len() - 1..];
                continue;
            };
            // PUTFH is the operation before the first REMOVE.
            left = &left[stopped.at.saturating_sub(1)..];
            match stopped.status {
                Status::NOENT if stopped.at > 0 => left = &left[1..],
                Status::NOTEMPTY | Status::EXIST => {
                    self.round()?;
                    level.directories.push(left[0].clone());
                    left = &left[1..];
                }
                status if status.later() => self.attempt.pause(status).await,
                status if status.stale() => return Err(Trouble::Again(Again::Changed(status))),
                status => self.open(level, status).await?,
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
        let reply = self
            .attempt
            .send(&[Op::Put(&level.handle), Op::Set(Change::mode(0o700))])
            .await?;
        match reply.stopped {
            None => {
                level.opened = true;
                Ok(())
            }
            // What was denied first says more than that the mode may not be set either.
            Some(_) => Err(self.attempt.refused(step, status)),
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
            read: false,
            opened: false,
        }
    }
}

//! The way of a directory out of its path: to the trash, or to an archive.
//!
//! Order: the place where it is to go is written on the volume; the directory is set aside, by a rename that the server
//! carries out only if it is the very directory that the volume was given; the volume is read again; the directory is
//! renamed to its place. A crash after any step leads back here, and the directory is looked for at its path, aside, and at
//! each place that the volume names.
//!
//! Why it is set aside first: a rename of a replica that was paused may reach the server when another replica has finished
//! the volume, and hit a later volume's directory. Such a rename only ever comes to the aside name, where nothing is
//! removed, and [`super::put_back`] and [`super::empty_trash`] bring it back. To the trash proper, or to an archive that ends, a
//! directory comes only after a look has shown that the volume is still to be deleted and its policy still the same.

use super::destination::Way;
use crate::controller::Volumes;
use crate::controller::error::Failure;
use crate::failpoints::{self, Point};
use crate::model::directory::{Depot, Directory};
use crate::model::identity::Identity;
use crate::model::retention::Retention;
use crate::model::volume::{Record, Volume};
use crate::storage::{Fault, Moved, Outcome, StorageError};

/// Where a directory is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controller) enum Goal {
    /// To the trash.
    Trash,
    /// To an archive that is kept so long.
    Archive(Retention),
    /// Nowhere. What was moved from its path already is to be kept in an archive without an end.
    Keep,
}

/// Where a directory was found.
#[derive(Debug)]
pub(in crate::controller) enum Spot {
    /// At its path.
    AtPath(Identity),
    /// At another place, where an earlier try has brought it.
    Moved(Identity, Directory),
    /// Nowhere: nothing is at its path.
    Missing,
    /// Nowhere: another directory is at its path.
    Another,
}

/// Where the directory of a volume is in the end.
pub(in crate::controller) enum Left {
    /// Here.
    At(Directory),
    /// Nowhere: nothing is at its path.
    Missing,
    /// Nowhere: another directory is at its path.
    Replaced,
}

impl Volumes {
    /// Brings the directory where it is to go, from wherever an earlier try has left it.
    pub(in crate::controller) async fn leave(
        &self,
        volume: &Volume,
        record: &Record,
        goal: Goal,
    ) -> Result<Left, Failure> {
        let (identity, from) = match self.find(volume, record).await? {
            Spot::AtPath(_) if goal == Goal::Keep => return Ok(Left::At(record.directory.clone())),
            Spot::AtPath(identity) => (identity, None),
            Spot::Moved(identity, place) => (identity, Some(place)),
            Spot::Missing => return Ok(Left::Missing),
            Spot::Another => return Ok(Left::Replaced),
        };
        let mut way = Way {
            identity,
            recorded: record.moved_to.clone(),
        };
        if let Some(from) = &from
            && record.moved_to.contains(from)
            && self.is_met(volume, goal, from)
        {
            return Ok(Left::At(from.clone()));
        }
        let (from, to) = match from {
            Some(from) => {
                let to = self.target(volume, record, goal, &Depot::around(&from));
                self.record_target(volume, record, &mut way, &to).await?;
                self.assert_same_policy(volume, record).await?;
                (from, to)
            }
            None => self.set_aside(volume, record, &mut way, goal).await?,
        };
        self.may_act()?;
        match self
            .storage
            .rename(&record.share, &from, identity, &to, Self::soon())
            .await?
        {
            Moved::Done => Ok(Left::At(to)),
            // Another replica was faster. It is looked for again.
            Moved::Missing | Moved::Another(_) => Err(Failure::Changed),
        }
    }

    /// Looks for the directory at its path, and wherever an earlier try may have moved it.
    pub(in crate::controller) async fn find(&self, volume: &Volume, record: &Record) -> Result<Spot, Failure> {
        let (share, directory) = (&record.share, &record.directory);
        let there = match self.storage.look_up(share, directory, Self::soon()).await {
            Ok(there) => there.map(|there| there.identity),
            // Somebody has put a file there since.
            Err(error) if error.fault == Fault::NotADirectory && !record.moved_to.is_empty() => None,
            Err(error) => return Err(error.into()),
        };
        let Some(identity) = record.identity else {
            return self
                .find_by_name(record, &self.recorded_places(volume, record), there)
                .await;
        };
        if there == Some(identity) {
            return Ok(Spot::AtPath(identity));
        }
        // In the order in which it is moved, and twice: a late rename may move it on between two looks.
        let places = self.places(volume, record);
        for place in places.iter().chain(&places) {
            let found = self.storage.look_up(share, place, Self::soon()).await?;
            if found.is_some_and(|found| found.identity == identity) {
                return Ok(Spot::Moved(identity, place.clone()));
            }
        }
        Ok(match there {
            None => Spot::Missing,
            Some(_) => Spot::Another,
        })
    }

    /// Looks for a directory of which no number is recorded, say because an administrator has removed it. What lies where this
    /// volume's removal has meant to bring it is the directory: the names of these places are the volume's own.
    async fn find_by_name(
        &self,
        record: &Record,
        recorded: &[Directory],
        there: Option<Identity>,
    ) -> Result<Spot, Failure> {
        for place in recorded.iter().chain(recorded) {
            if let Some(found) = self.storage.look_up(&record.share, place, Self::soon()).await? {
                return Ok(Spot::Moved(found.identity, place.clone()));
            }
        }
        Ok(there.map_or(Spot::Missing, Spot::AtPath))
    }

    /// The places that a removal of this version has written down, and those on the way to them. None: it was not begun.
    fn recorded_places(&self, volume: &Volume, record: &Record) -> Vec<Directory> {
        if record.moved_to.is_empty() {
            return Vec::new();
        }
        let aside = Directory::aside(&self.us.instance, &volume.name, &volume.uid);
        let asides = Depot::of(&record.directory).map(|depot| depot.place(&aside));
        asides.chain(record.moved_to.iter().cloned()).collect()
    }

    /// All places but its path where the directory of a volume may be.
    fn places(&self, volume: &Volume, record: &Record) -> Vec<Directory> {
        let instance = &self.us.instance;
        let aside = Directory::aside(instance, &volume.name, &volume.uid);
        // An older version recorded nothing, and named no uid.
        let old = Directory::in_trash_without_uid(instance, &volume.name);
        let depots: Vec<Depot> = Depot::of(&record.directory).collect();
        let in_depots = |own: Directory| depots.iter().map(move |depot| depot.place(&own));
        in_depots(aside)
            .chain(record.moved_to.iter().cloned())
            .chain(in_depots(old))
            .collect()
    }

    /// Moves the directory from its path to the aside name, in the share, or beside it where the share is another file
    /// system. Returns where it is then, and where it is to go.
    async fn set_aside(
        &self,
        volume: &Volume,
        record: &Record,
        way: &mut Way,
        goal: Goal,
    ) -> Result<(Directory, Directory), Failure> {
        let recorded = record.moved_to.last().map_or(Depot::SHARE, Depot::around);
        match self.set_aside_in(&recorded, volume, record, way, goal).await {
            Err(Failure::Storage(error))
                if error.fault == Fault::OtherFileSystem
                    && recorded == Depot::SHARE
                    && let Some(beside) = Depot::beside(&record.directory) =>
            {
                self.set_aside_in(&beside, volume, record, way, goal).await
            }
            done => done,
        }
    }

    async fn set_aside_in(
        &self,
        depot: &Depot,
        volume: &Volume,
        record: &Record,
        way: &mut Way,
        goal: Goal,
    ) -> Result<(Directory, Directory), Failure> {
        self.make_sign(&record.share, depot).await?;
        self.make_trash(&record.share, depot).await?;
        let to = self.target(volume, record, goal, depot);
        self.record_target(volume, record, way, &to).await?;
        let aside = depot.place(&Directory::aside(&self.us.instance, &volume.name, &volume.uid));
        self.may_act()?;
        match self.move_away(volume, record, way.identity, &aside).await? {
            Moved::Done => Ok((aside, to)),
            Moved::Missing | Moved::Another(_) => Err(Failure::Changed),
        }
    }

    /// Renames the directory away from its path, and looks then whether that was right.
    async fn move_away(
        &self,
        volume: &Volume,
        record: &Record,
        identity: Identity,
        aside: &Directory,
    ) -> Result<Moved, Failure> {
        let moved = self
            .storage
            .rename(&record.share, &record.directory, identity, aside, Self::soon())
            .await;
        tracing::debug!(volume = volume.name, ?moved, %aside, "left the live path");
        failpoints::point(Point::Renamed);
        if may_be_done(&moved) {
            match self.assert_same_policy(volume, record).await {
                Err(Failure::Stopping) => {
                    self.put_back(volume, record, identity, aside).await?;
                    return Err(Failure::Stopping);
                }
                checked => checked?,
            }
        }
        Ok(moved?)
    }

    /// Fails, by a live look, with [`Failure::Stopping`] if this very volume is not there to be cleaned up, and with
    /// [`Failure::Changed`] if its policy is another one by now.
    async fn assert_same_policy(&self, volume: &Volume, record: &Record) -> Result<(), Failure> {
        let Some(now) = self.still(volume).await? else {
            return Err(Failure::Stopping);
        };
        let policy = |record: &Record| (record.on_delete, record.retention);
        let is_same = now.reclaim == volume.reclaim && now.record.as_ref().map(policy) == Ok(policy(record));
        if is_same { Ok(()) } else { Err(Failure::Changed) }
    }

    /// The very volume as it is now, by a live look, if it is still there to be cleaned up.
    pub(in crate::controller) async fn still(&self, volume: &Volume) -> Result<Option<Volume>, Failure> {
        let now = self.cluster.volume(&volume.name).await?;
        Ok(now.filter(|now| now.uid == volume.uid && now.deleting && now.held))
    }
}

fn may_be_done(moved: &Result<Moved, StorageError>) -> bool {
    match moved {
        Ok(moved) => *moved == Moved::Done,
        Err(error) => error.outcome == Outcome::Unknown,
    }
}

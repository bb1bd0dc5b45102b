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

use super::destination::{Destination, Progress};
use super::find::FoundAt;
use super::{destination, find, live, put_back, trash_roots};
use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::failpoints::{self, Point};
use crate::model::directory::{Directory, TrashRoot};
use crate::model::identity::Identity;
use crate::model::volume::{Record, Volume};
use crate::storage::{Fault, Moved, Outcome, StorageError};

/// Where the directory of a volume is in the end.
pub enum MoveResult {
    /// Here.
    At(Directory),
    /// Nowhere: nothing is at its path.
    Missing,
    /// Nowhere: another directory is at its path.
    Replaced,
}

/// Brings the directory where it is to go, from wherever an earlier try has left it.
pub async fn move_directory(
    leader: &Leader,
    volume: &Volume,
    record: &Record,
    destination: Destination,
) -> Result<MoveResult, Error> {
    let ctx = &leader.ctx;
    let (identity, from) = match find::find(ctx, volume, record).await? {
        FoundAt::Path(_) if destination == Destination::Keep => return Ok(MoveResult::At(record.directory.clone())),
        FoundAt::Path(identity) => (identity, None),
        FoundAt::Moved(identity, place) => (identity, Some(place)),
        FoundAt::Missing => return Ok(MoveResult::Missing),
        FoundAt::Replaced => return Ok(MoveResult::Replaced),
    };
    let mut progress = Progress {
        identity,
        recorded: record.moved_to.clone(),
    };
    if let Some(from) = &from
        && record.moved_to.contains(from)
        && destination::is_destination(ctx, volume, destination, from)
    {
        return Ok(MoveResult::At(from.clone()));
    }
    let (from, to) = match from {
        Some(from) => {
            let to = destination::target(ctx, volume, record, destination, &TrashRoot::containing(&from));
            destination::record_target(leader, volume, record, &mut progress, &to).await?;
            assert_same_policy(ctx, volume, record).await?;
            (from, to)
        }
        None => set_aside(leader, volume, record, &mut progress, destination).await?,
    };
    leader.may_act()?;
    match ctx
        .storage
        .rename(&record.share, &from, identity, &to, storage_deadline())
        .await?
    {
        Moved::Done => Ok(MoveResult::At(to)),
        // Another replica was faster. It is looked for again.
        Moved::Missing | Moved::Another(_) => Err(Error::Changed),
    }
}

/// Moves the directory from its path to the aside name, in the share, or beside it where the share is another file
/// system. Returns where it is then, and where it is to go.
async fn set_aside(
    leader: &Leader,
    volume: &Volume,
    record: &Record,
    progress: &mut Progress,
    destination: Destination,
) -> Result<(Directory, Directory), Error> {
    let recorded = record.moved_to.last().map_or(TrashRoot::SHARE, TrashRoot::containing);
    match set_aside_in(leader, &recorded, volume, record, progress, destination).await {
        Err(Error::Storage(error))
            if error.fault == Fault::OtherFileSystem
                && recorded == TrashRoot::SHARE
                && let Some(beside) = TrashRoot::above(&record.directory) =>
        {
            set_aside_in(leader, &beside, volume, record, progress, destination).await
        }
        done => done,
    }
}

async fn set_aside_in(
    leader: &Leader,
    root: &TrashRoot,
    volume: &Volume,
    record: &Record,
    progress: &mut Progress,
    destination: Destination,
) -> Result<(Directory, Directory), Error> {
    let ctx = &leader.ctx;
    trash_roots::make_marker(leader, &record.share, root).await?;
    trash_roots::make_trash(leader, &record.share, root).await?;
    let to = destination::target(ctx, volume, record, destination, root);
    destination::record_target(leader, volume, record, progress, &to).await?;
    let aside = root.place(&Directory::aside(&ctx.installation.instance, &volume.name, &volume.uid));
    leader.may_act()?;
    match move_away(leader, volume, record, progress.identity, &aside).await? {
        Moved::Done => Ok((aside, to)),
        Moved::Missing | Moved::Another(_) => Err(Error::Changed),
    }
}

/// Renames the directory away from its path, and looks then whether that was right.
async fn move_away(
    leader: &Leader,
    volume: &Volume,
    record: &Record,
    identity: Identity,
    aside: &Directory,
) -> Result<Moved, Error> {
    let ctx = &leader.ctx;
    let moved = ctx
        .storage
        .rename(&record.share, &record.directory, identity, aside, storage_deadline())
        .await;
    tracing::debug!(volume = volume.name, ?moved, %aside, "left the live path");
    failpoints::point(Point::Renamed);
    if may_be_done(&moved) {
        match assert_same_policy(ctx, volume, record).await {
            Err(Error::NotLeading) => {
                put_back::put_back(leader, volume, record, identity, aside).await?;
                return Err(Error::NotLeading);
            }
            checked => checked?,
        }
    }
    Ok(moved?)
}

/// Fails, by a live look, with [`Error::NotLeading`] if this very volume is not there to be cleaned up, and with
/// [`Error::Changed`] if its policy is another one by now.
async fn assert_same_policy(ctx: &Context, volume: &Volume, record: &Record) -> Result<(), Error> {
    let Some(now) = live::being_deleted(ctx, volume).await? else {
        return Err(Error::NotLeading);
    };
    let policy = |record: &Record| (record.on_delete, record.retention);
    let is_same = now.reclaim == volume.reclaim && now.record.as_ref().map(policy) == Ok(policy(record));
    if is_same { Ok(()) } else { Err(Error::Changed) }
}

fn may_be_done(moved: &Result<Moved, StorageError>) -> bool {
    match moved {
        Ok(moved) => *moved == Moved::Done,
        Err(error) => error.outcome == Outcome::Unknown,
    }
}

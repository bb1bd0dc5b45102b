//! Moves the directory of a volume from its path to the trash, or to an archive.
//!
//! Order: (1) record the destination on the volume; (2) rename the directory to its aside name, only if it is the very
//! directory that the volume was given (the server compares); (3) read the volume again; (4) rename the directory to
//! its destination. A crash after any step leads back here: the directory is looked for at its path, at its aside name,
//! and at each recorded place.
//!
//! Why the aside name: a rename by a replica that was paused may reach the server when another replica has finished
//! this volume, and hit the directory of a newer volume at the same path. Such a rename only ever leads to an aside
//! name, where nothing is removed, and [`super::put_back`] and [`super::empty_trash`] move the directory back. A
//! directory reaches the trash proper, or an archive that expires, only after a live read has shown that the volume is
//! still being deleted and that its policy is the same.

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

/// Where the directory of a volume is after the move.
pub enum MoveResult {
    /// At this place.
    At(Directory),
    /// Nowhere. Nothing is at its path.
    Missing,
    /// Nowhere. Another directory is at its path.
    Replaced,
}

/// Moves the directory to its destination, from wherever an earlier attempt has left it.
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
        // Another replica was faster. The next reconcile looks for the directory again.
        Moved::Missing | Moved::Another(_) => Err(Error::Changed),
    }
}

/// Renames the directory from its path to its aside name: in the share, or beside the directory if the share is another
/// file system. Returns its place now, and its destination.
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

/// Renames the directory, then checks that the volume was still to be cleaned up; if not, moves it back.
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
    tracing::debug!(volume = volume.name, ?moved, %aside, "renamed the directory to its aside name");
    failpoints::point(Point::Renamed);
    if may_be_done(&moved) {
        match assert_same_policy(ctx, volume, record).await {
            Err(Error::VolumeGone) => {
                put_back::put_back(leader, volume, record, identity, aside).await?;
                return Err(Error::VolumeGone);
            }
            checked => checked?,
        }
    }
    Ok(moved?)
}

/// Reads the volume again. Fails with [`Error::VolumeGone`] if it no longer waits for its cleanup, and with
/// [`Error::Changed`] if its policy has changed.
async fn assert_same_policy(ctx: &Context, volume: &Volume, record: &Record) -> Result<(), Error> {
    let now = live::being_deleted(ctx, volume).await?;
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

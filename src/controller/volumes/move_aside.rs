//! Moves the directory of a volume from its path to the trash, or to an archive.
//!
//! Order: (1) record the destination on the volume; (2) rename the directory to its aside name, if it still has the
//! recorded identity; (3) read the volume again; (4) rename the directory to its destination. After a crash these steps
//! are repeated: the directory is looked up at its path, at its aside name, and at each recorded place.
//!
//! Why the aside name is needed: a replica may be paused before the rename, and another replica may finish the cleanup
//! of this volume. The late rename may then move the directory of a newer volume at the same path. It always moves it
//! to an aside name, where nothing is removed, and [`super::put_back`] and [`super::empty_trash`] move it back. A
//! directory gets its name in the trash, or the name of an archive that expires, only after a live read has shown that
//! the volume is still being deleted and that its policy is the same.

use super::destination::{Destination, Move};
use super::find::FoundAt;
use super::step::Step;
use super::{find, live, put_back, trash_roots};
use crate::controller::error::Error;
use crate::failpoints::{self, Point};
use crate::model::directory::{Directory, TrashRoot};
use crate::model::volume::Record;
use crate::storage::{Fault, Moved, Outcome, StorageError};

/// Moves the directory to its destination, from its path or from the place to which an earlier attempt moved it.
/// Returns its new place.
pub async fn move_directory(step: Step<'_>, destination: Destination) -> Result<FoundAt, Error> {
    let Step {
        leader, ctx, record, ..
    } = step;
    let found = find::find(step).await?;
    let (identity, from) = match &found {
        FoundAt::Missing | FoundAt::Replaced => return Ok(found),
        FoundAt::Path(_) if destination == Destination::Keep => return Ok(found),
        FoundAt::Moved(_, place) if record.moved_to.contains(place) && destination.is_at(step, place) => {
            return Ok(found);
        }
        FoundAt::Path(identity) => (*identity, None),
        FoundAt::Moved(identity, place) => (*identity, Some(place)),
    };
    let mut moving = Move {
        step,
        destination,
        identity,
        recorded: record.moved_to.clone(),
    };
    let (from, to) = match from {
        Some(from) => {
            let to = moving.record_target(&TrashRoot::containing(from)).await?;
            check_same_policy(step).await?;
            (from.clone(), to)
        }
        None => set_aside(&mut moving).await?,
    };
    leader.may_act()?;
    check_done(ctx.rename(&record.share, &from, identity, &to).await?)?;
    Ok(FoundAt::Moved(identity, to))
}

/// Renames the directory from its path to its aside name: in the trash root of the share, or next to the directory if
/// that is another file system. Returns the new place of the directory, and its destination.
async fn set_aside(moving: &mut Move<'_>) -> Result<(Directory, Directory), Error> {
    let record = moving.step.record;
    let recorded = record.moved_to.last().map_or(TrashRoot::SHARE, TrashRoot::containing);
    match set_aside_in(moving, &recorded).await {
        Err(Error::Storage(error))
            if error.fault == Fault::OtherFileSystem
                && recorded == TrashRoot::SHARE
                && let Some(next_to_it) = TrashRoot::above(&record.directory) =>
        {
            set_aside_in(moving, &next_to_it).await
        }
        done => done,
    }
}

/// Renames the directory to its aside name below this trash root. Then checks that the volume still waits for its
/// cleanup; if not, moves the directory back.
async fn set_aside_in(moving: &mut Move<'_>, root: &TrashRoot) -> Result<(Directory, Directory), Error> {
    let (step, identity) = (moving.step, moving.identity);
    let Step {
        leader,
        ctx,
        volume,
        record,
    } = step;
    trash_roots::make_marker(leader, &record.share, root).await?;
    trash_roots::make_trash(leader, &record.share, root).await?;
    let to = moving.record_target(root).await?;
    let aside = root.place(&step.aside());
    leader.may_act()?;
    let moved = ctx.rename(&record.share, &record.directory, identity, &aside).await;
    tracing::debug!(volume = volume.name, ?moved, %aside, "renamed the directory to its aside name");
    failpoints::point(Point::Renamed);
    if may_be_done(&moved) {
        let checked = check_same_policy(step).await;
        if let Err(Error::VolumeGone) = checked {
            put_back::put_back(step, identity, &aside).await?;
        }
        checked?;
    }
    check_done(moved?)?;
    Ok((aside, to))
}

/// Reads the volume again. Fails with [`Error::VolumeGone`] if it no longer waits for its cleanup, and with
/// [`Error::Changed`] if its policy has changed.
async fn check_same_policy(step: Step<'_>) -> Result<(), Error> {
    let now = live::being_deleted(step).await?;
    let policy = |record: &Record| (record.on_delete, record.retention);
    let is_same = now.reclaim == step.volume.reclaim && now.record.as_ref().map(policy) == Ok(policy(step.record));
    if is_same { Ok(()) } else { Err(Error::Changed) }
}

/// Fails if the directory was not at the expected place: another replica has moved it. The next reconcile looks for it
/// again.
fn check_done(moved: Moved) -> Result<(), Error> {
    match moved {
        Moved::Done => Ok(()),
        Moved::Missing | Moved::Another(_) => Err(Error::Changed),
    }
}

fn may_be_done(moved: &Result<Moved, StorageError>) -> bool {
    match moved {
        Ok(moved) => *moved == Moved::Done,
        Err(error) => error.outcome == Outcome::Unknown,
    }
}

//! Cleans up a volume whose claim is gone: applies the policy that is recorded on the PersistentVolume.
//!
//! Trigger: a volume of this installation that is being deleted and that no claim holds. Order: (1) the directory is
//! moved to the trash or to an archive ([`super::move_aside`]); (2) the finalizer is removed, if the policy is still
//! the same; (3) the trash is emptied ([`super::empty_trash`]). So the path and the name are free at once. As long as
//! the volume exists, no file of it is removed: if its policy is changed to `retain`, all files are kept.

use super::destination::{Destination, same_policy};
use super::find::{FoundAt, describe};
use super::move_aside::MoveResult;
use super::overlap::OverlapState;
use super::{file_system, find, move_aside, overlap, put_back};
use crate::cluster::patch;
use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::failpoints::{self, Point};
use crate::model::directory::{Directory, Share};
use crate::model::names::reason;
use crate::model::volume::{Origin, Record, Volume};
use crate::policy::reconcile::Dispose;
use crate::storage::Removed;

/// The Event that reports the cleanup.
enum Report {
    None,
    Normal(&'static str, String),
    Warning(&'static str, String),
    InTrash(Share, Directory, String),
}

/// Applies the policy to the directory, removes the finalizer, and reports what became of the directory.
pub async fn clean_up(leader: &Leader, volume: &Volume, dispose: Dispose, record: &Record) -> Result<(), Error> {
    let ctx = &leader.ctx;
    let mut tests = Vec::new();
    let report = match dispose {
        Dispose::Delete | Dispose::Archive
            if let Some(other) = overlap::reason_to_keep(leader, volume, record).await? =>
        {
            let note = format!("{} is kept: {other}", describe(record));
            let moved = format!("was already moved from its path: {other}. It");
            keep(leader, volume, record, Report::Warning(reason::RETAINED, note), &moved).await?
        }
        Dispose::Keep => {
            overlap::wait_for_turn(leader, volume, record).await?;
            keep_or_remove_empty(leader, volume, record).await?
        }
        Dispose::RemoveUnused => remove_unused(leader, volume, record).await?,
        Dispose::Delete => {
            tests = same_policy(volume, record);
            delete(leader, volume, record).await?
        }
        Dispose::Archive => {
            tests = same_policy(volume, record);
            archive(leader, volume, record).await?
        }
    };
    failpoints::point(Point::DirectoryDone);
    patch::remove_finalizer(&ctx.persistent_volumes(), volume, tests).await?;
    failpoints::point(Point::FinalizerRemoved);
    match report {
        Report::None => {}
        Report::Normal(reason, note) => ctx.events.normal(volume, reason, note),
        Report::Warning(reason, note) => ctx.events.warn(volume, reason, reason, note),
        Report::InTrash(share, place, note) => {
            ctx.events.normal(volume, reason::DELETED, note);
            leader.remove_from_trash(&share, place);
        }
    }
    ctx.metrics.step("cleaned");
    Ok(())
}

/// Removes a directory that Bindery created, if it is empty and no claim has used it, or Kubernetes has bound its
/// volume to a claim of another class. Returns whether it is removed. A directory that another volume uses stays.
async fn remove_if_empty(leader: &Leader, volume: &Volume, record: &Record) -> Result<bool, Error> {
    let ctx = &leader.ctx;
    let may_go = record.origin == Origin::New && (!volume.ready || volume.made_for.is_some());
    if !may_go || !matches!(overlap::find_overlap(ctx, volume, record).await?, OverlapState::None) {
        return Ok(false);
    }
    match find::find(ctx, volume, record).await? {
        FoundAt::Path(identity) if !overlap::has_another_volume(ctx, volume, record, identity).await? => {
            Ok(put_back::remove_empty(leader, volume, record, identity).await? == Removed::Done)
        }
        _ => Ok(false),
    }
}

async fn keep_or_remove_empty(leader: &Leader, volume: &Volume, record: &Record) -> Result<Report, Error> {
    match remove_if_empty(leader, volume, record).await {
        Ok(true) => return Ok(Report::None),
        Ok(false) | Err(Error::Storage(_)) => {}
        Err(error) => return Err(error),
    }
    let note = format!("{} is kept as it is", describe(record));
    let moved = "was already moved from its path when its policy changed. It";
    keep(leader, volume, record, Report::Normal(reason::RETAINED, note), moved).await
}

/// Keeps the directory. Without a record of a move it is at its path, and the NFS server is not needed. If it was
/// already moved, it becomes an archive that never expires; `moved` says why.
async fn keep(
    leader: &Leader,
    volume: &Volume,
    record: &Record,
    at_its_path: Report,
    moved: &str,
) -> Result<Report, Error> {
    let ctx = &leader.ctx;
    if record.moved_to.is_empty() {
        match find::find(ctx, volume, record).await {
            Ok(FoundAt::Moved(..)) => {}
            // Earlier versions recorded no moves: only the server knows.
            Err(error) if record.share_id.is_none() => return Err(error),
            Ok(_) | Err(_) => return Ok(at_its_path),
        }
    }
    match move_aside::move_directory(leader, volume, record, Destination::Keep).await? {
        MoveResult::At(place) if place == record.directory => Ok(at_its_path),
        MoveResult::At(place) => Ok(Report::Warning(
            reason::RETAINED,
            format!("{} {moved} is kept as {place}", describe(record)),
        )),
        result => absent(ctx, volume, record, &result).await,
    }
}

async fn remove_unused(leader: &Leader, volume: &Volume, record: &Record) -> Result<Report, Error> {
    let ctx = &leader.ctx;
    let (share, directory) = (&record.share, &record.directory);
    // A volume that is being created at this path creates the directory again.
    if !directory.stands_alone(&volume.name)
        && let OverlapState::Given(_) = overlap::find_overlap(ctx, volume, record).await?
    {
        return Ok(Report::None);
    }
    if record.origin == Origin::Adopted {
        return Ok(Report::None);
    }
    let Some(found) = ctx.storage.look_up(share, directory, storage_deadline()).await? else {
        return Ok(Report::None);
    };
    if overlap::has_another_volume(ctx, volume, record, found.identity).await? {
        return Ok(Report::None);
    }
    match put_back::remove_empty(leader, volume, record, found.identity).await? {
        Removed::Done | Removed::Missing => Ok(Report::None),
        Removed::NotEmpty => Ok(Report::Warning(
            reason::RETAINED,
            format!(
                "{} was never used by a claim, but it is not empty: it is kept",
                describe(record)
            ),
        )),
        Removed::Another(_) => Ok(Report::Warning(reason::REPLACED, replaced(record))),
    }
}

async fn delete(leader: &Leader, volume: &Volume, record: &Record) -> Result<Report, Error> {
    match move_aside::move_directory(leader, volume, record, Destination::Trash).await? {
        MoveResult::At(place) => {
            let note = format!(
                "{} was moved to the trash; its files are being removed",
                describe(record)
            );
            Ok(Report::InTrash(record.share.clone(), place, note))
        }
        result => absent(&leader.ctx, volume, record, &result).await,
    }
}

async fn archive(leader: &Leader, volume: &Volume, record: &Record) -> Result<Report, Error> {
    // Nobody needs an archive of an empty directory that no claim has used.
    if remove_if_empty(leader, volume, record).await? {
        return Ok(Report::None);
    }
    match move_aside::move_directory(leader, volume, record, Destination::Archive(record.retention)).await? {
        MoveResult::At(place) => Ok(Report::Normal(
            reason::ARCHIVED,
            format!("{} is archived as {place}", describe(record)),
        )),
        result => absent(&leader.ctx, volume, record, &result).await,
    }
}

/// Reports a directory that was not found. Fails if the share may show another file system: then the directory may
/// still exist, and the volume is its only record.
async fn absent(ctx: &Context, volume: &Volume, record: &Record, result: &MoveResult) -> Result<Report, Error> {
    file_system::same_disk(ctx, volume, record).await?;
    Ok(match result {
        MoveResult::Replaced => Report::Warning(reason::REPLACED, replaced(record)),
        MoveResult::Missing | MoveResult::At(_) => Report::Warning(
            reason::MISSING,
            format!(
                "{} does not exist: an earlier attempt or someone else has moved or removed it",
                describe(record)
            ),
        ),
    })
}

fn replaced(record: &Record) -> String {
    format!(
        "{} is not the directory that this volume was given: it is left as it is",
        describe(record)
    )
}

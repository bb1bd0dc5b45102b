//! Cleans up a volume whose claim is gone: applies the policy that is recorded on the PersistentVolume.
//!
//! Trigger: a volume of this installation that is being deleted and that no claim has. Order: (1) the directory is
//! moved to the trash or to an archive ([`super::move_aside`]); (2) the finalizer is removed, if the policy is still
//! the same; (3) the trash is emptied ([`super::empty_trash`]). So the path can be used again after (1), and the name
//! of the volume after (2). No file is removed while the volume exists: until then the policy can be changed to
//! `retain`.

use super::destination::{Destination, same_policy};
use super::file_system::AtPath;
use super::find::FoundAt;
use super::overlap::OverlapState;
use super::restore::PutBack;
use super::step::Step;
use super::{archive_object, file_system, find, move_aside, overlap, put_back, restore};
use crate::cluster::patch;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::failpoints::{self, Point};
use crate::model::directory::Directory;
use crate::model::names::reason;
use crate::model::volume::{Origin, Record, Restored, Volume};
use crate::policy::reconcile::Dispose;
use crate::storage::Removed;

/// The Event that reports the cleanup: its reason, and what happened to the directory.
enum Report {
    None,
    Normal(&'static str, String),
    Warning(&'static str, String),
    InTrash(Directory),
}

/// Applies the policy to the directory, removes the finalizer, and reports what happened to the directory.
pub async fn clean_up(leader: &Leader, volume: &Volume, dispose: Dispose, record: &Record) -> Result<(), Error> {
    let step = Step::new(leader, volume, record);
    let ctx = step.ctx;
    let mut tests = Vec::new();
    if let Some(archive) = record.restored.as_ref().filter(|_| volume.had_claim()) {
        Box::pin(restore::record_restored(step, archive)).await?;
    }
    let report = match dispose {
        Dispose::Delete | Dispose::Archive if let Some(other) = overlap::reason_to_keep(step).await? => {
            let moved = format!("was already moved from its path: {other}. It");
            let report = Report::Warning(reason::RETAINED, format!("is kept: {other}"));
            keep(step, report, &moved).await?
        }
        Dispose::Keep => {
            overlap::wait_for_other_cleanups(step).await?;
            keep_or_remove_empty(step).await?
        }
        Dispose::RemoveUnused => match record.being_restored() {
            Some(archive) => Box::pin(put_back_archive(step, archive)).await?,
            None => remove_unused(step).await?,
        },
        Dispose::Delete => {
            tests = same_policy(volume, record);
            move_to(step, Destination::Trash, |place, _| Report::InTrash(place)).await?
        }
        Dispose::Archive => {
            tests = same_policy(volume, record);
            archive(step).await?
        }
    };
    failpoints::point(Point::DirectoryDone);
    patch::remove_finalizer(&ctx.persistent_volumes(), volume, tests).await?;
    failpoints::point(Point::FinalizerRemoved);
    let note = |what: &str| format!("{} {what}", step.directory());
    match report {
        Report::None => {}
        Report::Normal(reason, what) => ctx.events.normal(volume, reason, note(&what)),
        Report::Warning(reason, what) => ctx.events.warn(volume, reason, note(&what)),
        Report::InTrash(place) => {
            let note = note("was moved to the trash; its files are being removed");
            ctx.events.normal(volume, reason::DELETED, note);
            leader.remove_from_trash(&record.share, place);
        }
    }
    ctx.metrics.step("cleaned_up");
    Ok(())
}

/// Removes an empty directory that Bindery created and that no claim has used, or whose volume Kubernetes has bound to
/// a claim of another class. Returns whether it was removed. A directory that another volume uses is kept.
async fn remove_if_empty(step: Step<'_>) -> Result<bool, Error> {
    let Step { volume, record, .. } = step;
    let may_go = record.origin == Origin::New && (!volume.ready || volume.made_for.is_some());
    if !may_go || !matches!(overlap::find_overlap(step).await?, OverlapState::None) {
        return Ok(false);
    }
    match find::find(step).await? {
        FoundAt::Path(identity) if !overlap::has_another_volume(step, identity).await? => {
            Ok(put_back::remove_empty(step, identity).await? == Removed::Done)
        }
        _ => Ok(false),
    }
}

async fn keep_or_remove_empty(step: Step<'_>) -> Result<Report, Error> {
    match remove_if_empty(step).await {
        Ok(true) => return Ok(Report::None),
        Ok(false) | Err(Error::Storage(_)) => {}
        Err(error) => return Err(error),
    }
    let report = Report::Normal(reason::RETAINED, "is kept as it is".to_owned());
    let moved = "was already moved from its path when its policy changed. It";
    keep(step, report, moved).await
}

/// Keeps the directory. If no move is recorded, the directory is at its path, and the NFS server need not answer. If
/// the directory was already moved, it becomes an archive that never expires; `moved` is the reason for the Event.
async fn keep(step: Step<'_>, at_its_path: Report, moved: &str) -> Result<Report, Error> {
    let record = step.record;
    if record.moved_to.is_empty() {
        match find::find(step).await {
            Ok(FoundAt::Moved(..)) => {}
            // Earlier versions did not record moves, so only the server knows the place.
            Err(error) if record.share_id.is_none() => return Err(error),
            Ok(_) | Err(_) => return Ok(at_its_path),
        }
    }
    let report = |place: Directory, object: Option<String>| {
        if place == record.directory {
            at_its_path
        } else {
            let object = object.map_or_else(String::new, |object| format!("; its object is Archive {object}"));
            Report::Warning(reason::RETAINED, format!("{moved} is kept as {place}{object}"))
        }
    };
    move_to(step, Destination::Keep, report).await
}

async fn remove_unused(step: Step<'_>) -> Result<Report, Error> {
    let Step {
        ctx, volume, record, ..
    } = step;
    overlap::wait_for_cache(step).await?;
    // If a new volume at this path is being created, that volume creates the directory again.
    let is_used = !record.directory.cannot_overlap(&volume.name)
        && matches!(overlap::find_overlap(step).await?, OverlapState::InUse(_));
    if is_used || record.origin == Origin::Adopted {
        return Ok(Report::None);
    }
    let found = match ctx.look_up(&record.share, &record.directory).await? {
        None => {
            // If the disk is not mounted, the directory comes back with the disk. It may have been mounted since the look-up.
            file_system::check_root(step, AtPath::Nothing).await?;
            ctx.look_up(&record.share, &record.directory).await?
        }
        found => found,
    };
    let Some(identity) = found else {
        return Ok(Report::None);
    };
    if overlap::has_another_volume(step, identity).await? {
        return Ok(Report::None);
    }
    Ok(match put_back::remove_empty(step, identity).await? {
        Removed::Done | Removed::Missing => Report::None,
        Removed::NotEmpty => Report::Warning(
            reason::RETAINED,
            "was never used by a claim, but it is not empty: it is kept".to_owned(),
        ),
        Removed::Another(_) => replaced(),
    })
}

/// Makes the directory an archive again.
async fn put_back_archive(step: Step<'_>, archive: &Restored) -> Result<Report, Error> {
    overlap::wait_for_cache(step).await?;
    Ok(match restore::put_back(step, archive).await? {
        PutBack::Archive => Report::None,
        PutBack::InUse => Report::Warning(
            reason::RETAINED,
            "is kept as it is: another volume has the same directory".to_owned(),
        ),
        PutBack::Missing => Report::Warning(
            reason::MISSING,
            format!(
                "does not exist, and was to become archive {} again: someone else has moved or removed it",
                archive.archive
            ),
        ),
    })
}

async fn archive(step: Step<'_>) -> Result<Report, Error> {
    // Nobody needs an archive of an empty directory that no claim has used.
    if remove_if_empty(step).await? {
        return Ok(Report::None);
    }
    let report = |place: Directory, object: Option<String>| {
        let object = object.map_or_else(String::new, |object| format!("; its object is Archive {object}"));
        Report::Normal(reason::ARCHIVED, format!("is archived as {place}{object}"))
    };
    move_to(step, Destination::Archive(step.record.retention), report).await
}

/// Moves the directory. If it is an archive then, writes the object of the archive, before the finalizer is removed.
/// Returns the report for its new place and its object, or the report that it was not found. Fails if it was
/// not found and the server may export another file system: then the directory may still exist, and the volume is its
/// only record.
async fn move_to(
    step: Step<'_>,
    destination: Destination,
    report: impl FnOnce(Directory, Option<String>) -> Report,
) -> Result<Report, Error> {
    let (at_path, absent) = match move_aside::move_directory(step, destination).await? {
        FoundAt::Path(_) => return Ok(report(step.record.directory.clone(), None)),
        FoundAt::Moved(identity, place) => {
            let object = archive_object::write_for_volume(step, identity, &place).await?;
            archive_object::delete_earlier(step, &place).await?;
            return Ok(report(place, object));
        }
        FoundAt::Replaced => (AtPath::Another, replaced()),
        FoundAt::Missing => {
            let what = "does not exist: an earlier attempt or someone else has moved or removed it";
            (AtPath::Nothing, Report::Warning(reason::MISSING, what.to_owned()))
        }
    };
    file_system::check_file_system(step, at_path).await?;
    // The disk may have been mounted since the directory was looked for.
    match find::find(step).await? {
        FoundAt::Missing | FoundAt::Replaced => Ok(absent),
        FoundAt::Path(_) | FoundAt::Moved(..) => Err(Error::Changed),
    }
}

fn replaced() -> Report {
    let what = "is not the directory that this volume was given: it is left as it is";
    Report::Warning(reason::REPLACED, what.to_owned())
}

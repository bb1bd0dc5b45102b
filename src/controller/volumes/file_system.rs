//! Checks that a server still exports the same file system for a share.
//!
//! A server whose disk is not mounted exports the empty mount point. A directory that is missing there still exists on
//! the disk, and its volume is the only record of it. If the export has a fixed `fsid=`, the file system id stays the
//! same in that case, so the inode number of the share's root is compared, too. Both are the same if another disk is
//! mounted in place of the right one. So at least one directory of an older volume must be there, if there are others:
//! newer volumes may have got their directories on the wrong disk.

use std::sync::Arc;

use jiff::Timestamp;

use super::step::Step;
use crate::cluster::cache::CachedVolume;
use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::model::directory::Share;
use crate::model::names::volume_annotation;
use crate::model::share_id::{RootChange, ShareId};
use crate::model::volume::{Phase, Record, Volume};

/// The most directories of other volumes that are looked up.
const MAX_OTHERS: usize = 16;

const NO_NUMBERS: &str = "the volume does not record which file system it was on";
const OTHER_ROOT: &str = "the root of the share is another directory";
const OTHER_FSID: &str = "the root of the share has the same file number as before and another file system id. Usually \
                          fsid= of the export was added, changed or removed";
const OTHER_FSID_ABOVE: &str = "the file system id (fsid) is another one";
const OTHERS_MISSING: &str = "the directories of other volumes in use are missing there, too, or are other directories";

/// What is at the path of a volume's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtPath {
    /// Nothing.
    Nothing,
    /// Another directory, or the same one with another file system id.
    Another,
}

/// Fails unless the server still exports the same file system. Called if the directory of a volume was not found.
pub async fn check_file_system(step: Step<'_>, at_path: AtPath) -> Result<(), Error> {
    let Step { ctx, record, .. } = step;
    let changed = |why| Err(Error::FileSystemChanged(message(step.volume, record, why, at_path)));
    // Records of other volumes do not prove that this volume was on the same file system.
    if record.identity.is_none() && record.share_id.is_none() {
        return changed(NO_NUMBERS);
    }
    let now = ctx.storage.identify(&record.share, storage_deadline()).await?;
    if let Some(change) = root_change(ctx, record, now) {
        return changed(why(change));
    }
    // A disk may also be mounted below the share.
    if let Some(identity) = record.identity {
        let above = ctx
            .storage
            .above(&record.share, &record.directory, storage_deadline())
            .await?;
        if above.identity.fsid != identity.fsid {
            return changed(OTHER_FSID_ABOVE);
        }
    }
    if others_are_missing(ctx, &record.share, Some(&step.volume.name), step.volume.created).await? {
        return changed(OTHERS_MISSING);
    }
    Ok(())
}

/// Fails if the root of the share is not the root that the volume records. For a volume without the identity of its
/// directory: the directory may never have existed.
pub async fn check_root(step: Step<'_>, at_path: AtPath) -> Result<(), Error> {
    let Step { ctx, record, .. } = step;
    let Some(before) = record.share_id else { return Ok(()) };
    let now = ctx.storage.identify(&record.share, storage_deadline()).await?;
    match before.change(now) {
        None => Ok(()),
        Some(change) => Err(Error::FileSystemChanged(message(
            step.volume,
            record,
            why(change),
            at_path,
        ))),
    }
}

/// Compares the root of the share with the root that the volume records, or else with the roots that other volumes of
/// the share record. Returns `None` if it is the same, or if no volume records one.
pub fn root_change(ctx: &Context, record: &Record, now: ShareId) -> Option<RootChange> {
    if let Some(before) = record.share_id {
        return before.change(now);
    }
    let volumes = ctx.cluster.volumes.store().state();
    let mut known = volumes.iter().filter_map(|other| {
        let other = other.read().record.as_ref().ok()?;
        other.share_id.filter(|_| other.share == record.share)
    });
    let change = known.next()?.change(now);
    change.filter(|_| known.all(|before| before.change(now).is_some()))
}

fn why(change: RootChange) -> &'static str {
    match change {
        RootChange::FileSystem => OTHER_FSID,
        RootChange::Root => OTHER_ROOT,
    }
}

/// Returns whether volumes of a share are in use, other than this one, and none of their directories is there. Only those
/// that were created until this time count, if there are some.
pub async fn others_are_missing(
    ctx: &Context,
    share: &Share,
    volume: Option<&str>,
    until: Option<Timestamp>,
) -> Result<bool, Error> {
    let is_in_use = |other: &CachedVolume| {
        let other = other.read();
        let is_there = |it: &Record| it.share == *share && it.identity.is_some() && it.moved_to.is_empty();
        Some(&*other.name) != volume
            && other.ready
            && !other.deleting
            && other.phase == Phase::Bound
            && ctx.is_own(other)
            && other.record.as_ref().is_ok_and(is_there)
    };
    let mut others = ctx.cluster.volumes.store().state_filter(is_in_use);
    others.sort_by_key(|other| other.read().created);
    // The time has only seconds.
    let is_older = |other: &Arc<CachedVolume>| other.read().created <= until;
    if others.first().is_some_and(is_older) {
        others.retain(is_older);
    }
    for other in others.iter().take(MAX_OTHERS) {
        let Ok(other) = &other.read().record else { continue };
        match ctx.look_up(&other.share, &other.directory).await {
            Ok(found) if found == other.identity => return Ok(false),
            Err(error) if error.unanswered() => return Err(error.into()),
            // A directory that Bindery may not look up proves nothing.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(!others.is_empty())
}

/// Returns the message, with the command for an administrator who has changed the file system on purpose, or who knows that
/// the directory is lost.
fn message(volume: &Volume, record: &Record, why: &str, at_path: AtPath) -> String {
    let has_numbers = record.identity.is_some() || record.share_id.is_some();
    let name = &volume.name;
    let advice = match at_path {
        // Without its numbers the volume accepts any directory at its path.
        AtPath::Another if has_numbers && record.moved_to.is_empty() => format!(
            " If the export's fsid= or its disk was changed on purpose, accept what is there now: kubectl annotate pv \
             {name} {}- {}-",
            volume_annotation::DIRECTORY_ID,
            volume_annotation::SHARE_ID,
        ),
        // With `retain`, the server is asked only if the directory may have been moved.
        AtPath::Nothing if volume.deleting && record.share_id.is_some() && record.moved_to.is_empty() => format!(
            " If the directory is really lost, let Bindery remove the volume alone: kubectl annotate pv {name} \
             --overwrite {}=retain",
            volume_annotation::ON_DELETE,
        ),
        AtPath::Nothing if volume.phase == Phase::Bound && why == OTHERS_MISSING => format!(
            " If the directories are really lost, as after a crash, let Bindery create this one again without files: \
             kubectl annotate pv {name} {}- {}-",
            volume_annotation::DIRECTORY_ID,
            volume_annotation::READY,
        ),
        _ => String::new(),
    };
    format!(
        "directory {} of share {} was not found, and the share may show another file system than before: {why}. Check \
         that the server has mounted the file system that it exports.{advice}",
        record.directory, record.share
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixtures;

    #[test]
    fn a_message_has_the_command_that_helps() {
        let accept = "kubectl annotate pv pvc-1 bindery.dev/directory-id- bindery.dev/share-id-";
        let remove = "kubectl annotate pv pvc-1 --overwrite bindery.dev/on-delete=retain";
        let again = "kubectl annotate pv pvc-1 bindery.dev/directory-id- bindery.dev/ready-";
        let mounted = "Check that the server has mounted the file system that it exports.";
        let identity = "1.2:3".parse().ok();
        for (identity, at_path, deleting, why, end) in [
            (None, AtPath::Another, true, OTHER_ROOT, mounted),
            (identity, AtPath::Another, true, OTHER_ROOT, accept),
            (identity, AtPath::Nothing, true, OTHER_ROOT, remove),
            (None, AtPath::Nothing, true, OTHERS_MISSING, remove),
            (identity, AtPath::Nothing, false, OTHER_ROOT, mounted),
            (identity, AtPath::Nothing, false, OTHERS_MISSING, again),
        ] {
            let mut record = fixtures::record("data");
            record.identity = identity;
            record.share_id = "v4/1.2:2".parse().ok().filter(|_| at_path == AtPath::Nothing);
            let mut volume = fixtures::volume("pvc-1", "data");
            (volume.deleting, volume.phase) = (deleting, Phase::Bound);
            let text = message(&volume, &record, why, at_path);
            assert!(text.ends_with(end), "{text}");
        }
    }
}

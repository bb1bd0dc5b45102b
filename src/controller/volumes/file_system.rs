//! Checks that a server still exports the same file system for a share.
//!
//! A server whose disk is not mounted exports the empty mount point. A directory that is missing there still exists on
//! the disk, and its volume is the only record of it. If the export has a fixed `fsid=`, the file system id stays the
//! same in that case, so the inode number of the share's root is compared, too. Both are the same if another disk is
//! mounted in place of the right one. So at least one directory of another volume must be there, if there are others.

use super::step::Step;
use crate::cluster::cache::CachedVolume;
use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::model::names::volume_annotation;
use crate::model::share_id::{RootChange, ShareId};
use crate::model::volume::{Phase, Record};
use crate::storage::Fault;

/// The most directories of other volumes that are looked up.
const MAX_OTHERS: usize = 16;

const NO_NUMBERS: &str = "the volume does not record which file system it was on";
const OTHER_ROOT: &str = "the root of the share is another directory";
const OTHER_FSID: &str = "the root of the share has the same file number as before and another file system id. Usually \
                          fsid= of the export was added, changed or removed";
const OTHER_FSID_ABOVE: &str = "the file system id (fsid) is another one";
const ALL_MISSING: &str = "the directories of other volumes in use are missing there, too";

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
    let changed = |why| {
        // Without its numbers the volume accepts any directory at its path. That does not help if there is none.
        let can_accept = at_path == AtPath::Another && record.moved_to.is_empty();
        Err(Error::FileSystemChanged(message(
            step.volume.name.as_str(),
            record,
            why,
            can_accept,
        )))
    };
    // Records of other volumes do not prove that this volume was on the same file system.
    if record.identity.is_none() && record.share_id.is_none() {
        return changed(NO_NUMBERS);
    }
    let now = ctx.storage.identify(&record.share, storage_deadline()).await?;
    if let Some(change) = root_change(ctx, record, now) {
        return changed(why(change));
    }
    let Some(identity) = record.identity else { return Ok(()) };
    // A disk may also be mounted below the share.
    let above = ctx
        .storage
        .above(&record.share, &record.directory, storage_deadline())
        .await?;
    if above.identity.fsid != identity.fsid {
        return changed(OTHER_FSID_ABOVE);
    }
    if all_others_are_missing(step).await? {
        return changed(ALL_MISSING);
    }
    Ok(())
}

/// Fails if the root of the share is not the root that the volume records. For a volume without the identity of its
/// directory: the directory may never have existed.
pub async fn check_root(step: Step<'_>) -> Result<(), Error> {
    let Step { ctx, record, .. } = step;
    let Some(before) = record.share_id else { return Ok(()) };
    let now = ctx.storage.identify(&record.share, storage_deadline()).await?;
    match before.change(now) {
        None => Ok(()),
        Some(change) => Err(Error::FileSystemChanged(message(
            &step.volume.name,
            record,
            why(change),
            true,
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

/// Returns whether other volumes of the share are in use, and none of their directories is there.
async fn all_others_are_missing(step: Step<'_>) -> Result<bool, Error> {
    let Step {
        ctx, volume, record, ..
    } = step;
    let is_in_use = |other: &CachedVolume| {
        let other = other.read();
        let is_there = |it: &Record| it.share == record.share && it.identity.is_some() && it.moved_to.is_empty();
        other.name != volume.name
            && other.ready
            && !other.deleting
            && other.phase == Phase::Bound
            && ctx.is_own(other)
            && other.record.as_ref().is_ok_and(is_there)
    };
    let others = ctx.cluster.volumes.store().state_filter(is_in_use);
    for other in others.iter().take(MAX_OTHERS) {
        let Ok(other) = &other.read().record else { continue };
        match ctx.look_up(&other.share, &other.directory).await {
            Ok(found) if found == other.identity => return Ok(false),
            Ok(_) => {}
            Err(error) if error.fault == Fault::NotADirectory => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(!others.is_empty())
}

/// Returns the message, with the command for an administrator who has changed the file system on purpose.
fn message(volume: &str, record: &Record, why: &str, can_accept: bool) -> String {
    let has_numbers = record.identity.is_some() || record.share_id.is_some();
    let advice = if has_numbers && can_accept {
        format!(
            " If the export's fsid= or its disk was changed on purpose, accept what is there now: kubectl annotate pv \
             {volume} {}- {}-",
            volume_annotation::DIRECTORY_ID,
            volume_annotation::SHARE_ID,
        )
    } else {
        String::new()
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
    fn a_message_advises_to_remove_numbers_only_if_there_are_some_and_if_that_helps() {
        let identity = "1.2:3".parse().ok();
        for (identity, can_accept, advised) in [
            (None, true, false),
            (identity, true, true),
            (identity, false, false),
            (None, false, false),
        ] {
            let mut record = fixtures::record("data");
            record.identity = identity;
            let text = message("pvc-1", &record, OTHER_ROOT, can_accept);
            let advice = "kubectl annotate pv pvc-1 bindery.dev/directory-id- bindery.dev/share-id-";
            assert_eq!(text.ends_with(advice), advised, "{text}");
        }
    }
}

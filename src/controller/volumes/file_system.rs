//! Checks that a server still exports the same file system for a share.
//!
//! A server whose disk is not mounted exports the empty mount point. A directory that is missing there still exists on
//! the disk, and its volume is the only record of it. If the export has a fixed `fsid=`, the file system id stays the
//! same in that case, so the inode number of the share's root is compared, too.

use super::step::Step;
use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::model::names::volume_annotation;
use crate::model::share_id::ShareId;
use crate::model::volume::Record;

/// Fails unless the server still exports the same file system. Called if the directory of a volume is missing, or
/// another directory is at its path.
pub async fn check_file_system(step: Step<'_>) -> Result<(), Error> {
    let Step { ctx, record, .. } = step;
    let changed = |why| Error::FileSystemChanged(changed_message(&step.volume.name, record, why));
    // Records of other volumes do not prove that this volume was on the same file system.
    if record.identity.is_none() && record.share_id.is_none() {
        let why = "the volume does not record which file system it was on";
        return Err(changed(why));
    }
    let now = ctx.storage.identify(&record.share, storage_deadline()).await?;
    if is_unchanged(ctx, record, now) == Some(false) {
        return Err(changed("the root of the share is another directory"));
    }
    let Some(identity) = record.identity else { return Ok(()) };
    // A disk may also be mounted below the share.
    let above = ctx
        .storage
        .above(&record.share, &record.directory, storage_deadline())
        .await?;
    if above.identity.fsid == identity.fsid {
        Ok(())
    } else {
        Err(changed("the file system id (fsid) is another one"))
    }
}

/// Compares the root of the share with the root that the volume records, or else with the roots that other volumes of
/// the share record. Returns `None` if no volume records one.
pub fn is_unchanged(ctx: &Context, record: &Record, now: ShareId) -> Option<bool> {
    if let Some(before) = record.share_id {
        return Some(is_same(before, now));
    }
    let volumes = ctx.cluster.volumes.store().state();
    let mut known = volumes.iter().filter_map(|other| {
        let other = other.read().record.as_ref().ok()?;
        other.share_id.filter(|_| other.share == record.share)
    });
    let first = known.next()?;
    Some(is_same(first, now) || known.any(|before| is_same(before, now)))
}

/// Returns whether both are the same root. NFS and a mount show different file system ids, and the same inode number.
fn is_same(before: ShareId, now: ShareId) -> bool {
    if before.view == now.view {
        before.root == now.root
    } else {
        before.root.fileid == now.root.fileid
    }
}

/// Returns the message. Removing the annotations is advised only while the directory is at its path.
fn changed_message(volume: &str, record: &Record, why: &str) -> String {
    let has_numbers = record.identity.is_some() || record.share_id.is_some();
    let advice = if has_numbers && record.moved_to.is_empty() {
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
    use crate::model::directory::Directory;
    use crate::policy::fixtures;

    #[test]
    fn no_message_advises_to_remove_missing_numbers_or_those_of_a_moved_directory() {
        let identity = "1.2:3".parse().ok();
        let place = Directory::in_trash("here", "pvc-1", "uid");
        let table = [
            (None, vec![], false),
            (identity, vec![], true),
            (identity, vec![place.clone()], false),
            (None, vec![place], false),
        ];
        for (identity, moved_to, advised) in table {
            let mut record = fixtures::record("data");
            record.identity = identity;
            record.moved_to = moved_to;
            let text = changed_message("pvc-1", &record, "the root of the share is another directory");
            let advice = "kubectl annotate pv pvc-1 bindery.dev/directory-id- bindery.dev/share-id-";
            assert_eq!(text.ends_with(advice), advised, "{text}");
        }
    }
}

//! Whether a share shows the file system that it showed before.
//!
//! A server whose disk is not mounted shows the empty directory below. What is missing there is not gone, and its volume is
//! the only record of it. With `fsid=` the number of the file system stays the same then, so the number of the share's root
//! is compared, too.

use super::Volumes;
use super::cleanup::named;
use super::failure::Failure;
use crate::names::mark;
use crate::storage::ShareId;
use crate::volume::{Record, Volume};

impl Volumes {
    /// Fails unless the share shows what it showed before. To be asked where the directory of a volume is missing, or
    /// another one is in its place.
    pub(super) async fn same_disk(&self, volume: &Volume, record: &Record) -> Result<(), Failure> {
        let now = self.storage.identify(&record.share, Self::soon()).await?;
        match self.is_as_before(record, now) {
            Some(true) => {}
            Some(false) => return Err(other_disk(volume, record, "its root is another one")),
            None if record.identity.is_none() => {
                let why = "nothing is known of the file system that it was on";
                return Err(other_disk(volume, record, why));
            }
            None => {}
        }
        let Some(identity) = record.identity else { return Ok(()) };
        // A disk may be mounted below the share, too.
        let above = self
            .storage
            .above(&record.share, &record.directory, Self::soon())
            .await?;
        if above.identity.fsid == identity.fsid {
            Ok(())
        } else {
            Err(other_disk(
                volume,
                record,
                "the number of the file system is another one",
            ))
        }
    }

    /// Whether the share is as the volume has recorded it, or else as other volumes of the share have; `None` if nobody has.
    pub(super) fn is_as_before(&self, record: &Record, now: ShareId) -> Option<bool> {
        if let Some(before) = record.share_id {
            return Some(is_same(before, now));
        }
        let volumes = self.cluster.volumes.store().state();
        let mut known = volumes.iter().filter_map(|other| {
            let other = other.read().record.as_ref().ok()?;
            other.share_id.filter(|_| other.share == record.share)
        });
        let first = known.next()?;
        Some(is_same(first, now) || known.any(|before| is_same(before, now)))
    }
}

/// A root that was looked at in another way has another number of its file system, and the same number in it.
fn is_same(before: ShareId, now: ShareId) -> bool {
    if before.view == now.view {
        before.root == now.root
    } else {
        before.root.fileid == now.root.fileid
    }
}

fn other_disk(volume: &Volume, record: &Record, why: &str) -> Failure {
    Failure::OtherFileSystem(format!(
        "{} cannot be found, and the share may not show the file system that it was on: {why}. Check that the server has \
         mounted what it exports. If the export's fsid= or its disk was changed on purpose, take what is there now: kubectl \
         annotate pv {} {}- {}-",
        named(record),
        volume.name,
        mark::DIRECTORY_ID,
        mark::SHARE_ID,
    ))
}

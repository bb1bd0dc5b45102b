//! Finds the directory of an archive that a volume records.

use tokio::time::Instant;

use super::Provisioner;
use crate::model::directory::{ArchiveName, Directory, Share, TrashRoot};
use crate::model::volume::Restored;
use crate::storage::{Storage, StorageError};

impl Provisioner {
    /// Returns the place of an archive on the share of its volume: the place that the volume records, or one with the same
    /// key. Bindery or a person may have changed the expiry in its name.
    pub async fn place_of_archive(
        &self,
        share: &Share,
        archive: &Restored,
        deadline: Instant,
    ) -> Result<Option<Directory>, StorageError> {
        let share = archive.share(share);
        let is_at = async |place: &Directory| {
            let found = self.storage.look_up(&share, place, deadline).await?;
            Ok::<_, StorageError>(found.is_some_and(|found| found.identity == archive.identity))
        };
        if is_at(&archive.archive).await? {
            return Ok(Some(archive.archive.clone()));
        }
        let instance = &self.installation.instance;
        let Some(key) = archive.key(instance) else {
            return Ok(None);
        };
        for place in places_with_key(&*self.storage, &share, &archive.archive, (key, instance), deadline).await? {
            if is_at(&place).await? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }
}

/// Returns the places of all archives that have this key of this instance, in the directory that has this archive.
pub async fn places_with_key(
    storage: &dyn Storage,
    share: &Share,
    archive: &Directory,
    (key, instance): (&str, &str),
    deadline: Instant,
) -> Result<Vec<Directory>, StorageError> {
    let root = TrashRoot::containing(archive);
    let names = storage.list(share, root.directory(), deadline).await?;
    let has_key = |name: &&String| ArchiveName::read(name, instance).is_some_and(|found| found.key == key);
    Ok(names
        .iter()
        .filter(has_key)
        .filter_map(|name| root.child(name))
        .collect())
}

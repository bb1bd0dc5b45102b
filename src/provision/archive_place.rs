//! The archive whose directory a volume gets, and where that directory is.

use tokio::time::Instant;

use super::{Error, Provisioner};
use crate::model::attributes::Attributes;
use crate::model::directory::{ArchiveName, Directory, Share, TrashRoot};
use crate::model::identity::Identity;
use crate::model::volume::{NewVolume, Record, Restored, Volume};
use crate::storage::{Found, Storage, StorageError};

/// The volume that gets the directory of an archive.
#[derive(Clone, Copy, Debug)]
pub struct RestoreTo<'a> {
    /// The name of the volume.
    pub volume: &'a str,
    /// The name of its claim.
    pub claim: &'a str,
    /// Its share.
    pub share: &'a Share,
    /// Its path below the share.
    pub directory: &'a Directory,
    /// The attributes of its class.
    pub attributes: Attributes,
    /// The archive.
    pub archive: &'a Restored,
}

/// Where the directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the archive, at this path.
    Archive(Directory),
    /// It is at the path of the volume: an earlier call has moved it.
    Volume,
}

impl<'a> RestoreTo<'a> {
    pub(super) fn of_new(new: &'a NewVolume, archive: &'a Restored) -> Self {
        Self {
            volume: &new.name,
            claim: &new.claim.1,
            share: &new.share,
            directory: &new.directory,
            attributes: new.attributes,
            archive,
        }
    }

    /// The same for an existing volume.
    pub fn of_volume(volume: &'a Volume, record: &'a Record, archive: &'a Restored) -> Self {
        Self {
            volume: &volume.name,
            claim: volume.claim.as_ref().map_or("", |claim| &claim.name),
            share: &record.share,
            directory: &record.directory,
            attributes: record.attributes,
            archive,
        }
    }

    pub(super) fn archive_shown(&self) -> String {
        format!("directory {} of Archive {}", self.archive.archive, self.archive.name)
    }
}

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

    /// Finds the directory. Fails if it is neither the archive nor at the path of the volume, or if that path is in use or on
    /// another file system.
    pub(super) async fn find(&self, to: &RestoreTo<'_>, deadline: Instant) -> Result<Place, Error> {
        let (archive, directory) = (to.archive, to.directory);
        let share = archive.share(to.share);
        let (at_archive, at_path, above) = tokio::try_join!(
            self.storage.look_up(&share, &archive.archive, deadline),
            self.storage.look_up(&share, directory, deadline),
            self.storage.above(&share, directory, deadline),
        )?;
        let is_it = |found: &Found| found.identity == archive.identity;
        let place = match (&at_archive, &at_path) {
            (Some(found), _) if is_it(found) => Some(archive.archive.clone()),
            (_, Some(_)) => None,
            (_, None) => self.place_of_archive(to.share, archive, deadline).await?,
        };
        let refuse = |why: String| Err(Error::Archive(why));
        let shown = to.archive_shown();
        match (at_archive, at_path, place) {
            (None, Some(found), _) if is_it(&found) => Ok(Place::Volume),
            (_, Some(_), _) => refuse(format!(
                "directory {} of share {share} already exists, so the {shown} cannot be moved there; give the claim another \
                 name, or move that directory away",
                directory.shown()
            )),
            (_, None, Some(place)) => {
                if above.identity.fsid == archive.identity.fsid {
                    return Ok(Place::Archive(place));
                }
                refuse(format!(
                    "the {shown} cannot be moved to {} of share {share}, which is on another file system; choose a class \
                     whose directories are on the file system of the archive",
                    directory.shown()
                ))
            }
            (Some(_), None, None) => refuse(format!(
                "the {shown} is not the one that was archived: another directory has its name, or share {share} shows \
                 another file system than before; an administrator must look at the server"
            )),
            (None, None, None) => refuse(format!(
                "the {shown} is not on share {share}: it was moved or removed, or the server has not mounted its file \
                 system; try again in a few minutes, or ask an administrator to look at the server"
            )),
        }
    }

    /// Returns the identity of the directory in the NFS version of the volume, in which other volumes are compared with it.
    pub(super) async fn identity_for_volume(
        &self,
        to: &RestoreTo<'_>,
        place: &Place,
        deadline: Instant,
    ) -> Result<Option<Identity>, Error> {
        if to.archive.version == to.share.version() {
            return Ok(Some(to.archive.identity));
        }
        let place = match place {
            Place::Archive(place) => place,
            Place::Volume => to.directory,
        };
        let found = self.storage.look_up(to.share, place, deadline).await?;
        Ok(found.map(|found| found.identity))
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

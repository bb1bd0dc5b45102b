//! Gives the directory of an archive to a volume.
//!
//! Order of effects: (1) look up the claim and the directory; (2) create the volume, which records the archive, and is fenced
//! until the controller has compared it with its claim; (3) write into the object of the archive that it is being restored;
//! (4) rename the directory, if it has the recorded identity; (5) set its mode and owner, if the class says so. The name of the
//! volume follows from the archive, so the API server refuses a second one. After a crash at any point, the volume says what
//! was to be done: the controller completes that when the claim exists, and else renames the directory back to its archive.

use tokio::time::Instant;

use super::archive_place::{Place, RestoreTo};
use super::{Deadlines, Error, Provisioner, Undo, Written, mode_warning};
use crate::cluster::api_error::Kind;
use crate::cluster::archives::Marked;
use crate::cluster::patch;
use crate::failpoints::{self, Point};
use crate::model::archive::ArchiveRestoration;
use crate::model::attributes::Attributes;
use crate::model::choices::{RestoreAttributes, SizeLimit};
use crate::model::directory::Directory;
use crate::model::identity::Identity;
use crate::model::location::Location;
use crate::model::names::volume_annotation;
use crate::model::share_id::ShareId;
use crate::model::volume::{NewVolume, Origin, Record, Restored, Volume};
use crate::policy::restore::use_existing;
use crate::storage::{Existing, Moved};

/// The attributes of new directories above the directory.
const PARENT: Attributes = Attributes {
    mode: Some(0o755),
    uid: None,
    gid: None,
};

/// What happens if the object of the archive does not exist, or is being deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The archive is not restored.
    Required,
    /// The archive is restored: the volume was recorded before.
    IfPossible,
}

impl Provisioner {
    /// Creates a volume with the directory of an archive. The same promises as [`Provisioner::provision`].
    pub(super) async fn provision_restored(
        &self,
        new: &NewVolume,
        archive: &Restored,
        deadlines: Deadlines,
        confirm: impl Future<Output = Result<(), Error>>,
    ) -> Result<Vec<String>, Error> {
        let deadline = deadlines.work;
        let (share_id, identity) = self.look_up_archive(new, archive, deadline, confirm).await?;
        let location = new.location(Some(share_id), identity);
        self.refuse_cached_overlap(new, &location, deadline).await?;
        let mut new = new.clone();
        if !new.keeps_group() {
            self.choose_group(&mut new, None, deadline).await?;
        }
        let written = match self.create(&new, Origin::Restored, share_id, deadlines).await {
            Err(error) if error.api() == Some(Kind::Conflict) => {
                match self.reuse_volume(&new, share_id, deadlines).await? {
                    Some(earlier) => earlier,
                    None => return Ok(Vec::new()),
                }
            }
            created => Written {
                origin: Origin::Restored,
                version: created?,
            },
        };
        failpoints::point(Point::VolumeCreated);
        let mode = match self
            .restore_written(&mut new, archive, written, &location, deadline)
            .await
        {
            Ok(mode) => mode,
            Err(error) => {
                self.undo(Undo::after(&error), &new, deadlines.end).await;
                return Err(error);
            }
        };
        failpoints::point(Point::DirectoryMade);
        self.assign(&new, deadline).await?;
        Ok(mode.and_then(|mode| mode_warning(&new, mode)).into_iter().collect())
    }

    /// Makes the checks of [`Provisioner::provision_restored`] that come before its first write.
    pub(super) async fn preview_restored(
        &self,
        new: &NewVolume,
        archive: &Restored,
        deadline: Instant,
        confirm: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        let (share_id, identity) = self.look_up_archive(new, archive, deadline, confirm).await?;
        if let Some(volume) = self.volume(new, deadline).await? {
            use_existing(&volume, new, &self.installation)?;
            return Ok(());
        }
        let location = new.location(Some(share_id), identity);
        self.refuse_overlap(new, &location, None, deadline).await?;
        if new.keeps_group() {
            return Ok(());
        }
        self.choose_group(&mut new.clone(), None, deadline).await
    }

    /// Looks up the claim, the archive and the path of the volume, all at the same time. Fails if the archive cannot be
    /// moved to that path. Returns the identity of the share, and that of the directory, both in the NFS version of the volume.
    async fn look_up_archive(
        &self,
        new: &NewVolume,
        archive: &Restored,
        deadline: Instant,
        confirm: impl Future<Output = Result<(), Error>>,
    ) -> Result<(ShareId, Option<Identity>), Error> {
        let claim = async { tokio::try_join!(self.check_claim(new, deadline), confirm) };
        let to = RestoreTo::of_new(new, archive);
        let read = async {
            let share_id = async { Ok(self.storage.identify(&new.share, deadline).await?) };
            let identity = async {
                let place = self.find(&to, deadline).await?;
                self.identity_for_volume(&to, &place, deadline).await
            };
            tokio::try_join!(share_id, identity)
        };
        let read = self.metrics.wait("nfs", read);
        let (claim, read) = self.metrics.wait_for_both(claim, read).await;
        claim?;
        read
    }

    /// Restores the archive after the volume was written. Returns the mode of the directory, if it was set.
    async fn restore_written(
        &self,
        new: &mut NewVolume,
        archive: &Restored,
        mut written: Written,
        location: &Location<'_>,
        deadline: Instant,
    ) -> Result<Option<u32>, Error> {
        if !new.keeps_group() {
            self.ensure_unique_group(new, &mut written, deadline).await?;
        }
        if !new.directory.cannot_overlap(&new.name) {
            self.refuse_overlap(new, location, Some(&written.version), deadline)
                .await?;
        }
        let to = RestoreTo::of_new(new, archive);
        let mode = self.restore(&to, Mark::Required, deadline).await?;
        self.limit_restored(new, deadline).await?;
        Ok(mode)
    }

    /// Limits the size of the directory, or checks that the server does, as the class requires.
    async fn limit_restored(&self, new: &NewVolume, deadline: Instant) -> Result<(), Error> {
        if new.size_limit == SizeLimit::Ignore {
            return Ok(());
        }
        // The archive may have another NFS version than the volume, with other numbers.
        let found = self.storage.look_up(&new.share, &new.directory, deadline);
        match self.metrics.wait("nfs", found).await? {
            Some(found) => self.limit_size(new, Origin::Restored, found.identity, deadline).await,
            None => Err(Error::Releasing(format!(
                "directory {} was moved in the meantime",
                new.directory.shown()
            ))),
        }
    }

    /// Moves the directory of an archive to the path of a volume that was written before, and sets its mode and owner if the
    /// class says so. It may be repeated. Returns the mode, if it was set.
    pub async fn restore(&self, to: &RestoreTo<'_>, mark: Mark, deadline: Instant) -> Result<Option<u32>, Error> {
        let archive = to.archive;
        if let Place::Archive(from) = self.metrics.wait("nfs", self.find(to, deadline)).await? {
            self.mark_restoring(to, &from, mark, deadline).await?;
            if from != archive.archive {
                self.record_place(to, &from, deadline).await?;
            }
            failpoints::point(Point::RestoreMarked);
            let moved = self.metrics.wait("nfs", self.move_archive(to, &from, deadline)).await;
            failpoints::point(Point::RestoreMoved);
            // If the result is not known, the volume stays as the record of a move that may still happen.
            if !matches!(&moved, Err(error) if Undo::after(error) == Undo::Fence) {
                self.check_is_wanted(to, &from, deadline).await?;
            }
            moved?;
        }
        if archive.attributes == RestoreAttributes::Keep {
            return Ok(None);
        }
        let share = archive.share(to.share);
        let set = self
            .storage
            .set_attributes(&share, to.directory, archive.identity, to.attributes, deadline);
        match self.metrics.wait("nfs", set).await? {
            Some(found) => Ok(Some(found.mode)),
            None => Err(Error::Releasing(format!(
                "the {} was moved in the meantime",
                to.archive_shown()
            ))),
        }
    }

    /// Records on the volume that the archive has another name now, for example another expiry. If no claim gets the directory,
    /// it gets that name again.
    async fn record_place(&self, to: &RestoreTo<'_>, from: &Directory, deadline: Instant) -> Result<(), Error> {
        let volumes = self.volumes();
        let recorded = to.archive.archive.to_string();
        let operations = vec![
            patch::test_annotation(volume_annotation::ARCHIVE_ID, to.archive.identity.to_string()),
            patch::test_annotation(volume_annotation::ARCHIVE, recorded),
            patch::set_annotation(volume_annotation::ARCHIVE, &from.to_string()),
        ];
        let write = async { patch::apply(&volumes, to.volume, operations).await.map(drop) };
        let purpose = format!("write the name of the archive to PersistentVolume {}", to.volume);
        self.api_call(purpose, deadline, write).await
    }

    async fn mark_restoring(
        &self,
        to: &RestoreTo<'_>,
        from: &Directory,
        mark: Mark,
        deadline: Instant,
    ) -> Result<(), Error> {
        let archive = to.archive;
        let restoration = ArchiveRestoration {
            claim_name: to.claim.to_owned(),
            volume_name: to.volume.to_owned(),
            directory: to.directory.to_string(),
        };
        let key = archive.key(&self.installation.instance).unwrap_or_default();
        let object = (&*archive.namespace, &*archive.name);
        let write = self.cluster.mark_restoring(object, (key, from), &restoration);
        let purpose = format!("write the status of Archive {}", archive.name);
        match (self.api_call(purpose, deadline, write).await?, mark) {
            (Marked::Done, _) | (_, Mark::IfPossible) => Ok(()),
            (Marked::Deleting, Mark::Required) => Err(Error::Archive(format!(
                "Archive {} is being deleted, and its data with it",
                archive.name
            ))),
            (Marked::Gone, Mark::Required) => Err(Error::Archive(format!(
                "Archive {} does not exist any more",
                archive.name
            ))),
        }
    }

    /// Renames the directory, after making the directories above its new path.
    async fn move_archive(&self, to: &RestoreTo<'_>, from: &Directory, deadline: Instant) -> Result<(), Error> {
        let share = to.archive.share(to.share);
        if let Some(parent) = to.directory.parent() {
            self.storage
                .make(&share, &parent, PARENT, Existing::LeaveAlone, deadline)
                .await?;
        }
        let moved = self
            .storage
            .rename(&share, from, to.archive.identity, to.directory, deadline);
        match moved.await? {
            Moved::Done => Ok(()),
            Moved::Missing | Moved::Another(_) => Err(Error::Releasing(format!(
                "the {} was moved in the meantime",
                to.archive_shown()
            ))),
        }
    }

    /// Checks, after the directory may have been moved, that the volume still records it. This process may have been paused
    /// since it wrote or read the volume. Then the volume may be gone, and nobody would find the directory: it is moved back.
    async fn check_is_wanted(&self, to: &RestoreTo<'_>, archive: &Directory, deadline: Instant) -> Result<(), Error> {
        let read = self.cluster.volume(to.volume);
        let volume = self
            .api_call(format!("read PersistentVolume {}", to.volume), deadline, read)
            .await?;
        let is_wanted = |volume: &Volume| {
            let records = |record: &Record| {
                record.restored.as_ref().map(|archive| archive.identity) == Some(to.archive.identity)
                    && record.directory == *to.directory
            };
            volume.record.as_ref().is_ok_and(records)
        };
        // If it is being deleted, its cleanup looks for the directory at both places, perhaps before this call moved it.
        if volume.is_some_and(|volume| is_wanted(&volume) && !volume.deleting) {
            return Ok(());
        }
        let share = to.archive.share(to.share);
        let identity = to.archive.identity;
        let is_free = self.storage.look_up(&share, archive, deadline).await?.is_none();
        if is_free {
            let moved = self
                .storage
                .rename(&share, to.directory, identity, archive, deadline)
                .await;
            tracing::warn!(volume = to.volume, %share, %archive, ?moved, "the volume of an archive is gone: the directory is an archive again");
        }
        Err(Error::Releasing(format!(
            "the volume that was to get the {} is gone; try again",
            to.archive_shown()
        )))
    }
}

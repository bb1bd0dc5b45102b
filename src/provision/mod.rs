//! Carries out the decision to provision a volume.
//!
//! Order of effects: (1) look up the claim and the directory; (2) create the volume; (3) create the directory. The
//! volume is the record of the intent: if the process stops after (2), the controller finds the volume and completes or
//! removes it. So every directory on the server is recorded on a volume. For the webhook, the claim must not exist yet.
//! For the controller, the claim must exist, and (4) writes its uid to the volume.

mod archive_place;
mod deadline;
mod error;
mod groups;
mod preview;
mod provisioner;
mod restore;
mod restore_facts;
mod space;
mod undo;

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use tokio::time::Instant;

pub use self::archive_place::{RestoreTo, places_with_key};
pub use self::deadline::Deadlines;
pub use self::error::Error;
pub use self::provisioner::Provisioner;
pub use self::restore::Mark;
pub use self::space::limit_of;
use self::undo::Undo;
use crate::cluster::api_error::{ApiFault, Kind};
use crate::cluster::patch;
use crate::failpoints::{self, Point};
use crate::model::choices::ExistingDirectory;
use crate::model::location::Location;
use crate::model::names::volume_annotation;
use crate::model::share_id::ShareId;
use crate::model::volume::{NewVolume, Origin};
use crate::policy::conflict::{UseExisting, exists_refusal, overlap_conflict};
use crate::policy::restore::use_existing;
use crate::storage::{Existing, Found, Made, Space};

/// The pause between two attempts to write an object that another client is writing.
const PAUSE: Duration = Duration::from_millis(10);

/// The volume as this call has written it.
struct Written {
    /// Whether Bindery creates the directory.
    origin: Origin,
    version: String,
}

impl Provisioner {
    /// Creates the volume and its directory, and returns warnings for the user.
    ///
    /// After success both exist. After an error neither exists, or the volume is fenced and cannot be bound. It is then
    /// removed, or, if the NFS server may still carry out a request, kept for the claim or for the orphan cleanup. For
    /// a volume that cannot be fenced in time see [`undo`]. After a crash the volume, if it exists, has no claim.
    ///
    /// `confirm` compares what the decision was based on with the API server. Nothing is created if it fails.
    pub async fn provision(
        &self,
        new: &NewVolume,
        deadlines: Deadlines,
        confirm: impl Future<Output = Result<(), Error>>,
    ) -> Result<Vec<String>, Error> {
        if let Some(archive) = &new.restored {
            return Box::pin(self.provision_restored(new, archive, deadlines, confirm)).await;
        }
        let deadline = deadlines.work;
        let (found, share_id, space) = self.look_up(new, deadline, confirm).await?;
        let location = new.location(Some(share_id), found.map(|found| found.identity));
        let denied = found.is_some() && new.existing == ExistingDirectory::Deny;
        let exists = || Error::DirectoryExists(exists_refusal(new));
        if denied && self.volume(new, deadline).await?.is_none() {
            // The refusal of an existing directory advises to move it away. That is wrong if another volume uses it.
            self.refuse_overlap(new, &location, None, deadline).await?;
            return Err(exists());
        }
        space::check_free_space(new, found.as_ref(), space)?;
        // A known conflict refuses the claim before anything is created. Otherwise, if the process died right after it
        // created the volume, Kubernetes might bind that volume, and the cleanup of the other volume would keep the
        // directory for it.
        if !new.directory.cannot_overlap(&new.name) {
            self.refuse_cached_overlap(new, &location, deadline).await?;
        }
        let origin = if found.is_some() { Origin::Adopted } else { Origin::New };
        let mut new = new.clone();
        self.choose_group(&mut new, found, deadline).await?;
        let mut written = match self.create(&new, origin, share_id, deadlines).await {
            Err(error) if error.api() == Some(Kind::Conflict) => {
                match self.reuse_volume(&new, share_id, deadlines).await? {
                    // The directory existed before the earlier call, too, and that call was not allowed to adopt it.
                    Some(earlier) if earlier.origin == Origin::Adopted && new.existing == ExistingDirectory::Deny => {
                        self.undo(Undo::Delete, &new, deadlines.end).await;
                        return Err(exists());
                    }
                    Some(earlier) => earlier,
                    None => return Ok(Vec::new()),
                }
            }
            // The volume that had the directory was deleted in the meantime, and its directory was kept.
            Ok(_) if denied => {
                self.undo(Undo::Delete, &new, deadlines.end).await;
                return Err(exists());
            }
            created => Written {
                origin,
                version: created?,
            },
        };
        failpoints::point(Point::VolumeCreated);
        let made = match self.ensure_unique_group(&mut new, &mut written, deadline).await {
            Ok(()) => self.make_limited(&new, &location, &written, deadline).await,
            Err(error) => Err(error),
        };
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                self.undo(Undo::after(&error), &new, deadlines.end).await;
                return Err(error);
            }
        };
        failpoints::point(Point::DirectoryMade);
        self.assign(&new, deadline).await?;
        let warning = match (written.origin, found) {
            (Origin::New, _) => mode_warning(&new, made.mode),
            (Origin::Adopted, Some(found)) if !found.has(new.attributes) => Some(format!(
                "directory {} already existed: it keeps its mode {:04o} and its owner {}",
                new.directory.shown(),
                found.mode,
                found.owner()
            )),
            (Origin::Adopted | Origin::Restored, _) => None,
        };
        Ok(warning.into_iter().collect())
    }

    /// Writes the claim's uid to the volume, if the claim exists. Then Kubernetes binds the two.
    async fn assign(&self, new: &NewVolume, deadline: Instant) -> Result<(), Error> {
        let Some(uid) = &new.claim_uid else { return Ok(()) };
        let volumes = self.volumes();
        let assign = patch::assign(&volumes, &new.name, &new.attempt, uid);
        let purpose = format!("write the claim's uid to PersistentVolume {}", new.name);
        self.api_call(purpose, deadline, assign).await?;
        failpoints::point(Point::VolumeAssigned);
        Ok(())
    }

    /// Looks up the claim, the directory, and the free space if the class requires it. Fails if the claim is not in the state
    /// that this call needs, or if `confirm` fails. All requests are sent at the same time.
    async fn look_up(
        &self,
        new: &NewVolume,
        deadline: Instant,
        confirm: impl Future<Output = Result<(), Error>>,
    ) -> Result<(Option<Found>, ShareId, Option<Space>), Error> {
        let claim = async { tokio::try_join!(self.check_claim(new, deadline), confirm) };
        let read = async {
            tokio::try_join!(
                self.storage.look_up(&new.share, &new.directory, deadline),
                self.storage.identify(&new.share, deadline),
                self.free_space(new, deadline),
            )
        };
        let directory = self.metrics.wait("nfs", read);
        let (claim, directory) = self.metrics.wait_for_both(claim, directory).await;
        claim?;
        Ok(directory?)
    }

    /// Uses the existing volume of this name again, if an earlier call for this claim created it. Fails if it belongs
    /// to another claim. Returns `None` if the claim already has this volume; then the controller does the rest.
    ///
    /// The patch writes this call's attempt to the volume, so the earlier call can no longer remove it. The patch also
    /// changes the volume's resource version, so that a concurrent orphan cleanup does not delete it.
    async fn reuse_volume(
        &self,
        new: &NewVolume,
        share_id: ShareId,
        deadlines: Deadlines,
    ) -> Result<Option<Written>, Error> {
        let deadline = deadlines.work;
        loop {
            let Some(volume) = self.volume(new, deadline).await? else {
                return Err(Error::Releasing(
                    "another volume used the directory until a moment ago".to_owned(),
                ));
            };
            // If another call has provisioned this claim in the meantime, the volume is not changed.
            self.check_claim(new, deadline).await?;
            match use_existing(&volume, new, &self.installation)? {
                UseExisting::Again => {}
                UseExisting::AsItIs => return Ok(None),
            }
            let origin = volume.record.as_ref().map_or(Origin::Adopted, |record| record.origin);
            let mut fields = new.overwrite(origin, &self.installation);
            fields["metadata"]["annotations"][volume_annotation::SHARE_ID] = json!(share_id.to_string());
            // The earlier call may have moved the archive, which may have had another name on the server than its object says.
            let earlier = volume.record.as_ref().ok().and_then(|record| record.restored.as_ref());
            if let (Some(earlier), Some(archive)) = (earlier, &new.restored)
                && earlier.identity == archive.identity
            {
                fields["metadata"]["annotations"][volume_annotation::ARCHIVE] = json!(earlier.archive.to_string());
            }
            fields["metadata"]["annotations"][volume_annotation::TOUCHED] = json!(jiff::Timestamp::now().to_string());
            let volumes = self.volumes();
            let merge = patch::merge(&volumes, &volume, fields);
            let purpose = format!("reuse PersistentVolume {}", new.name);
            match self.api_call(purpose, deadline, merge).await {
                Ok(version) => return Ok(Some(Written { origin, version })),
                // kube-controller-manager has changed the volume in the meantime.
                Err(error) if error.api() == Some(Kind::Conflict) => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    // The patch may have been stored.
                    self.undo(Undo::Delete, new, deadlines.end).await;
                    return Err(error);
                }
            }
        }
    }

    /// Does the same as [`Self::make`], and limits the size of the directory, or checks that the server does, as the class
    /// requires.
    async fn make_limited(
        &self,
        new: &NewVolume,
        location: &Location<'_>,
        written: &Written,
        deadline: Instant,
    ) -> Result<Made, Error> {
        let made = self.make(new, location, written, deadline).await?;
        self.limit_size(new, written.origin, made.identity, deadline).await?;
        Ok(made)
    }

    /// Checks for overlapping directories, and creates the directory. The caller has written the volume before.
    ///
    /// Two calls with overlapping directories each write their volume first, and then look for others. So at least one
    /// of the two sees the other volume, also on another replica. A call that sees another volume removes its own: the
    /// claim of the other volume may have been admitted already.
    async fn make(
        &self,
        new: &NewVolume,
        location: &Location<'_>,
        written: &Written,
        deadline: Instant,
    ) -> Result<Made, Error> {
        let (share, directory) = (&new.share, &new.directory);
        if !directory.cannot_overlap(&new.name) {
            self.refuse_overlap(new, location, Some(&written.version), deadline)
                .await?;
        }
        let existing = match written.origin {
            Origin::New => Existing::SetAttributes,
            Origin::Adopted | Origin::Restored => Existing::LeaveAlone,
        };
        let made = self.storage.make(share, directory, new.attributes, existing, deadline);
        Ok(self.metrics.wait("nfs", made).await?)
    }

    /// Fails if another volume has this directory, or one above or in it.
    async fn refuse_overlap(
        &self,
        new: &NewVolume,
        location: &Location<'_>,
        written: Option<&str>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let read = self.cluster.overlap(location, &new.name, written);
        let other = self.api_call(overlap_search(new), deadline, read).await?;
        match other {
            Some((other, overlap)) => Err(overlap_conflict(new, &other, overlap, &self.installation).into()),
            None => Ok(()),
        }
    }

    /// Fails like [`Self::refuse_overlap`], but looks only at volumes in the watch cache that a claim has had or that
    /// Bindery did not create. It is called before anything is created, so that nothing has to be removed again.
    async fn refuse_cached_overlap(
        &self,
        new: &NewVolume,
        location: &Location<'_>,
        deadline: Instant,
    ) -> Result<(), Error> {
        for (other, overlap) in self.cluster.cached_overlaps(location, &new.name) {
            let read = self.cluster.volume(&other.read().name);
            match self.api_call(overlap_search(new), deadline, read).await? {
                Some(other) if other.had_claim() || other.maker.is_none() => {
                    return Err(overlap_conflict(new, &other, overlap, &self.installation).into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Fails unless the claim is in the state that this call needs: the claim does not exist yet, or it is the claim to
    /// be provisioned and has no other volume.
    async fn check_claim(&self, new: &NewVolume, deadline: Instant) -> Result<(), Error> {
        let (namespace, name) = &new.claim;
        let purpose = format!("read claim {name}");
        let Some(uid) = &new.claim_uid else {
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.cluster.client.clone(), namespace);
            let read = claims.get_metadata_opt(name);
            return match self.api_call(purpose, deadline, read).await? {
                Some(claim) if claim.metadata.deletion_timestamp.is_some() => Err(Error::ClaimDeleting),
                Some(_) => Err(Error::ClaimExists),
                None => Ok(()),
            };
        };
        let read = self.cluster.claim(namespace, name);
        let claim = self.api_call(purpose, deadline, read).await?;
        let is_waiting = claim.is_some_and(|claim| {
            claim.uid == *uid && !claim.deleting && claim.volume_name.as_ref().is_none_or(|volume| *volume == new.name)
        });
        if is_waiting {
            Ok(())
        } else {
            Err(Error::ClaimNotWaiting)
        }
    }

    /// Creates the volume and returns its resource version.
    async fn create(
        &self,
        new: &NewVolume,
        origin: Origin,
        share_id: ShareId,
        deadlines: Deadlines,
    ) -> Result<String, Error> {
        let mut volume = new.build(origin, &self.installation);
        let annotations = volume.metadata.annotations.get_or_insert_default();
        annotations.insert(volume_annotation::SHARE_ID.to_owned(), share_id.to_string());
        let volumes = self.volumes();
        let parameters = PostParams::default();
        let created = volumes.create(&parameters, &volume);
        let created = async { created.await.map_err(|error| ApiFault::from_create(&error)) };
        let created = self
            .api_call(format!("create PersistentVolume {}", new.name), deadlines.work, created)
            .await
            .map(|created| created.metadata.resource_version.unwrap_or_default());
        // The API server may have stored the volume, or may still store it.
        if created
            .as_ref()
            .is_err_and(|error| error.api() == Some(Kind::Transient))
        {
            self.undo(Undo::Delete, new, deadlines.end).await;
        }
        created
    }
}

/// Returns a warning if the server has not set, or has not kept, the requested mode.
fn mode_warning(new: &NewVolume, mode: u32) -> Option<String> {
    let wanted = new.attributes.mode.filter(|wanted| *wanted != mode)?;
    Some(format!(
        "directory {} has mode {mode:04o}: the server does not set or keep mode {wanted:04o}; an administrator can create \
         a class with a mode that it keeps, or with mountPermissions 0, which leaves the mode to the server",
        new.directory.shown(),
    ))
}

/// Returns how messages describe a search for overlapping volumes.
fn overlap_search(new: &NewVolume) -> String {
    format!("search for PersistentVolumes that overlap with {}", new.name)
}

//! The effects of a decision to provision.
//!
//! Order: a live look at the claim, and for the directory; the volume; then the directory. The volume is the record of the
//! intent: whatever dies after it is created, a loop finds it and finishes or undoes the work, and nothing ever exists on
//! the server that no volume records. The webhook's claim must not be there yet; the catch-up's must, and gets its volume
//! when the directory is there.

mod deadline;
mod error;
mod preview;
mod undo;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

pub use self::deadline::Deadlines;
pub use self::error::Error;
use self::undo::Undo;
use crate::cluster::Cluster;
use crate::cluster::api_error::{ApiFault, Kind};
use crate::cluster::patch;
use crate::failpoints::{self, Point};
use crate::model::choices::ExistingDirectory;
use crate::model::location::{Location, Meeting};
use crate::model::names::mark;
use crate::model::share_id::ShareId;
use crate::model::volume::{Installation, NewVolume, Origin, Volume};
use crate::ops::metrics::Metrics;
use crate::ops::tasks::Tasks;
use crate::policy::conflict::{Conflict, exists_refusal, name_conflict, overlap_conflict};
use crate::storage::{Existing, Found, Outcome, Storage};

/// Between two tries to write what somebody else is writing to.
const PAUSE: Duration = Duration::from_millis(10);

/// Makes volumes.
#[derive(Clone)]
pub struct Provisioner {
    /// The API server.
    pub cluster: Cluster,
    /// The NFS servers.
    pub storage: Arc<dyn Storage>,
    /// What new volumes carry.
    pub installation: Arc<Installation>,
    /// Where the waiting is counted.
    pub metrics: Arc<Metrics>,
    /// Where undoing goes on after the answer.
    pub tasks: Tasks,
}

/// The volume as this call has written it.
struct Written {
    /// Whose work the directory is.
    origin: Origin,
    version: String,
}

impl Provisioner {
    /// Makes the volume and its directory. What is particular to this claim and would surprise its user is a warning.
    ///
    /// After success both are there. After a failure nothing is there, or a volume that nobody binds: it is fenced and then
    /// taken back, or, if the NFS server may still carry out what it was asked, left for the claim or as an orphan. What
    /// cannot be fenced in time: see [`undo`]. After a crash the volume, if it exists, is one that no claim has.
    pub async fn provision(&self, new: &NewVolume, deadlines: Deadlines) -> Result<Vec<String>, Error> {
        let deadline = deadlines.work;
        let (found, share_id) = self.look(new, deadline).await?;
        let location = location(new, found, share_id);
        let denied = found.is_some() && new.existing == ExistingDirectory::Deny;
        let exists = || Error::DirectoryExists(exists_refusal(new));
        if denied && self.volume(new, deadline).await?.is_none() {
            // "Move it away" would be bad advice for what holds, or lies in, another volume's directory.
            self.refuse_overlap(new, &location, None, deadline).await?;
            return Err(exists());
        }
        // What is known to refuse the claim does so before anything is created. A process that dies right after its volume was
        // created leaves one that Kubernetes may bind, and the other volume's cleanup then keeps the directory for it.
        if !new.directory.stands_alone(&new.name) {
            self.refuse_known(new, &location, deadline).await?;
        }
        let origin = if found.is_some() { Origin::Adopted } else { Origin::New };
        let written = match self.create(new, origin, share_id, deadlines).await {
            Err(error) if error.api() == Some(Kind::Conflict) => match self.earlier(new, share_id, deadlines).await? {
                // It was there before that call, too, and that call was denied it.
                Some(earlier) if earlier.origin == Origin::Adopted && new.existing == ExistingDirectory::Deny => {
                    self.undo(Undo::TakeBack, new, deadlines.end).await;
                    return Err(exists());
                }
                Some(earlier) => earlier,
                None => return Ok(Vec::new()),
            },
            // The volume that had it has just gone, and has left it.
            Ok(_) if denied => {
                self.undo(Undo::TakeBack, new, deadlines.end).await;
                return Err(exists());
            }
            created => Written {
                origin,
                version: created?,
            },
        };
        failpoints::point(Point::VolumeCreated);
        if let Err(error) = self.make(new, &location, &written, deadline).await {
            let how = match &error {
                Error::Storage(error) if error.outcome == Outcome::Unknown => Undo::Fence,
                _ => Undo::TakeBack,
            };
            self.undo(how, new, deadlines.end).await;
            return Err(error);
        }
        failpoints::point(Point::DirectoryMade);
        if let Some(uid) = &new.claim_uid {
            let volumes = self.volumes();
            let give = patch::assign(&volumes, &new.name, &new.attempt, uid);
            self.asked(
                format!("write the claim's uid to PersistentVolume {}", new.name),
                deadline,
                give,
            )
            .await?;
            failpoints::point(Point::VolumeGiven);
        }
        let adopted = found.filter(|found| written.origin == Origin::Adopted && !found.has(new.attributes));
        let keeps = |found: Found| {
            format!(
                "directory {} already existed: it keeps its mode {:04o} and its owner {}",
                new.directory.shown(),
                found.mode,
                found.owner()
            )
        };
        Ok(adopted.map(keeps).into_iter().collect())
    }

    /// Looks whether the claim is as this call needs it, and what is at its directory's place.
    async fn look(&self, new: &NewVolume, deadline: Instant) -> Result<(Option<Found>, ShareId), Error> {
        let claim = self.claim_asks(new, deadline);
        let look = async {
            tokio::try_join!(
                self.storage.look_up(&new.share, &new.directory, deadline),
                self.storage.identify(&new.share, deadline),
            )
        };
        let directory = self.metrics.wait("nfs", look);
        let (claim, directory) = self.metrics.wait_for_both(claim, directory).await;
        claim?;
        Ok(directory?)
    }

    /// A volume of this name is there already: from an earlier call for this very claim, then it becomes what this call
    /// wants; or it is somebody's. `None` if the claim has the volume already, and the
    /// binder looks after it.
    ///
    /// From then on the volume is this call's to undo, and not the earlier one's. The patch changes its version, so an
    /// orphan loop that has just judged it leaves it alone.
    async fn earlier(
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
            // Another call may have brought this very claim in since: then the volume is its own, as it is.
            self.claim_asks(new, deadline).await?;
            match name_conflict(&volume, new, &self.installation) {
                Conflict::Reuse => {}
                Conflict::Own => return Ok(None),
                Conflict::Releasing(why) => return Err(Error::Releasing(why)),
                Conflict::Refuse(why) => return Err(Error::Conflict(why)),
            }
            let origin = volume.record.as_ref().map_or(Origin::Adopted, |record| record.origin);
            let mut fields = new.overwrite(origin, &self.installation);
            fields["metadata"]["annotations"][mark::SHARE_ID] = json!(share_id.to_string());
            fields["metadata"]["annotations"][mark::TOUCHED] = json!(jiff::Timestamp::now().to_string());
            let volumes = self.volumes();
            let merge = patch::merge(&volumes, &volume, fields);
            let what = format!("reuse PersistentVolume {}", new.name);
            match self.asked(what, deadline, merge).await {
                Ok(version) => return Ok(Some(Written { origin, version })),
                // The controller manager has written to it meanwhile.
                Err(error) if error.api() == Some(Kind::Conflict) => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    // It may be this call's by now.
                    self.undo(Undo::TakeBack, new, deadlines.end).await;
                    return Err(error);
                }
            }
        }
    }

    /// The second half: the volume is written, now look whose directories overlap, and make this one.
    ///
    /// Both sides of an overlap write first and then look, so that at least one of them sees the other, whichever replica
    /// they are on. Whoever sees another backs out: that one may have been admitted already.
    async fn make(
        &self,
        new: &NewVolume,
        location: &Location<'_>,
        written: &Written,
        deadline: Instant,
    ) -> Result<(), Error> {
        let (share, directory) = (&new.share, &new.directory);
        if !directory.stands_alone(&new.name) {
            self.refuse_overlap(new, location, Some(&written.version), deadline)
                .await?;
        }
        let existing = match written.origin {
            Origin::New => Existing::SetAttributes,
            Origin::Adopted => Existing::LeaveAlone,
        };
        let made = self.storage.make(share, directory, new.attributes, existing, deadline);
        self.metrics.wait("nfs", made).await?;
        Ok(())
    }

    /// Looks for a volume whose directory is this one, or above or in it; a failure if there is one.
    async fn refuse_overlap(
        &self,
        new: &NewVolume,
        location: &Location<'_>,
        written: Option<&str>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let look = self.cluster.overlap(location, &new.name, written);
        let other = self.asked(overlap_search(new), deadline, look).await?;
        other.map_or(Ok(()), |(other, meeting)| self.refuse_for(new, &other, meeting))
    }

    /// The same, as far as the watch knows, and only for a volume that a claim has had.
    async fn refuse_known(&self, new: &NewVolume, location: &Location<'_>, deadline: Instant) -> Result<(), Error> {
        let look = self.cluster.cached_overlap(location, &new.name);
        match self.asked(overlap_search(new), deadline, look).await? {
            Some((other, meeting)) if other.was_given() => self.refuse_for(new, &other, meeting),
            _ => Ok(()),
        }
    }

    fn refuse_for(&self, new: &NewVolume, other: &Volume, meeting: Meeting) -> Result<(), Error> {
        match overlap_conflict(new, other, meeting, &self.installation) {
            Conflict::Releasing(why) => Err(Error::Releasing(why)),
            Conflict::Refuse(why) => Err(Error::Conflict(why)),
            Conflict::Reuse | Conflict::Own => Ok(()),
        }
    }

    async fn volume(&self, new: &NewVolume, deadline: Instant) -> Result<Option<Volume>, Error> {
        let look = self.cluster.volume(&new.name);
        self.asked(format!("read PersistentVolume {}", new.name), deadline, look)
            .await
    }

    /// Whether the claim is as this call needs it: not there yet, or the very one that is to be provisioned, still without a
    /// volume.
    async fn claim_asks(&self, new: &NewVolume, deadline: Instant) -> Result<(), Error> {
        let (namespace, name) = &new.claim;
        let what = format!("read claim {name}");
        let Some(uid) = &new.claim_uid else {
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.cluster.client.clone(), namespace);
            let look = claims.get_metadata_opt(name);
            return match self.asked(what, deadline, look).await? {
                Some(claim) if claim.metadata.deletion_timestamp.is_some() => Err(Error::ClaimDeleting),
                Some(_) => Err(Error::ClaimExists),
                None => Ok(()),
            };
        };
        let look = self.cluster.claim(namespace, name);
        let claim = self.asked(what, deadline, look).await?;
        let asks = claim.is_some_and(|claim| {
            claim.uid == *uid && !claim.deleting && claim.volume_name.as_ref().is_none_or(|volume| *volume == new.name)
        });
        if asks { Ok(()) } else { Err(Error::ClaimNotWaiting) }
    }

    /// Returns the version that the volume then has.
    async fn create(
        &self,
        new: &NewVolume,
        origin: Origin,
        share_id: ShareId,
        deadlines: Deadlines,
    ) -> Result<String, Error> {
        let mut volume = new.build(origin, &self.installation);
        let marks = volume.metadata.annotations.get_or_insert_default();
        marks.insert(mark::SHARE_ID.to_owned(), share_id.to_string());
        let volumes = self.volumes();
        let parameters = PostParams::default();
        let created = volumes.create(&parameters, &volume);
        let created = async { created.await.map_err(|error| ApiFault::from_create(&error)) };
        let created = self
            .asked(format!("create PersistentVolume {}", new.name), deadlines.work, created)
            .await
            .map(|created| created.metadata.resource_version.unwrap_or_default());
        // It may be there all the same, or be there soon.
        if created
            .as_ref()
            .is_err_and(|error| error.api() == Some(Kind::Transient))
        {
            self.undo(Undo::TakeBack, new, deadlines.end).await;
        }
        created
    }

    fn volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.cluster.client.clone())
    }

    /// Waits for a request to the API server; `what` says what it is for.
    async fn asked<T, E: Into<ApiFault> + Display>(
        &self,
        what: String,
        deadline: Instant,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error> {
        let fault = match self.metrics.wait("api", timeout_at(deadline, call)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => {
                tracing::debug!(%error, "could not {what}");
                error.into()
            }
            Err(_) => ApiFault::timeout(),
        };
        Err(Error::Api(what, fault))
    }
}

/// Where a new volume's directory is, and what was found there.
fn location(new: &NewVolume, found: Option<Found>, share_id: ShareId) -> Location<'_> {
    Location {
        share: &new.share,
        directory: &new.directory,
        share_id: Some(share_id),
        identity: found.map(|found| found.identity),
    }
}

/// What the search for overlapping volumes is called in a message about the API server.
fn overlap_search(new: &NewVolume) -> String {
    format!("search for PersistentVolumes that overlap with {}", new.name)
}

//! The effects of a decision to provision.
//!
//! Order: a live look for a claim of that name, and for the directory; the volume; then the directory. The volume is
//! the record of the intent: whatever dies after it is created, a loop finds it and finishes or undoes the work, and
//! nothing ever exists on the server that no volume records.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::cluster::Cluster;
use crate::fence::{self, is_gone};
use crate::names::mark;
use crate::ops::metrics::Metrics;
use crate::ops::tasks::Tasks;
use crate::policy::settings::ExistingDirectory;
use crate::policy::taken::{Taken, overlap_refusal, overlapping, taken};
use crate::storage::{Existing, Found, Storage, StorageError};
use crate::volume::{NewVolume, Origin, Us, Volume};

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
    pub us: Arc<Us>,
    /// Where the waiting is counted.
    pub metrics: Arc<Metrics>,
    /// Where undoing goes on after the answer.
    pub tasks: Tasks,
}

/// Why there is no volume.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A claim of that name exists: the API server will refuse this one, and nothing was made.
    #[error("a claim of this name exists")]
    ClaimExists,
    /// A claim of that name is on its way out: when the API server comes to this one, it may be gone or not.
    #[error("a claim of this name is still being deleted; try again in a moment")]
    ClaimLeaving,
    /// The directory is there already, and was made by somebody else.
    #[error(
        "directory {0} is there already and may hold somebody's data; move it away, choose another name for the claim, or \
         let an administrator set existingDirectory to adopt"
    )]
    DirectoryExists(String),
    /// The directory, or one above or in it, has a volume already.
    #[error("{0}")]
    Taken(String),
    /// The NFS server.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The API server.
    #[error(
        "the API server refused Bindery's request to {0}: {1}; try again, and tell an administrator if it stays so"
    )]
    Api(&'static str, kube::Error),
    /// The API server was too slow.
    #[error("the API server did not answer Bindery's request to {0} in time; try again")]
    ApiSilent(&'static str),
}

impl Provisioner {
    /// Makes the volume and its directory. What is particular to this claim and would surprise its user is a warning.
    ///
    /// After success both are there. After a failure nothing is there, or a volume without a claim's uid that is undone a
    /// moment later: fenced and marked deleted, so that the cleanup takes its directory and then itself away. After a
    /// crash the volume, if it exists, has no claim uid.
    pub async fn provision(&self, new: &NewVolume, deadline: Instant) -> Result<Vec<String>, Failure> {
        let claim = self.claim_exists(new, deadline);
        let directory = self
            .metrics
            .wait("nfs", self.storage.look_up(&new.share, &new.directory, deadline));
        let (claim, directory) = self.metrics.wait_for_both(claim, directory).await;
        if claim? {
            return Err(Failure::ClaimExists);
        }
        let found = directory?;
        let denied = found.is_some() && new.existing == ExistingDirectory::Deny;
        let exists = || Failure::DirectoryExists(format!("{} of share {}", new.directory, new.share));
        if denied && self.volume(new, deadline).await?.is_none() {
            return Err(exists());
        }
        let mut origin = if found.is_some() { Origin::Adopted } else { Origin::New };
        match self.create(new, origin, deadline).await {
            Err(Failure::Api(_, error)) if fence::is_taken(&error) => origin = self.earlier(new, deadline).await?,
            // The volume that had it has just gone, and has left it.
            Ok(()) if denied => {
                self.abandon(new);
                return Err(exists());
            }
            created => created?,
        }
        if let Err(failure) = self.make(new, origin, deadline).await {
            self.abandon(new);
            return Err(failure);
        }
        let adopted = found.filter(|found| origin == Origin::Adopted && found.mode != new.attributes.mode);
        let keeps = |found: Found| {
            format!(
                "directory {} was there before: it keeps its mode {:04o} and its owner",
                new.directory, found.mode
            )
        };
        Ok(adopted.map(keeps).into_iter().collect())
    }

    /// A volume of this name is there already: from an earlier call for this very claim, then it becomes what this call
    /// wants; or it is somebody's. Returns whose work the directory is.
    ///
    /// From then on the volume is this call's to undo, and not the earlier one's. The patch changes its version, so an
    /// orphan loop that has just judged it leaves it alone.
    async fn earlier(&self, new: &NewVolume, deadline: Instant) -> Result<Origin, Failure> {
        loop {
            let Some(volume) = self.volume(new, deadline).await? else {
                let gone = "the directory was in use until a moment ago; try again";
                return Err(Failure::Taken(gone.to_owned()));
            };
            // Another call may have brought this very claim in since: then the volume is its own, as it is.
            if self.claim_exists(new, deadline).await? {
                return Err(Failure::ClaimExists);
            }
            if let Taken::Refuse(why) = taken(&volume, new, &self.us) {
                return Err(Failure::Taken(why));
            }
            let origin = volume.record.as_ref().map_or(Origin::Adopted, |record| record.origin);
            let mut fields = new.overwrite(origin, &self.us);
            fields["metadata"]["annotations"][mark::TOUCHED] = json!(jiff::Timestamp::now().to_string());
            let volumes = self.volumes();
            let merge = fence::merge(&volumes, &volume, fields);
            match self.in_time("use a volume again", deadline, merge).await {
                Ok(()) => return Ok(origin),
                // The controller manager has written to it meanwhile.
                Err(Failure::Api(_, error)) if fence::is_taken(&error) => tokio::time::sleep(PAUSE).await,
                Err(failure) => {
                    // It may be this call's by now.
                    self.abandon(new);
                    return Err(failure);
                }
            }
        }
    }

    /// The second half: the volume is written, now look whose directories overlap, and make this one.
    ///
    /// Both sides of an overlap in one area write first and then look, so that at least one of them sees the other,
    /// whichever replica they are on. Whoever sees another backs out: that one may have been admitted already. Across
    /// shares it is seen as soon as the watch has it.
    async fn make(&self, new: &NewVolume, origin: Origin, deadline: Instant) -> Result<(), Failure> {
        let (share, directory) = (&new.share, &new.directory);
        if !directory.stands_alone(&new.name) {
            let look = self.cluster.neighbours(share, directory);
            let others = self.in_time("look for overlapping volumes", deadline, look).await?;
            if let Some(other) = overlapping(share.server(), &share.join(directory), &new.name, &others) {
                return Err(Failure::Taken(overlap_refusal(new, other)));
            }
        }
        let existing = match origin {
            Origin::New => Existing::SetAttributes,
            Origin::Adopted => Existing::LeaveAlone,
        };
        let made = self.storage.make(share, directory, new.attributes, existing, deadline);
        self.metrics.wait("nfs", made).await?;
        Ok(())
    }

    async fn volume(&self, new: &NewVolume, deadline: Instant) -> Result<Option<Volume>, Failure> {
        let look = self.cluster.volume(&new.name);
        self.in_time("look for a volume of this name", deadline, look).await
    }

    /// Undoes a volume that an earlier call made and this answer does not use; unless the claim is there and names it.
    ///
    /// Before the answer: a volume that names a claim is bound to the claim of that name as soon as it appears, whatever
    /// its class, and whether or not it names the volume.
    pub async fn discard(&self, volume: &Volume, deadline: Instant) -> Result<(), Failure> {
        let Some(meant) = &volume.claim else { return Ok(()) };
        let look = self.cluster.claim(&meant.namespace, &meant.name);
        let claim = self.in_time("look for a claim of this name", deadline, look).await?;
        if claim.is_some_and(|claim| claim.volume_name.as_ref() == Some(&volume.name)) {
            return Ok(());
        }
        let volumes = self.volumes();
        let take_back = fence::take_back(&volumes, &volume.name, fence::uid(volume));
        match self.in_time("take a volume back", deadline, take_back).await {
            Err(Failure::Api(_, error)) if is_gone(&error) => Ok(()),
            done => done,
        }
    }

    /// Undoes, after the answer, a volume whose making has failed or came to no known end: then it may appear later.
    /// Nothing but what this very call has made: the name may be another's.
    fn abandon(&self, new: &NewVolume) {
        const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(4)];
        let (provisioner, new) = (self.clone(), new.clone());
        self.tasks.spawn(async move {
            for pause in LOOKS {
                let stop = provisioner.tasks.stop();
                stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                match provisioner.try_to_abandon(&new).await {
                    Ok(()) => return,
                    // Another call's by now, or always was.
                    Err(error) if fence::is_outdated(&error) => return,
                    Err(error) if is_gone(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, volume = new.name, "a volume that no claim uses could not be undone");
                    }
                }
            }
        });
    }

    async fn try_to_abandon(&self, new: &NewVolume) -> kube::Result<()> {
        let (namespace, name) = &new.claim;
        let claim = self.cluster.claim(namespace, name).await?;
        if claim.is_some_and(|claim| claim.volume_name.as_ref() == Some(&new.name)) {
            // A call at the same time has brought it in.
            return Ok(());
        }
        fence::take_back(
            &self.volumes(),
            &new.name,
            fence::marked(mark::ATTEMPT, new.attempt.as_str()),
        )
        .await
    }

    async fn claim_exists(&self, new: &NewVolume, deadline: Instant) -> Result<bool, Failure> {
        let (namespace, name) = &new.claim;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.cluster.client.clone(), namespace);
        let look = claims.get_metadata_opt(name);
        match self.in_time("look for a claim of this name", deadline, look).await? {
            Some(claim) if claim.metadata.deletion_timestamp.is_some() => Err(Failure::ClaimLeaving),
            claim => Ok(claim.is_some()),
        }
    }

    async fn create(&self, new: &NewVolume, origin: Origin, deadline: Instant) -> Result<(), Failure> {
        let volume = new.build(origin, &self.us);
        let volumes = self.volumes();
        let parameters = PostParams::default();
        let created = volumes.create(&parameters, &volume);
        let created = self
            .in_time("create a PersistentVolume", deadline, created)
            .await
            .map(drop);
        match &created {
            // It is another's.
            Err(Failure::Api(_, error)) if fence::is_taken(error) => {}
            // It may be there all the same, or be there soon.
            Err(_) => self.abandon(new),
            Ok(()) => {}
        }
        created
    }

    fn volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.cluster.client.clone())
    }

    async fn in_time<T>(
        &self,
        what: &'static str,
        deadline: Instant,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Failure> {
        match self.metrics.wait("api", timeout_at(deadline, call)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failure::Api(what, error)),
            Err(_) => Err(Failure::ApiSilent(what)),
        }
    }
}

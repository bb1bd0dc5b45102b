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
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::cluster::Cluster;
use crate::fence::{self, annotate, is_gone, patch, test};
use crate::names::mark;
use crate::ops::metrics::Metrics;
use crate::ops::tasks::Tasks;
use crate::policy::settings::ExistingDirectory;
use crate::policy::taken::{Taken, overlapping, taken};
use crate::storage::{Existing, Found, Storage, StorageError};
use crate::volume::{NewVolume, Origin, Us, Volume, area};

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
    /// After success both are there. After a failure nothing is there, or a volume that is fenced and marked deleted a
    /// moment later, and the cleanup takes its directory and then itself away. After a crash the volume, if it exists,
    /// has no claim uid.
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
        let origin = match (found, new.existing) {
            (None, _) => Origin::New,
            (Some(_), ExistingDirectory::Adopt) => Origin::Adopted,
            (Some(_), ExistingDirectory::Deny) => match self.volume(&new.name, deadline).await? {
                Some(volume) => return self.earlier(&volume, new, deadline).await.map(|()| Vec::new()),
                None => {
                    return Err(Failure::DirectoryExists(format!(
                        "{} of share {}",
                        new.directory, new.share
                    )));
                }
            },
        };
        match self.create(new, origin, deadline).await {
            Err(Failure::Api(_, error)) if fence::is_outdated(&error) => {
                match self.volume(&new.name, deadline).await? {
                    Some(volume) => return self.earlier(&volume, new, deadline).await.map(|()| Vec::new()),
                    None => {
                        return Err(Failure::Taken(
                            "the directory was in use until a moment ago; try again".to_owned(),
                        ));
                    }
                }
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

    /// The volume of this name is there already: from an earlier call for this very claim, then it is used; or it is
    /// somebody's.
    async fn earlier(&self, volume: &Volume, new: &NewVolume, deadline: Instant) -> Result<(), Failure> {
        match taken(volume, new, &self.us) {
            Taken::Refuse(why) => Err(Failure::Taken(why)),
            Taken::Reuse if !new.is_like(volume) => {
                self.discard(volume, deadline).await?;
                Err(Failure::Taken(format!(
                    "volume {} was made for an earlier try of this claim, with another class, size or mode, and is being \
                     taken back; try again in a moment",
                    volume.name
                )))
            }
            Taken::Reuse => {
                self.touch(volume, &new.attempt, deadline).await?;
                let origin = volume.record.as_ref().map_or(Origin::Adopted, |record| record.origin);
                self.make(new, origin, deadline).await
            }
        }
    }

    /// The second half: the volume is written, now look whose directories overlap, and make this one.
    ///
    /// Both sides of an overlap write first and then look, so that at least one of them sees the other, whichever
    /// replica they are on. Whoever sees another backs out: that one may have been admitted already.
    async fn make(&self, new: &NewVolume, origin: Origin, deadline: Instant) -> Result<(), Failure> {
        let (share, directory) = (&new.share, &new.directory);
        // A single segment with the volume's own name in it has nothing above but the share, and nothing in it yet.
        if !(directory.as_str().contains(&new.name) && directory.segments().count() == 1) {
            let area = area(share, directory);
            let others = self
                .in_time("look for overlapping volumes", deadline, self.cluster.area(&area))
                .await?;
            if let Some(other) = overlapping(share.server(), &share.join(directory), &new.name, &others) {
                let place = other
                    .record
                    .as_ref()
                    .map(|record| record.directory.to_string())
                    .unwrap_or_default();
                return Err(Failure::Taken(format!(
                    "directory {directory} of share {share} overlaps with directory {place} of volume {}",
                    other.name
                )));
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

    async fn volume(&self, name: &str, deadline: Instant) -> Result<Option<Volume>, Failure> {
        self.in_time("look for a volume of this name", deadline, self.cluster.volume(name))
            .await
    }

    /// Marks the volume of an earlier call for the same claim as used again, so that the orphan loop leaves it alone. An
    /// error means that somebody laid hands on it meanwhile.
    pub async fn touch(&self, volume: &Volume, attempt: &str, deadline: Instant) -> Result<(), Failure> {
        let operations = [
            test("/metadata/uid", json!(volume.uid)),
            test("/metadata/deletionTimestamp", Value::Null),
            test("/spec/claimRef/uid", Value::Null),
            annotate(mark::TOUCHED, &jiff::Timestamp::now().to_string()),
            // From now on it is this call's: whoever made it may not undo it any more.
            annotate(mark::ATTEMPT, attempt),
        ];
        self.in_time(
            "use a volume again",
            deadline,
            patch(&self.volumes(), &volume.name, operations.into()),
        )
        .await
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
        let (volumes, stop) = (self.volumes(), self.tasks.stop().clone());
        let (name, attempt) = (new.name.clone(), new.attempt.clone());
        self.tasks.spawn(async move {
            for pause in LOOKS {
                stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                match fence::take_back(&volumes, &name, fence::marked(mark::ATTEMPT, &attempt)).await {
                    Ok(()) => return,
                    Err(error) if is_gone(&error) => {}
                    // Another call's by now, or always was.
                    Err(error) if fence::is_outdated(&error) => return,
                    Err(error) => {
                        tracing::warn!(%error, volume = name, "a volume that no claim uses could not be undone");
                        return;
                    }
                }
            }
        });
    }

    async fn claim_exists(&self, new: &NewVolume, deadline: Instant) -> Result<bool, Failure> {
        let (namespace, name) = &new.claim;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.cluster.client.clone(), namespace);
        let look = claims.get_metadata_opt(name);
        self.in_time("look for a claim of this name", deadline, look)
            .await
            .map(|claim| claim.is_some())
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
        if created.is_err() {
            // It may be there all the same, or be there soon.
            self.abandon(new);
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

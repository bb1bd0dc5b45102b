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
use crate::storage::{Existing, Storage, StorageError};
use crate::volume::{NewVolume, Origin, Us, Volume};

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
    /// The directory is there already. It may hold somebody's data.
    #[error(
        "directory {0} is there already, and Bindery does not take over what it did not make; move it away or choose another name for the claim"
    )]
    DirectoryExists(String),
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
    /// Makes the volume and its directory.
    ///
    /// After success both are there. After a failure nothing is there, or a volume that is fenced and marked deleted a
    /// moment later, and the cleanup takes its directory and then itself away. After a crash the volume, if it exists,
    /// has no claim uid.
    pub async fn provision(&self, new: &NewVolume, deadline: Instant) -> Result<(), Failure> {
        let claim = self.claim_exists(new, deadline);
        let directory = self
            .metrics
            .wait("nfs", self.storage.look_up(&new.share, &new.directory, deadline));
        let (claim, directory) = self.metrics.wait_for_both(claim, directory).await;
        if claim? {
            return Err(Failure::ClaimExists);
        }
        if directory?.is_some() {
            return Err(Failure::DirectoryExists(format!(
                "{} of share {}",
                new.directory, new.share
            )));
        }
        self.create(new, deadline).await?;
        let existing = Existing::SetAttributes;
        let made = self
            .storage
            .make(&new.share, &new.directory, new.attributes, existing, deadline);
        if let Err(error) = self.metrics.wait("nfs", made).await {
            self.abandon(new.name.clone());
            return Err(error.into());
        }
        Ok(())
    }

    /// Marks the volume of an earlier call for the same claim as used again, so that the orphan loop leaves it alone. An
    /// error means that somebody laid hands on it meanwhile.
    pub async fn touch(&self, volume: &Volume, deadline: Instant) -> Result<(), Failure> {
        let operations = [
            test("/metadata/uid", json!(volume.uid)),
            test("/metadata/deletionTimestamp", Value::Null),
            test("/spec/claimRef/uid", Value::Null),
            annotate(mark::TOUCHED, &jiff::Timestamp::now().to_string()),
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
        let take_back = fence::take_back(&volumes, &volume.name, Some(&volume.uid));
        match self.in_time("take a volume back", deadline, take_back).await {
            Err(Failure::Api(_, error)) if is_gone(&error) => Ok(()),
            done => done,
        }
    }

    /// Undoes, after the answer, a volume whose making has failed or came to no known end: then it may appear later.
    fn abandon(&self, name: String) {
        const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(4)];
        let (volumes, stop) = (self.volumes(), self.tasks.stop().clone());
        self.tasks.spawn(async move {
            for pause in LOOKS {
                stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                match fence::take_back(&volumes, &name, None).await {
                    Ok(()) => return,
                    Err(error) if is_gone(&error) => {}
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

    async fn create(&self, new: &NewVolume, deadline: Instant) -> Result<(), Failure> {
        let volume = new.build(Origin::New, &self.us);
        let volumes = self.volumes();
        let parameters = PostParams::default();
        let created = volumes.create(&parameters, &volume);
        let created = self
            .in_time("create a PersistentVolume", deadline, created)
            .await
            .map(drop);
        if created.is_err() {
            // It may be there all the same, or be there soon.
            self.abandon(new.name.clone());
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

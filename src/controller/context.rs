//! The clients, caches and options of the loops. Each process has one context.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::breaker::Outages;
use crate::cluster::Cluster;
use crate::cluster::cache::CachedClaim;
use crate::model::binder_mode::BinderMode;
use crate::model::candidate::Candidate;
use crate::model::claim::Claim;
use crate::model::directory::{Directory, Share};
use crate::model::identity::Identity;
use crate::model::volume::{Installation, Volume};
use crate::ops::events::Events;
use crate::ops::metrics::Metrics;
use crate::policy::class::Defaults;
use crate::policy::csi;
use crate::policy::decide::{Facts, Verdict, decide};
use crate::policy::selectors::Selectors;
use crate::provision::Provisioner;
use crate::storage::{Moved, Storage, StorageError};

/// The time between two reconciles of a volume that waits for an administrator or for another volume.
pub const RECHECK: Duration = Duration::from_mins(10);
/// The maximum time for one call to an NFS server. No admission review waits for it.
const STORAGE_CALL: Duration = Duration::from_secs(20);

/// The clients, caches and options of the loops. A function that takes a `Context` only reads and reports. A function
/// that changes something takes a [`super::leader::Leader`].
pub struct Context {
    /// Carries out decisions about claims.
    pub provisioner: Provisioner,
    /// The API server.
    pub cluster: Cluster,
    /// The NFS servers.
    pub storage: Arc<dyn Storage>,
    /// The installation whose volumes these loops manage.
    pub installation: Arc<Installation>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Events.
    pub events: Events,
    /// The NFS servers that do not answer.
    pub outages: Outages,
    /// The selectors of the webhook configuration; `None` until it has been read.
    pub selectors: watch::Receiver<Option<Selectors>>,
    /// The server and the share of classes that do not set them.
    pub defaults: Defaults,
    /// The flags of the loops.
    pub options: Options,
}

/// The flags of `bindery serve` that the loops use.
#[derive(Clone)]
pub struct Options {
    /// Bindery's own namespace.
    pub own_namespace: String,
    /// Whether nested directories may be deleted of volumes that nfs-subdir-external-provisioner created.
    pub delete_nested: bool,
    /// Whether all volumes of csi-driver-nfs are taken over, and not only those with an annotation.
    pub take_over_driver: bool,
    /// How much of the binding Bindery does.
    pub binder: BinderMode,
    /// How long a volume that no claim uses is kept.
    pub orphan_grace: Duration,
    /// The time between two rounds that look for expired archives.
    pub retention_interval: Duration,
    /// The time between two rounds that ask for the space of the shares; zero: never.
    pub space_interval: Duration,
    /// The time between two measurements of a volume; zero: never.
    pub usage_interval: Duration,
    /// The number of calls a second to each server with which volumes are measured.
    pub usage_rate: u32,
    /// The name of the `ConfigMap` with the space of the shares.
    pub shares_record: String,
}

impl Context {
    /// Creates the context.
    pub fn new(
        provisioner: Provisioner,
        outages: Outages,
        selectors: watch::Receiver<Option<Selectors>>,
        defaults: Defaults,
        options: Options,
    ) -> Self {
        Self {
            cluster: provisioner.cluster.clone(),
            storage: Arc::clone(&provisioner.storage),
            installation: Arc::clone(&provisioner.installation),
            metrics: Arc::clone(&provisioner.metrics),
            events: Events::new(provisioner.cluster.client.clone(), &provisioner.tasks),
            provisioner,
            outages,
            selectors,
            defaults,
            options,
        }
    }

    /// Returns whether this installation created the volume, or took it over.
    pub fn is_own(&self, volume: &Volume) -> bool {
        volume.maker.as_ref() == Some(&*self.installation)
    }

    /// Returns the claim of a volume if the claim is in the cache and not bound yet.
    pub fn pending_claim(&self, volume: &Volume) -> Option<Arc<CachedClaim>> {
        let claim = volume.claim.as_ref()?;
        let claim = ObjectRef::new(&claim.name).within(&claim.namespace);
        self.cluster.claims.get(&claim).filter(|claim| claim.is_pending())
    }

    /// Decides what happens to an existing claim, with the namespace that the API server has now. `volume` is the volume that an earlier request created for it.
    pub async fn decide(
        &self,
        claim: &Claim,
        class: Option<&StorageClass>,
        volume: Option<&Volume>,
        candidates: &[Candidate],
    ) -> kube::Result<Verdict> {
        let namespace = self.cluster.namespace_now(&claim.namespace).await?;
        let restore = Box::pin(self.provisioner.restore_facts(claim, &namespace, None)).await?;
        Ok(decide(&Facts {
            claim,
            class,
            namespace: &namespace,
            volume,
            candidates,
            csi_drivers: &self.cluster.installed(class.map_or(&[][..], csi::drivers)).await?,
            classes: &self.cluster.classes.store().state(),
            defaults: &self.defaults,
            installation: &self.installation,
            restore: restore.as_ref(),
            seed: claim.seed(),
        }))
    }

    /// Returns the identity of a directory of a share; `None` if it does not exist.
    pub async fn look_up(&self, share: &Share, directory: &Directory) -> Result<Option<Identity>, StorageError> {
        let found = self.storage.look_up(share, directory, storage_deadline()).await?;
        Ok(found.map(|found| found.identity))
    }

    /// Renames a directory of a share if it has this identity.
    pub async fn rename(
        &self,
        share: &Share,
        from: &Directory,
        identity: Identity,
        to: &Directory,
    ) -> Result<Moved, StorageError> {
        let deadline = storage_deadline();
        self.storage.rename(share, from, identity, to, deadline).await
    }

    /// Returns the client for PersistentVolumes.
    pub fn persistent_volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.cluster.client.clone())
    }
}

/// Returns the deadline of a call to an NFS server that starts now.
pub fn storage_deadline() -> Instant {
    Instant::now() + STORAGE_CALL
}

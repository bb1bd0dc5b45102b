//! Access to the cluster: caches of watched objects, and requests for objects that the caches do not have.
//!
//! A cluster may have several API servers. What one of them has answered, another one reports in its watches only later.
//! A request without a version is answered with the latest state by each of them.
//!
//! A class or a namespace that is missing in the cache may have just been created, so it is read from the API server. A
//! cached one may be old, so it is compared with the API server's before a volume is created. The caches of volumes and
//! claims only select objects. Each decision about one of them is made on the object that the API server has.

pub mod access;
pub mod api_error;
pub mod archives;
pub mod cache;
pub mod client;
pub mod lease;
pub mod patch;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{CSIDriver, StorageClass};
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, Resource, ResourceExt};

use self::cache::{CachedClaim, CachedVolume};
pub use self::watch::{Watch, watch_object};
use crate::model::candidate::Candidate;
use crate::model::choices::CsiDriver;
use crate::model::claim::Claim;
use crate::model::location::{Location, Overlap};
use crate::model::names::{self, is_object_name};
use crate::model::namespace;
use crate::model::volume::{Installation, Volume, area, first_overlap};

/// How long to wait until the cache has an object that was just written.
const CACHE_TIMEOUT: Duration = Duration::from_secs(1);

/// Volumes per list request.
const PAGE_SIZE: u32 = 250;

/// Access to the cluster. Clones share the caches.
#[derive(Clone)]
pub struct Cluster {
    /// The client, for all other requests.
    pub client: Client,
    /// All classes.
    pub classes: Watch<StorageClass>,
    /// All namespaces.
    pub namespaces: Watch<PartialObjectMeta<Namespace>>,
    /// All volumes.
    pub volumes: Watch<CachedVolume>,
    /// All claims that are not bound, that request more storage than they have, or that csi-resizer has expanded (0.4 kB each).
    pub claims: Watch<CachedClaim>,
}

impl Cluster {
    /// Prepares the watches. The future that is returned runs them, and never ends.
    pub fn new(client: Client) -> (Self, impl Future<Output = ()> + Send) {
        let (classes, classes_watch) = Watch::new("StorageClasses", Api::all(client.clone()), |_| true);
        let (namespaces, namespaces_watch) = Watch::new("Namespaces", Api::all(client.clone()), |_| true);
        let (volumes, volumes_watch) = Watch::new("PersistentVolumes", Api::all(client.clone()), |_| true);
        let (claims, claims_watch) = Watch::new(
            "PersistentVolumeClaims",
            Api::all(client.clone()),
            CachedClaim::is_unsettled,
        );
        let watches = async {
            tokio::join!(classes_watch, namespaces_watch, volumes_watch, claims_watch);
        };
        let cluster = Self {
            client,
            classes,
            namespaces,
            volumes,
            claims,
        };
        (cluster, watches)
    }

    /// Waits until all caches are filled. Must be called only once.
    pub async fn ready(&self) {
        tokio::join!(
            self.classes.ready(),
            self.namespaces.ready(),
            self.volumes.ready(),
            self.claims.ready()
        );
    }

    /// Returns the class with this name; `None` for the empty name.
    pub async fn class(&self, name: &str) -> kube::Result<Option<StorageClass>> {
        match self.classes.get(&ObjectRef::new(name)) {
            Some(class) => Ok(Some((*class).clone())),
            None => self.class_now(name).await,
        }
    }

    /// Reads a class from the API server.
    pub async fn class_now(&self, name: &str) -> kube::Result<Option<StorageClass>> {
        if !is_object_name(name) {
            return Ok(None);
        }
        Api::all(self.client.clone()).get_opt(name).await
    }

    /// Returns those of these CSI drivers that the cluster has.
    pub async fn installed(&self, drivers: &[CsiDriver]) -> kube::Result<Vec<CsiDriver>> {
        let objects: Api<CSIDriver> = Api::all(self.client.clone());
        let mut installed = Vec::new();
        for &driver in drivers {
            if objects.get_metadata_opt(driver.as_str()).await?.is_some() {
                installed.push(driver);
            }
        }
        Ok(installed)
    }

    /// Returns the uid, labels and annotations of a namespace. For one that does not exist they are empty: the API server
    /// refuses the claim.
    pub async fn namespace(&self, name: &str) -> kube::Result<namespace::Namespace> {
        match self.namespaces.get(&ObjectRef::new(name)) {
            Some(namespace) => Ok(facts_of(&namespace)),
            None => self.namespace_now(name).await,
        }
    }

    /// Reads the uid, labels and annotations of a namespace from the API server.
    pub async fn namespace_now(&self, name: &str) -> kube::Result<namespace::Namespace> {
        if !is_object_name(name) {
            return Ok(namespace::Namespace::default());
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = namespaces.get_metadata_opt(name).await?;
        Ok(namespace.as_ref().map(facts_of).unwrap_or_default())
    }

    /// Returns another volume whose directory is the same, or above or below this one. If there are several, it prefers
    /// one that a claim has used.
    ///
    /// A watch reports volumes in the order in which they were written. So once the cache has the volume `name` in
    /// version `written`, it has everything that was written before, through any API server. If two callers write first
    /// and then look, at least one of them sees the other, even in different replicas. If the cache is not up to date in
    /// time, all volumes are listed instead. If nothing was written, only volumes of Bindery in the same area are listed.
    pub async fn overlap(
        &self,
        location: &Location<'_>,
        name: &str,
        written: Option<&str>,
    ) -> kube::Result<Option<(Volume, Overlap)>> {
        let is_up_to_date = match written {
            Some(version) => self.wait_for_version(name, version).await,
            None => false,
        };
        for (other, overlap) in self.cached_overlaps(location, name) {
            // The cache may be out of date.
            if let Some(other) = self.volume(&other.name_any()).await? {
                return Ok(Some((other, overlap)));
            }
        }
        if is_up_to_date {
            return Ok(None);
        }
        self.live_overlap(location, name, written.is_none()).await
    }

    /// Waits until the cache has a volume in this version, and so everything that was written before. Returns false
    /// after one second.
    pub async fn wait_for_version(&self, name: &str, version: &str) -> bool {
        self.volumes
            .wait_for_version(&ObjectRef::new(name), version, CACHE_TIMEOUT)
            .await
    }

    /// Returns the cached volumes that this installation created for a claim of this name, and that no claim uses.
    pub fn unclaimed_volumes(&self, maker: &Installation, namespace: &str, name: &str) -> Vec<Arc<CachedVolume>> {
        self.volumes.store().state_filter(|volume| {
            let volume = volume.read();
            volume.maker.as_ref() == Some(maker) && volume.is_unclaimed_for(namespace, name)
        })
    }

    /// Returns the cached volumes to which Kubernetes may bind this claim.
    pub fn candidates(&self, claim: &Claim, own: &Installation) -> Vec<Candidate> {
        if claim.volume_name.is_some() {
            return Vec::new();
        }
        let is_candidate = |volume: &CachedVolume| volume.candidate(claim, own).is_some();
        let candidates = self.volumes.store().state_filter(is_candidate);
        candidates
            .iter()
            .filter_map(|volume| volume.candidate(claim, own))
            .collect()
    }

    /// Returns all cached volumes whose directory is the same, or above or below this one. Those that a claim has used
    /// come first.
    pub fn cached_overlaps(&self, location: &Location<'_>, name: &str) -> Vec<(Arc<CachedVolume>, Overlap)> {
        let others = self.volumes.store().state_filter(|other| {
            let overlap_with = other.overlap_with(location);
            overlap_with.is_some() && other.meta().name.as_deref() != Some(name)
        });
        let overlap_with = |other: Arc<CachedVolume>| other.overlap_with(location).map(|overlap| (other, overlap));
        let mut others: Vec<_> = others.into_iter().filter_map(overlap_with).collect();
        others.sort_by_key(|(other, _)| !other.read().had_claim());
        others
    }

    /// Lists volumes, and returns an overlapping one. A volume in another area may overlap, too: an export may be inside
    /// another one, and a server may have two names.
    async fn live_overlap(
        &self,
        location: &Location<'_>,
        name: &str,
        same_area_only: bool,
    ) -> kube::Result<Option<(Volume, Overlap)>> {
        let volumes: Api<CachedVolume> = Api::all(self.client.clone());
        let mut page = ListParams::default().limit(PAGE_SIZE);
        if same_area_only {
            page = page.labels(&format!("{}={}", names::AREA, area(location.share, location.directory)));
        }
        loop {
            let found = volumes.list(&page).await?;
            let others = found.items.iter().filter(|other| other.name_any() != name);
            let overlaps = others.filter_map(|other| Some((other.read(), other.overlap_with(location)?)));
            if let Some((other, overlap)) = first_overlap(overlaps) {
                return Ok(Some((other.clone(), overlap)));
            }
            match found.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => page = page.continue_token(&next),
                None => return Ok(None),
            }
        }
    }

    /// Reads a volume from the API server.
    pub async fn volume(&self, name: &str) -> kube::Result<Option<Volume>> {
        if !is_object_name(name) {
            return Ok(None);
        }
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        Ok(volumes.get_opt(name).await?.as_ref().map(Volume::read))
    }

    /// Reads a claim from the API server.
    pub async fn claim(&self, namespace: &str, name: &str) -> kube::Result<Option<Claim>> {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        Ok(claims.get_opt(name).await?.map(|claim| Claim::read(&claim, namespace)))
    }
}

fn facts_of(namespace: &PartialObjectMeta<Namespace>) -> namespace::Namespace {
    namespace::Namespace {
        uid: namespace.meta().uid.clone(),
        labels: namespace.labels().clone(),
        annotations: namespace.annotations().clone(),
    }
}

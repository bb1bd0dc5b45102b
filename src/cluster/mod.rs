//! What is known of the cluster: watched objects, and a live look for what the watch does not have yet.
//!
//! A class or a namespace that was created a moment ago may be missing from the watch, and a claim that comes right
//! after it must not pass unserved for that. What the watch has may be a moment old: that is enough for policy, which
//! could as well have been changed a moment later. Volumes and claims are looked up live.

pub mod api_error;
pub mod cache;
pub mod client;
pub mod lease;
pub mod patch;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, Resource, ResourceExt};

use self::cache::{CachedClaim, CachedVolume};
pub use self::watch::Watch;
use crate::model::claim::Claim;
use crate::model::location::{Location, Overlap};
use crate::model::names::{self, is_object_name};
use crate::model::namespace;
use crate::model::volume::{Installation, Volume, area, first_overlap};

/// How long the watch may take to tell of what was just written.
const PATIENCE: Duration = Duration::from_secs(1);

/// Volumes that are listed at once.
const A_PAGE: u32 = 250;

/// A handle on the cluster; clones share what is watched.
#[derive(Clone)]
pub struct Cluster {
    /// For everything else.
    pub client: Client,
    /// All classes.
    pub classes: Watch<StorageClass>,
    /// All namespaces.
    pub namespaces: Watch<PartialObjectMeta<Namespace>>,
    /// All volumes.
    pub volumes: Watch<CachedVolume>,
    /// The claims that are not bound.
    pub claims: Watch<CachedClaim>,
}

impl Cluster {
    /// Prepares the watches; the future that comes with them keeps them up and never ends.
    pub fn new(client: Client) -> (Self, impl Future<Output = ()> + Send) {
        let (classes, classes_watch) = Watch::new("StorageClasses", Api::all(client.clone()), |_| true);
        let (namespaces, namespaces_watch) = Watch::new("Namespaces", Api::all(client.clone()), |_| true);
        let (volumes, volumes_watch) = Watch::new("PersistentVolumes", Api::all(client.clone()), |_| true);
        let (claims, claims_watch) = Watch::new(
            "PersistentVolumeClaims",
            Api::all(client.clone()),
            CachedClaim::is_pending,
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

    /// Waits until all watches have their first list. To be called once.
    pub async fn ready(&self) {
        tokio::join!(
            self.classes.ready(),
            self.namespaces.ready(),
            self.volumes.ready(),
            self.claims.ready()
        );
    }

    /// The class of that name.
    pub async fn class(&self, name: &str) -> kube::Result<Option<StorageClass>> {
        match self.classes.get(&ObjectRef::new(name)) {
            Some(class) => Ok(Some((*class).clone())),
            None if !is_object_name(name) => Ok(None),
            None => Api::all(self.client.clone()).get_opt(name).await,
        }
    }

    /// Labels and annotations of that namespace. One that is not there has none: the API server refuses the claim.
    pub async fn namespace(&self, name: &str) -> kube::Result<namespace::Namespace> {
        let namespace = match self.namespaces.get(&ObjectRef::new(name)) {
            Some(namespace) => Some(namespace),
            None if !is_object_name(name) => None,
            None => {
                let namespaces: Api<Namespace> = Api::all(self.client.clone());
                namespaces.get_metadata_opt(name).await?.map(Arc::new)
            }
        };
        let told = |namespace: Arc<PartialObjectMeta<Namespace>>| namespace::Namespace {
            labels: namespace.labels().clone(),
            annotations: namespace.annotations().clone(),
        };
        Ok(namespace.map(told).unwrap_or_default())
    }

    /// Another volume whose directory is this one, or above or in it, whatever has become of it; of several one that a claim
    /// has had, as far as the watch knows.
    ///
    /// The watch tells of volumes in the order in which they were written. So once it has what the caller has written
    /// (`written`, the volume called `name` in this version), it has all that was written before; and of two callers who
    /// write first and look then, at least one sees the other, whichever replica they are on. While the watch is broken, or
    /// slow, or where nothing was written, the API is asked; then that holds only within an area, and for volumes of Bindery.
    pub async fn overlap(
        &self,
        location: &Location<'_>,
        name: &str,
        written: Option<&str>,
    ) -> kube::Result<Option<(Volume, Overlap)>> {
        let is_there = match written {
            Some(version) => self.wait_for_version(name, version).await,
            None => false,
        };
        match self.cached_overlap(location, name).await? {
            None if !is_there => self.live_overlap(location, name).await,
            known => Ok(known),
        }
    }

    /// A neighbour that the watch has and that is still there.
    pub async fn cached_overlap(&self, location: &Location<'_>, name: &str) -> kube::Result<Option<(Volume, Overlap)>> {
        for (other, overlap) in self.cached_overlaps(location, name) {
            if let Some(other) = self.volume(&other.name_any()).await? {
                return Ok(Some((other, overlap)));
            }
        }
        Ok(None)
    }

    /// Waits a moment until the watch has a volume in this version, and all that was written before; `false` if it does not
    /// have it in time.
    pub async fn wait_for_version(&self, name: &str, version: &str) -> bool {
        self.volumes
            .wait_for_version(&ObjectRef::new(name), version, PATIENCE)
            .await
    }

    /// The volumes that this maker's calls made for the claim of this namespace and name, and that no claim has; as the watch
    /// has them.
    pub fn unclaimed_volumes(&self, maker: &Installation, namespace: &str, name: &str) -> Vec<Arc<CachedVolume>> {
        self.volumes.store().state_filter(|volume| {
            let volume = volume.read();
            volume.maker.as_ref() == Some(maker) && volume.is_unclaimed_for(namespace, name)
        })
    }

    /// All other volumes whose directory is this one, or above or in it, as the watch has them; those that a claim has had
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

    /// A neighbour among the volumes of an area, live.
    async fn live_overlap(&self, location: &Location<'_>, name: &str) -> kube::Result<Option<(Volume, Overlap)>> {
        let volumes: Api<CachedVolume> = Api::all(self.client.clone());
        let same_area = format!("{}={}", names::AREA, area(location.share, location.directory));
        let mut page = ListParams::default().labels(&same_area).limit(A_PAGE);
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

    /// The volume of that name, live: it was made a moment ago, and the controller manager is writing to it.
    pub async fn volume(&self, name: &str) -> kube::Result<Option<Volume>> {
        if !is_object_name(name) {
            return Ok(None);
        }
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        Ok(volumes.get_opt(name).await?.as_ref().map(Volume::read))
    }

    /// Waits, for no long time, until the watch has this volume in this version.
    pub async fn wait_for_volume(&self, volume: &Volume) {
        let name = ObjectRef::new(&volume.name);
        self.volumes.wait_for_version(&name, &volume.version, PATIENCE).await;
    }

    /// The claim of that name, live.
    pub async fn claim(&self, namespace: &str, name: &str) -> kube::Result<Option<Claim>> {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        Ok(claims.get_opt(name).await?.map(|claim| Claim::read(&claim, namespace)))
    }
}

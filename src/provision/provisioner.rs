//! The clients that provisioning uses, and its requests to the API server.

use std::fmt::Display;
use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use tokio::time::{Instant, timeout_at};

use super::error::Error;
use crate::cluster::Cluster;
use crate::cluster::api_error::ApiFault;
use crate::model::volume::{Installation, NewVolume, Volume};
use crate::ops::metrics::Metrics;
use crate::ops::tasks::Tasks;
use crate::storage::Storage;

/// Creates volumes and their directories.
#[derive(Clone)]
pub struct Provisioner {
    /// The API server.
    pub cluster: Cluster,
    /// The NFS servers.
    pub storage: Arc<dyn Storage>,
    /// This installation.
    pub installation: Arc<Installation>,
    /// Bindery's own namespace.
    pub own_namespace: String,
    /// Measures the time that is spent waiting.
    pub metrics: Arc<Metrics>,
    /// Runs removals that continue after the answer.
    pub tasks: Tasks,
}

impl Provisioner {
    /// Reads the volume with this name from the API server.
    pub(super) async fn volume(&self, new: &NewVolume, deadline: Instant) -> Result<Option<Volume>, Error> {
        let read = self.cluster.volume(&new.name);
        self.api_call(format!("read PersistentVolume {}", new.name), deadline, read)
            .await
    }

    /// Returns the client for PersistentVolumes.
    pub(super) fn volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.cluster.client.clone())
    }

    /// Waits for a request to the API server. Messages name its `purpose`.
    pub(super) async fn api_call<T, E: Into<ApiFault> + Display>(
        &self,
        purpose: String,
        deadline: Instant,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error> {
        let fault = match self.metrics.wait("api", timeout_at(deadline, call)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => {
                tracing::debug!(%error, "could not {purpose}");
                error.into()
            }
            Err(_) => ApiFault::timeout(),
        };
        Err(Error::Api(purpose, fault))
    }
}

//! The loops that look after volumes.
//!
//! One queue keyed by volume: an event of the volume, or of the claim that names it, makes it due. Each turn reads the
//! volume, plans one step ([`crate::policy::plan`]) and carries it out; no volume has two steps at once. A step that
//! fails is tried again with a growing pause of its own.

mod binder;
mod cleanup;
mod failure;
mod overlap;
pub mod registration;
mod takeover;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::time::Instant;
use tracing::Instrument;

use self::failure::Failure;
pub use self::failure::Pauses;
use crate::cluster::Cluster;
use crate::fence;
use crate::ops::events::Events;
use crate::ops::metrics::Metrics;
use crate::ops::tasks::Tasks;
use crate::policy::claim::Claim;
use crate::policy::plan::{Holder, Plan, plan};
use crate::policy::takeover::Terms;
use crate::storage::Storage;
use crate::volume::{Us, Volume};

/// Volumes that are worked on at once.
const PARALLEL: u16 = 16;
/// Time for one call to an NFS server. Nobody waits for it at a terminal.
const STORAGE_CALL: Duration = Duration::from_secs(20);

/// What the loops work with.
pub struct Volumes {
    /// The API server.
    pub cluster: Cluster,
    /// The NFS servers.
    pub storage: Arc<dyn Storage>,
    /// Whose volumes are ours.
    pub us: Arc<Us>,
    /// What people read.
    pub events: Events,
    /// What machines read.
    pub metrics: Arc<Metrics>,
    /// How volumes that another program made are taken over.
    pub takeover: Terms,
    /// The word to stop.
    pub tasks: Tasks,
    /// How long each failing volume waits.
    pub pauses: Pauses,
}

/// The watch of all volumes, and of the claims that name them; not running yet.
pub fn watch(client: Client) -> Controller<PersistentVolume> {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    Controller::new(Api::all(client), watcher::Config::default())
        .watches(claims, watcher::Config::default(), |claim| {
            let name = claim.spec.and_then(|spec| spec.volume_name);
            name.filter(|name| !name.is_empty()).map(|name| ObjectRef::new(&name))
        })
        .with_config(controller::Config::default().concurrency(PARALLEL))
}

/// Runs the loops until the process stops; the step that each volume is at is finished.
pub async fn run(controller: Controller<PersistentVolume>, volumes: Volumes) {
    let stop = volumes.tasks.stop().clone();
    controller
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            turn,
            |volume, failure, volumes| volumes.failed(&volume, failure),
            Arc::new(volumes),
        )
        .for_each(async |outcome| match outcome {
            // A failure was told by `failed`. An object is not found when a claim comes before its volume; the volume's
            // own event follows.
            Ok(_) | Err(controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_)) => {}
            Err(error) => tracing::warn!(%error, "the watch of volumes or claims broke; it is taken up again"),
        })
        .await;
}

async fn turn(volume: Arc<PersistentVolume>, volumes: Arc<Volumes>) -> Result<Action, Failure> {
    let (object, volume) = (&volume, Volume::read(&volume));
    let claim = volume
        .claim
        .as_ref()
        .map(|claim| format!("{}/{}", claim.namespace, claim.name));
    let span = tracing::info_span!("turn", volume = volume.name, claim);
    let step = async {
        if volumes.take_over(object).await? {
            return Ok(());
        }
        volumes.step(&volume).await
    };
    step.instrument(span).await?;
    volumes.pauses.end(&volume.name);
    Ok(Action::await_change())
}

impl Volumes {
    async fn step(&self, volume: &Volume) -> Result<(), Failure> {
        match self.plan(volume).await? {
            (Plan::Bind { record, difference }, Some(claim)) => {
                self.bind(volume, &record, &claim).await?;
                if let Some(difference) = difference {
                    self.tell_changed(volume, &claim, &difference).await;
                }
                Ok(())
            }
            (Plan::Undo(difference), Some(claim)) => self.undo(volume, &claim, &difference).await,
            (Plan::Broken(wrong), _) => Err(Failure::Broken(wrong)),
            (Plan::MarkDeleted, _) => Ok(fence::delete(&self.api(), volume).await?),
            (Plan::Dispose(_), _) => self.dispose_live(&volume.name).await,
            (Plan::Leave | Plan::LookAtClaim | Plan::Bind { .. } | Plan::Undo(_), _) => Ok(()),
        }
    }

    /// Directories are touched on a live look at the volume only: the watch may be behind our own last step.
    async fn dispose_live(&self, name: &str) -> Result<(), Failure> {
        let Some(volume) = self.api().get_opt(name).await?.as_ref().map(Volume::read) else {
            return Ok(());
        };
        match self.plan(&volume).await? {
            (Plan::Dispose(dispose), _) => self.dispose(&volume, dispose).await,
            // Its event follows.
            _ => Ok(()),
        }
    }

    async fn plan(&self, volume: &Volume) -> Result<(Plan, Option<Claim>), Failure> {
        let next = plan(volume, Holder::Unknown, &self.us);
        let (Plan::LookAtClaim, Some(meant)) = (&next, &volume.claim) else {
            return Ok((next, None));
        };
        let claim = self.cluster.claim(&meant.namespace, &meant.name).await?;
        Ok((
            plan(volume, claim.as_ref().map_or(Holder::Gone, Holder::Here), &self.us),
            claim,
        ))
    }

    fn api(&self) -> Api<PersistentVolume> {
        Api::all(self.cluster.client.clone())
    }

    /// When a call to an NFS server that starts now must have ended.
    fn soon() -> Instant {
        Instant::now() + STORAGE_CALL
    }
}

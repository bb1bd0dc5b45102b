//! The loops that look after volumes.
//!
//! One queue keyed by volume: an event of the volume, or of the claim that names it, makes it due. Each turn reads the
//! volume, plans one step ([`crate::policy::plan`]) and carries it out; no volume has two steps at once. A step that
//! fails is tried again with a growing pause of its own, or when a server that was down answers again. Servers wait for
//! nobody but their own.

mod backlog;
mod binder;
pub mod catch_up;
mod classes;
mod cleanup;
mod complete;
mod concern;
mod depots;
mod failure;
mod fate;
pub mod gate;
mod grace;
mod ignored;
pub mod lease;
mod leave;
mod overlap;
pub mod registration;
mod retention;
mod silence;
mod takeover;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::catch_up::CatchUp;
use self::concern::concerned;
use self::failure::Failure;
pub use self::failure::Pauses;
use self::gate::{Gates, Pass};
use self::grace::Grace;
use self::lease::Term;
pub use self::silence::Silence;
use crate::cli::BinderMode;
use crate::cluster::Cluster;
use crate::cluster::kept::{KeptClaim, KeptVolume};
use crate::crash::{self, Point};
use crate::fence;
use crate::ops::events::Events;
use crate::ops::metrics::Metrics;
use crate::policy::claim::Claim;
use crate::policy::class::Defaults;
use crate::policy::plan::{Holder, Plan, plan};
use crate::provision::Provisioner;
use crate::storage::Storage;
use crate::storage::guard::Outages;
use crate::volume::{Us, Volume};

/// Claims that are caught up with at once, for each NFS server.
const CATCHING_UP: usize = 8;
/// Volumes that are worked on at once, for each NFS server: so many that wait for their claims, and so many on their way
/// out, which may have large trees to remove.
const PARALLEL: usize = 16;
/// Time for one call to an NFS server. Nobody waits for it at a terminal.
const STORAGE_CALL: Duration = Duration::from_secs(20);

/// What the loops work with, on every replica; they run on the one that leads.
pub struct Loops {
    /// The effects of a decision, and the cluster.
    pub provisioner: Provisioner,
    /// For classes that name no server or share.
    pub defaults: Defaults,
    /// What people read.
    pub events: Events,
    /// Which NFS servers are down.
    pub outages: Outages,
    /// Nested directories of volumes that another program made may be deleted.
    pub delete_nested: bool,
    /// How much of binding is done here.
    pub binder: BinderMode,
    /// How long a volume that no claim has had is left alone.
    pub orphan_grace: Duration,
    /// Between two rounds to look for archives whose time is over.
    pub retention_interval: Duration,
}

/// What looks after volumes, for one term.
pub struct Volumes {
    /// The API server.
    pub cluster: Cluster,
    /// The NFS servers.
    pub storage: Arc<dyn Storage>,
    /// Whose volumes are ours.
    pub us: Arc<Us>,
    /// For classes that name no server or share.
    pub defaults: Defaults,
    /// What people read.
    pub events: Events,
    /// What machines read.
    pub metrics: Arc<Metrics>,
    /// Nested directories of volumes that another program made may be deleted.
    pub delete_nested: bool,
    /// Whether this replica may still act.
    pub term: Term,
    /// Which NFS servers are down.
    pub outages: Outages,
    /// Who goes first.
    pub gates: Gates,
    /// The same of volumes on their way out.
    pub gates_out: Gates,
    /// How long volumes have been as they are.
    pub grace: Grace,
    /// How long each failing volume waits.
    pub pauses: Pauses,
    /// Whether the controller manager is at work.
    pub silence: Silence,
    /// How much of binding is done here.
    pub binder: BinderMode,
    /// How long a volume that no claim has had is left alone.
    pub orphan_grace: Duration,
    /// Between two rounds to look for archives whose time is over.
    pub retention_interval: Duration,
}

impl Loops {
    /// Runs all loops for one term; the step that each object is at is finished.
    pub async fn run(&self, term: Term) {
        let stop = term.stop.clone();
        let volumes = Arc::new(self.volumes(term.clone()));
        let catch_up = Arc::new(self.catch_up(term));
        let retention = retention::run(&volumes, volumes.retention_interval);
        tokio::join!(
            look_after(Arc::clone(&volumes), stop.clone()),
            catch_up::run(Arc::clone(&catch_up), stop.clone()),
            stop.run_until_cancelled(classes::run(&catch_up)),
            stop.run_until_cancelled(retention),
        );
    }

    fn volumes(&self, term: Term) -> Volumes {
        let Provisioner {
            cluster,
            storage,
            us,
            metrics,
            tasks: _,
        } = self.provisioner.clone();
        Volumes {
            cluster,
            storage,
            us,
            defaults: self.defaults.clone(),
            events: self.events.clone(),
            metrics,
            delete_nested: self.delete_nested,
            term,
            outages: self.outages.clone(),
            gates: Gates::new(PARALLEL),
            gates_out: Gates::new(PARALLEL),
            grace: Grace::default(),
            pauses: Pauses::default(),
            silence: Silence::default(),
            binder: self.binder,
            orphan_grace: self.orphan_grace,
            retention_interval: self.retention_interval,
        }
    }

    fn catch_up(&self, term: Term) -> CatchUp {
        CatchUp {
            provisioner: self.provisioner.clone(),
            defaults: self.defaults.clone(),
            events: self.events.clone(),
            outages: self.outages.clone(),
            gates: Gates::new(CATCHING_UP),
            pauses: Pauses::default(),
            term,
        }
    }
}

async fn look_after(volumes: Arc<Volumes>, stop: CancellationToken) {
    let cluster = volumes.cluster.clone();
    let (of_volumes, of_claims) = (Arc::clone(&volumes), Arc::clone(&volumes));
    let due = cluster
        .volumes
        .events()
        .filter(move |volume| ready(of_volumes.is_due(volume)));
    let back = backlog::volumes(&volumes);
    Controller::for_shared_stream(due, cluster.volumes.store().clone())
        .watches_shared_stream(cluster.claims.events(), move |claim: Arc<KeptClaim>| {
            let store = of_claims.cluster.volumes.store();
            let mut concerned = concerned(&claim, store);
            concerned.retain(|volume| store.get(volume).is_some_and(|volume| of_claims.is_due(&volume)));
            concerned
        })
        .reconcile_on(back)
        // The gates limit what runs at once.
        .with_config(controller::Config::default().concurrency(0))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            turn,
            |volume: Arc<KeptVolume>, failure, volumes: Arc<Volumes>| volumes.failed(volume.read(), failure),
            volumes,
        )
        // A failure was told by `failed`.
        .for_each(async |_| ())
        .await;
}

async fn turn(volume: Arc<KeptVolume>, volumes: Arc<Volumes>) -> Result<Action, Failure> {
    // Thousands may wait here, so what comes after is on the heap, and made when it begins.
    let _pass = volumes.enter(&volume).await?;
    let Some(volume) = volumes.cluster.volumes.get(&ObjectRef::from(&*volume)) else {
        // It went meanwhile.
        return Ok(Action::await_change());
    };
    Box::pin(take_turn(volume, Arc::clone(&volumes))).await
}

async fn take_turn(kept: Arc<KeptVolume>, volumes: Arc<Volumes>) -> Result<Action, Failure> {
    let volume = kept.read();
    let claim = volume
        .claim
        .as_ref()
        .map(|claim| format!("{}/{}", claim.namespace, claim.name));
    let span = tracing::info_span!("turn", volume = volume.name, claim);
    let step = async {
        if volumes.take_over(&kept).await? {
            return Ok(Action::await_change());
        }
        volumes.step(volume).await
    };
    let next = step.instrument(span).await?;
    volumes.pauses.end(&volume.name);
    Ok(next)
}

impl Volumes {
    /// Whether there is anything to do for a volume, as far as the watch knows: of ten thousand that are settled, nobody
    /// takes a turn.
    fn is_due(&self, kept: &KeptVolume) -> bool {
        let volume = kept.read();
        let is_settled = plan(volume, Holder::Unknown, &self.us) == Plan::Leave
            && self.completes(volume).is_none()
            && !self.may_take_over(kept);
        if is_settled {
            self.grace.end(volume);
        }
        !is_settled
    }

    /// Waits for the volume's turn among those of its server.
    async fn enter(&self, volume: &KeptVolume) -> Result<Pass, Failure> {
        let server = volume.server().unwrap_or_default();
        let meta = volume.meta();
        let (gates, since) = match &meta.deletion_timestamp {
            Some(deleted) => (&self.gates_out, Some(deleted)),
            None => (&self.gates, meta.creation_timestamp.as_ref()),
        };
        let turn = gates.enter(server, since.map(|since| since.0));
        self.term.stop.run_until_cancelled(turn).await.ok_or(Failure::Stopping)
    }

    async fn step(&self, volume: &Volume) -> Result<Action, Failure> {
        let next = self.plan(volume).await?;
        self.may_act()?;
        match next {
            (Plan::Bind { .. }, Some(claim)) => self.bind_live(&volume.name, &claim).await?,
            (Plan::Undo(difference), Some(claim)) => self.undo(volume, &claim, &difference).await?,
            (Plan::Broken(wrong), _) => return Err(Failure::Broken(wrong)),
            (Plan::MarkDeleted, _) => {
                fence::delete(&self.api(), volume).await?;
                crash::point(Point::MarkedDeleted);
            }
            (Plan::Orphan, _) if self.grace.left(volume, self.orphan_grace).is_none() => {
                self.remove_orphan(volume).await?;
            }
            (Plan::Orphan | Plan::Waits, _) => {
                let left = self.grace.left(volume, self.orphan_grace);
                return Ok(Action::requeue(left.unwrap_or(self.orphan_grace)));
            }
            (Plan::Dispose(_), _) => self.dispose_live(&volume.name).await?,
            (Plan::Leave, _) => return self.complete(volume).await,
            (Plan::LookAtClaim | Plan::Bind { .. } | Plan::Undo(_), _) => {}
        }
        Ok(Action::await_change())
    }

    /// Its claim was looked at live a moment ago. A call that uses the volume again changes its version, and this fails.
    async fn remove_orphan(&self, volume: &Volume) -> Result<(), Failure> {
        fence::delete(&self.api(), volume).await?;
        self.grace.end(volume);
        tracing::info!("no claim has asked for this volume: it is taken away");
        self.metrics.step("orphan");
        Ok(())
    }

    async fn bind_live(&self, name: &str, claim: &Claim) -> Result<(), Failure> {
        let Some(volume) = self.cluster.volume(name).await? else {
            return Ok(());
        };
        let Plan::Bind { record, difference } = plan(&volume, Holder::Here(claim), &self.us) else {
            // Its event follows.
            return Ok(());
        };
        self.bind(&volume, &record, claim).await?;
        self.tell_ignored(claim).await;
        if let Some(difference) = difference {
            self.tell_changed(&volume, claim, &difference);
        }
        Ok(())
    }

    /// Directories are touched on a live look at the volume only: the watch may be behind our own last step.
    async fn dispose_live(&self, name: &str) -> Result<(), Failure> {
        let Some(volume) = self.cluster.volume(name).await? else {
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

    /// Asked before every step that cannot be taken back: a replica that was paused may lead no more.
    fn may_act(&self) -> Result<(), Failure> {
        if self.term.holds() {
            Ok(())
        } else {
            Err(Failure::Stopping)
        }
    }

    /// When a call to an NFS server that starts now must have ended.
    fn soon() -> Instant {
        Instant::now() + STORAGE_CALL
    }
}

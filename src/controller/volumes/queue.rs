//! Which volume is due, and when it has its turn: what keeps the steps of one volume apart, and those of all in order.

use std::future::ready;
use std::sync::Arc;

use futures::StreamExt;
use kube::Resource;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::ObjectRef;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::triggers::concerned;
use crate::cluster::cache::{CachedClaim, CachedVolume};
use crate::controller::error::Failure;
use crate::controller::server_queue::Pass;
use crate::controller::{Volumes, waiting};
use crate::policy::reconcile::{Holder, Plan, plan};

/// Gives every volume that is due its turn, until `stop`; a step that is being carried out is brought to its end.
pub async fn run(volumes: Arc<Volumes>, stop: CancellationToken) {
    let cluster = volumes.cluster.clone();
    let (of_volumes, of_claims, of_waits) = (Arc::clone(&volumes), Arc::clone(&volumes), Arc::clone(&volumes));
    let due = cluster
        .volumes
        .events()
        .filter(move |volume| ready(of_volumes.is_due(volume)));
    let back = waiting::volumes(&volumes);
    Controller::for_shared_stream(due, cluster.volumes.store().clone())
        .watches_shared_stream(cluster.claims.events(), move |claim: Arc<CachedClaim>| {
            let store = of_claims.cluster.volumes.store();
            let mut concerned = concerned(&claim, store);
            concerned.retain(|volume| store.get(volume).is_some_and(|volume| of_claims.is_due(&volume)));
            concerned
        })
        .watches_shared_stream(cluster.volumes.events(), move |other: Arc<CachedVolume>| {
            of_waits.waits.end(&other)
        })
        .reconcile_on(back)
        // The gates limit what runs at once.
        .with_config(controller::Config::default().concurrency(0))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            turn,
            |volume: Arc<CachedVolume>, failure, volumes: Arc<Volumes>| volumes.failed(volume.read(), failure),
            volumes,
        )
        // A failure was told by `failed`.
        .for_each(async |_| ())
        .await;
}

async fn turn(volume: Arc<CachedVolume>, volumes: Arc<Volumes>) -> Result<Action, Failure> {
    // Thousands may wait here, so what comes after is on the heap, and made when it begins.
    let _pass = volumes.enter(&volume).await?;
    let Some(volume) = volumes.cluster.volumes.get(&ObjectRef::from(&*volume)) else {
        // It went meanwhile.
        return Ok(Action::await_change());
    };
    Box::pin(take_turn(volume, Arc::clone(&volumes))).await
}

async fn take_turn(kept: Arc<CachedVolume>, volumes: Arc<Volumes>) -> Result<Action, Failure> {
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
    fn is_due(&self, kept: &CachedVolume) -> bool {
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
    async fn enter(&self, volume: &CachedVolume) -> Result<Pass, Failure> {
        let server = volume.server().unwrap_or_default();
        let meta = volume.meta();
        let (gates, since) = match &meta.deletion_timestamp {
            Some(deleted) => (&self.gates_out, Some(deleted)),
            None => (&self.gates, meta.creation_timestamp.as_ref()),
        };
        let turn = gates.enter(server, since.map(|since| since.0));
        self.term.stop.run_until_cancelled(turn).await.ok_or(Failure::Stopping)
    }
}

//! One claim at a time on a cluster that does nothing else: from its creation until it is bound, Bindery's and the peer's
//! in turn.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{WatchEvent, WatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::bed::Bed;
use crate::burst::version;
use crate::peer;
use crate::place::Place;
use crate::table::{Expected, Table, Unit};
use crate::times::Times;

/// Claims of each.
const CLAIMS: u32 = 40;
/// Between two: everybody's allowance of requests is back by then.
const REST: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures both.
pub async fn measure(client: &Client, table: &mut Table) -> Result<()> {
    let place = Place::new(client, "single").await?;
    let ours = place.class("ours", &Bed::get().provisioner, json!({})).await?;
    let peers = place.class("peers", peer::PROVISIONER, json!({})).await?;
    let mut times = [Times::new(), Times::new()];
    for turn in 0..=CLAIMS {
        for (times, (whose, class)) in times.iter_mut().zip([("ours", &ours), ("peers", &peers)]) {
            let took = one(&place, &format!("{whose}-{turn}"), class).await?;
            // The first opens connections.
            if turn > 0 {
                times.push(took);
            }
            sleep(REST).await;
        }
    }
    let mut part = table.part("One claim at a time on an idle cluster, 40 of each: create to bound");
    for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
        let [ours, peers] = [times[0].quantile(share), times[1].quantile(share)];
        part.note(name, ours, Unit::Ms);
        part.note("  the peer", peers, Unit::Ms);
        part.expect(
            "  the one by the other",
            ours / peers,
            Unit::Ratio,
            Expected::AtMost(1.0),
        );
    }
    Ok(())
}

async fn one(place: &Place, name: &str, class: &str) -> Result<Duration> {
    let claims = place.claims();
    let from = version(&claims).await?;
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = claims.watch(&only, &from).await?.boxed();
    let began = Instant::now();
    place.create(name, class).await?;
    loop {
        let event = timeout(PATIENCE, events.next()).await;
        let event = event.with_context(|| format!("claim {name} is not bound after {PATIENCE:?}"))?;
        if let WatchEvent::Added(claim) | WatchEvent::Modified(claim) = event.context("the watch ended")?? {
            match phase(&claim) {
                Some("Bound") => return Ok(began.elapsed()),
                phase => ensure!(phase != Some("Lost"), "claim {} was Lost", claim.name_any()),
            }
        }
    }
}

fn phase(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.status.as_ref()?.phase.as_deref()
}

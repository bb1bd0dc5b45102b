//! One claim at a time on an idle cluster: the time from its creation until it is bound, for Bindery and the peer in turn.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::stream::select;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::bed::Bed;
use crate::burst::version;
use crate::peer;
use crate::place::Place;
use crate::table::{Expected, Table, Unit};
use crate::times::Times;

/// Claims of each provisioner.
const CLAIMS: u32 = 40;
/// The pause between two claims. After it, the rate limits of all clients have recovered from earlier requests.
const PAUSE: Duration = Duration::from_secs(1);
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The time of each step since the start of the create request.
#[derive(Default)]
struct Steps {
    created: Duration,
    uid_written: Option<Duration>,
    volume_bound: Option<Duration>,
    bound: Duration,
}

/// Measures both provisioners.
pub async fn measure(client: &Client, table: &mut Table) -> Result<()> {
    let place = Place::new(client, "single").await?;
    let ours = place.class("ours", &Bed::get().provisioner, json!({})).await?;
    let peers = place.class("peers", peer::PROVISIONER, json!({})).await?;
    // A watch closes its connection when it ends. With a client of their own, create requests never wait for a new one.
    let watching = Bed::get().admin().await;
    let mut steps = [Vec::new(), Vec::new()];
    for turn in 0..=CLAIMS {
        for (steps, (whose, class)) in steps.iter_mut().zip([("ours", &ours), ("peers", &peers)]) {
            let took = one(&watching, &place, &format!("{whose}-{turn}"), class).await?;
            // The first claim opens connections.
            if turn > 0 {
                steps.push(took);
            }
            sleep(PAUSE).await;
        }
    }
    let bound = |steps: &[Steps]| steps.iter().map(|steps| steps.bound).collect::<Times>();
    let times = [bound(&steps[0]), bound(&steps[1])];
    let mut part = table.part("One claim at a time on an idle cluster, 40 of each: create until bound");
    for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
        let [ours, peers] = [times[0].quantile(share), times[1].quantile(share)];
        part.note(name, ours, Unit::Ms);
        part.note("  the peer", peers, Unit::Ms);
        part.expect("  ratio", ours / peers, Unit::Ratio, Expected::AtMost(1.0));
    }
    let mut part = table.part("Steps of that time, seen by a watch: p50 since the start of the create request");
    for (steps, whose) in steps.iter().zip(["", " (peer)"]) {
        let p50 = |step: &dyn Fn(&Steps) -> Option<Duration>| steps.iter().filter_map(step).collect::<Times>().median();
        part.note(
            format!("the create request has returned{whose}"),
            p50(&|steps| Some(steps.created)),
            Unit::Ms,
        );
        part.note(
            format!("the volume names the claim's uid{whose}"),
            p50(&|steps| steps.uid_written),
            Unit::Ms,
        );
        part.note(
            format!("the volume is volume_bound Bound{whose}"),
            p50(&|steps| steps.volume_bound),
            Unit::Ms,
        );
        part.note(
            format!("the claim is Bound{whose}"),
            p50(&|steps| Some(steps.bound)),
            Unit::Ms,
        );
    }
    Ok(())
}

enum Seen {
    Claim(Box<PersistentVolumeClaim>),
    Volume(Box<PersistentVolume>),
}

async fn one(watching: &Client, place: &Place, name: &str, class: &str) -> Result<Steps> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(watching.clone(), place.name);
    let volumes: Api<PersistentVolume> = Api::all(watching.clone());
    let (since, all) = (version(&volumes).await?, WatchParams::default());
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    let claims = claims
        .watch(&only, &since)
        .await?
        .map_ok(|event| object_of(event).map(|claim| Seen::Claim(Box::new(claim))));
    let volumes = volumes
        .watch(&all, &since)
        .await?
        .map_ok(|event| object_of(event).map(|volume| Seen::Volume(Box::new(volume))));
    let mut events = std::pin::pin!(select(claims, volumes));
    let (mut steps, began) = (Steps::default(), Instant::now());
    place.create(name, class).await?;
    steps.created = began.elapsed();
    loop {
        let event = timeout(TIME_LIMIT, events.next()).await;
        let event = event.with_context(|| format!("claim {name} is not bound after {TIME_LIMIT:?}"))?;
        let now = began.elapsed();
        match event.context("the watch ended")?? {
            Some(Seen::Claim(claim)) => match phase(&claim) {
                Some("Bound") => {
                    steps.bound = now;
                    return Ok(steps);
                }
                phase => ensure!(phase != Some("Lost"), "claim {name} was Lost"),
            },
            Some(Seen::Volume(volume)) => {
                let claim_ref = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
                let Some(claim_ref) = claim_ref.filter(|claim_ref| claim_ref.name.as_deref() == Some(name)) else {
                    continue;
                };
                steps.uid_written = steps.uid_written.or(claim_ref.uid.as_ref().map(|_| now));
                let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
                steps.volume_bound = steps.volume_bound.or((phase == Some("Bound")).then_some(now));
            }
            None => {}
        }
    }
}

fn object_of<K>(event: WatchEvent<K>) -> Option<K> {
    match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => Some(object),
        _ => None,
    }
}

fn phase(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.status.as_ref()?.phase.as_deref()
}

//! Claims of one NFS server while another one hangs.
//!
//! The measured claims are created one at a time, in four alternating rounds. At the same time, claims of another class are
//! created: in one kind of round its server works, in the other kind its server accepts connections and never answers. The
//! load is the same in both. The first claims of the hung server wait until their deadline. After that, Bindery has
//! detected that the server hangs.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, stream};
use kube::Client;
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::bed::Bed;
use crate::place::Place;
use crate::table::{Expected, Table, Unit};
use crate::times::Times;

/// Claims in a round. There are two rounds of each kind.
const CLAIMS: u32 = 60;
/// The number of claims of the other class that are created in parallel.
const PARALLEL: usize = 8;
/// The pause between two claims of the other class.
const PAUSE: Duration = Duration::from_secs(1);
/// The address of the hung server.
const HUNG_SERVER: &str = "127.0.2.49";

/// Measures both kinds.
pub async fn measure(client: &Client, table: &mut Table) -> Result<()> {
    // The kernel accepts connections, and no process reads from them.
    let _hung = TcpListener::bind((HUNG_SERVER, 2049)).context(HUNG_SERVER)?;
    let place = Place::new(client, "outage").await?;
    let provisioner = &Bed::get().provisioner;
    let ours = place.class("ours", provisioner, json!({})).await?;
    let works = place.class("works", provisioner, json!({})).await?;
    let hangs = place
        .class("hangs", provisioner, json!({"server": HUNG_SERVER}))
        .await?;
    place.warm_up(PARALLEL).await?;
    create(&place, "warm-up", 20, &ours).await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..2 {
        without.extend(create_during(&place, &format!("without-{round}"), &ours, &works).await?);
        with.extend(create_during(&place, &format!("with-{round}"), &ours, &hangs).await?);
    }
    let (without, with): (Times, Times) = (without.into_iter().collect(), with.into_iter().collect());
    let mut part = table.part("Creating a claim while another NFS server hangs, 120 claims each");
    for (quantile, name, expected) in [(0.5, "p50", 1.25), (0.99, "p99", 2.0)] {
        let (without, with) = (without.quantile(quantile), with.quantile(quantile));
        part.note(format!("while the other server works, {name}"), without, Unit::Ms);
        part.note(format!("while the other server hangs, {name}"), with, Unit::Ms);
        let ratio = format!("  ratio, {name}");
        part.expect(ratio, with / without, Unit::Ratio, Expected::AtMost(expected));
    }
    Ok(())
}

/// Measures claims of `class` while claims of `other` are created at a constant rate.
async fn create_during(place: &Place, prefix: &str, class: &str, other: &str) -> Result<Vec<Duration>> {
    let stop = CancellationToken::new();
    let others = stream::iter(0..PARALLEL).for_each_concurrent(None, |lane| {
        let stop = stop.clone();
        async move {
            for turn in 0.. {
                let name = format!("{prefix}-other-{lane}-{turn}");
                // The results are ignored: these claims are only load.
                let create = async {
                    let _ = place.create(&name, other).await;
                    sleep(PAUSE).await;
                };
                if stop.run_until_cancelled(create).await.is_none() {
                    return;
                }
            }
        }
    });
    let measured = async {
        let times = create(place, prefix, CLAIMS, class).await;
        stop.cancel();
        times
    };
    tokio::join!(measured, others).0
}

async fn create(place: &Place, prefix: &str, claims: u32, class: &str) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for turn in 0..claims {
        let name = format!("{prefix}-{turn}");
        let (took, volume) = place.create(&name, class).await?;
        volume.with_context(|| format!("claim {name} came back without a volume"))?;
        times.push(took);
    }
    Ok(times)
}

//! `make bench`: how fast Bindery is and how little it needs, on a real Kubernetes API server and a real NFS server.
//!
//! | part | what is measured, and how |
//! |---|---|
//! | `process` | the size of the binary; the time from a start to the first yes of `/readyz`; resident memory at rest |
//! | `heap` | what a review allocates, and what is kept of a volume and of a claim |
//! | `burst` | 100 claims, 16 at a time: until all are bound, and whether one was ever `Lost`; until all are gone again; Bindery and the [`peer`] in turn ([`race`]) |
//! | `fast` | the same with a controller manager that may do more ([`kcm`]) |
//! | `many` | 1,000 claims beside 100 |
//! | `alone` | the webhook alone, on one processor, its API server a stub: reviews a second ([`alone`]) |
//! | `tree` | a directory with 10,000 files that goes with its claim, beside Linux's own client and round trips alone |
//! | `trees` | directories with 100,000 files that go with their claim: how fast, and the most memory that it took |
//! | `admission` | what the webhook adds to creating a claim, and whom a review waits for |
//! | `single` | one claim at a time, until it is bound; Bindery and the peer in turn |
//! | `volumes` | creating a claim, the start and memory where 10,000 volumes are |
//! | `attack` | creating a claim while somebody else holds 500 connections to the webhook |
//! | `outage` | creating a claim while another server hangs, beside the same without |
//!
//! All of it on one bed, in that order: the last parts leave hundreds of claims to bind, which would disturb the others.
//! The bed shares the machine with this program, so figures are those of a small machine under load. Claims are created
//! by an administrator, whom the API server's priority and fairness lets pass; Bindery's calls have no such privilege.
//!
//! A figure that falls short is shown and nothing more. A wrong result (a claim without a volume, a directory that is
//! left, a claim that was `Lost`) ends the run with an error, after the table.
//!
//! Bursts are run `RUNS` times (3); their figures are medians, with the least and the most.

mod admin_port;
mod admission;
mod alone;
mod attack;
#[path = "../tests/support/bed.rs"]
#[allow(dead_code)]
mod bed;
mod burst;
mod driver;
mod heap;
mod kcm;
mod outage;
mod peer;
mod place;
mod process;
mod race;
mod single;
mod started;
mod stub;
mod table;
mod times;
mod tree;
mod trees;
mod volumes;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::Client;
use serde_json::json;

use crate::bed::Bed;
use crate::peer::Peer;
use crate::table::Table;

/// For everything. A bed that needs longer is broken.
const PATIENCE: Duration = Duration::from_hours(1);

#[tokio::main]
async fn main() -> Result<()> {
    let began = Instant::now();
    let client = Bed::get().admin().await;
    let version = client.apiserver_version().await?.git_version;
    let cores = std::thread::available_parallelism()?;
    println!("\n  Kubernetes {version}, {cores} processors for all of the bed\n");

    let mut table = Table::default();
    let measured = tokio::time::timeout(PATIENCE, measure(&client, &mut table)).await;
    print!("\n{}", table.text());
    let on = json!({
        "kubernetes": version,
        "processors": cores,
        "at": jiff::Timestamp::now().to_string(),
    });
    let file = target().join("bench.json");
    table.write(&file, on)?;
    println!("\n  {} s; also in {}\n", began.elapsed().as_secs(), file.display());
    measured.with_context(|| format!("not done after {PATIENCE:?}"))?
}

/// The parts that the arguments name; without any, all.
async fn measure(client: &Client, table: &mut Table) -> Result<()> {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let named = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let wanted = |part: &str| {
        let wanted = named(part);
        if wanted {
            println!("  measuring {part} ...");
        }
        wanted
    };
    let runs: u32 = match std::env::var("RUNS") {
        Ok(runs) => runs.parse().context("RUNS")?,
        Err(_) => 3,
    };
    if wanted("process") {
        process::measure(client, table).await?;
    }
    if wanted("heap") {
        heap::measure(table)?;
    }
    if ["burst", "fast", "single"].into_iter().any(named) {
        let peer = Peer::start(client).await?;
        if wanted("single") {
            single::measure(client, table).await?;
        }
        if wanted("burst") {
            race::stock(client, &peer, table, runs).await?;
        }
        if wanted("fast") {
            race::fast(client, table, runs).await?;
        }
    }
    if wanted("many") {
        race::many(client, table, runs).await?;
    }
    if wanted("alone") {
        alone::measure(table, runs).await?;
    }
    if wanted("tree") {
        tree::measure(client, table, runs).await?;
    }
    if wanted("trees") {
        trees::measure(client, table).await?;
    }
    if wanted("admission") {
        admission::measure(client, table).await?;
    }
    if wanted("attack") {
        attack::measure(client, table).await?;
    }
    if wanted("outage") {
        outage::measure(client, table).await?;
    }
    // Its volumes stay, and thousands of them weigh on everybody.
    if wanted("volumes") {
        volumes::measure(client, table).await?;
    }
    Ok(())
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    let moved = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    moved.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"))
}

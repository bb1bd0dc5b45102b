//! `make bench`: measures speed and memory of Bindery, on a real Kubernetes API server and a real NFS server.
//!
//! | part | what is measured, and how |
//! |---|---|
//! | `process` | size of the binary; time from the start until `/readyz` returns 200; resident memory when idle |
//! | `heap` | memory that a review allocates, and memory per cached volume and claim |
//! | `burst` | 100 claims, 16 at a time: time until all are bound and until all are deleted again; whether one was ever `Lost`; Bindery and the [`peer`] in turn ([`race`]) |
//! | `fast` | the same with higher limits of kube-controller-manager ([`kcm`]) |
//! | `many` | 1,000 claims compared with 100 |
//! | `alone` | only the webhook, on one processor, with a stub as API server: reviews per second ([`alone`]) |
//! | `tree` | deletion of a directory with 10,000 files, compared with `rm -rf` on a Linux NFS mount and with a lower bound |
//! | `trees` | deletion of directories with 100,000 files: files per second, and peak memory |
//! | `usage` | measuring the space of a volume with a million files: files per second, and memory |
//! | `admission` | time that the webhook adds to the creation of a claim, and what a review waits for |
//! | `single` | one claim at a time: time until it is bound; Bindery and the peer in turn |
//! | `volumes` | creation of a claim, start and memory in a cluster with 10,000 volumes |
//! | `attack` | creation of a claim while another client holds 500 connections to the webhook open |
//! | `outage` | creation of a claim while another NFS server hangs, compared with the same without |
//!
//! All parts run on one test bed, in this order: the last parts leave hundreds of claims to bind, which would disturb
//! the others. The bed runs on the same machine as this program, so the figures are those of a small machine under
//! load. Claims are created by an administrator, who is exempt from API Priority and Fairness; Bindery's requests are
//! not.
//!
//! A figure that misses its target is only shown. A wrong result (a claim without a volume, a directory that is left, a
//! claim that was `Lost`) ends the run with an error, after the table.
//!
//! Bursts run `RUNS` times (default 3). Their figures are medians, with minimum and maximum.

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
mod restore;
mod single;
mod started;
mod stub;
mod table;
mod times;
mod tree;
mod trees;
mod usage;
mod volumes;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::Client;
use serde_json::json;

use crate::bed::Bed;
use crate::peer::Peer;
use crate::table::Table;

/// Time limit for all parts.
const TIME_LIMIT: Duration = Duration::from_hours(1);

#[tokio::main]
async fn main() -> Result<()> {
    let began = Instant::now();
    let client = Bed::get().admin().await;
    let version = client.apiserver_version().await?.git_version;
    let cores = std::thread::available_parallelism()?;
    println!("\n  Kubernetes {version}; {cores} processors for cluster, NFS server, Bindery and this program");
    println!("  The peer: a provisioner with the library sig-storage-lib-external-provisioner, on the same cluster\n");

    let mut table = Table::default();
    let measured = tokio::time::timeout(TIME_LIMIT, measure(&client, &mut table)).await;
    print!("\n{}", table.text());
    let on = json!({
        "kubernetes": version,
        "processors": cores,
        "at": jiff::Timestamp::now().to_string(),
    });
    let file = target().join("bench.json");
    table.write(&file, on)?;
    println!(
        "\n  Took {} s. The figures as JSON: {}\n",
        began.elapsed().as_secs(),
        file.display()
    );
    measured.with_context(|| format!("the measurements did not end within {TIME_LIMIT:?}"))?
}

/// Measures the parts that the arguments name. Without arguments, measures all parts.
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
        Ok(runs) => runs.parse().context("RUNS must be a whole number")?,
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
    if wanted("usage") {
        tokio::task::block_in_place(|| usage::measure(table))?;
    }
    if wanted("admission") {
        admission::measure(client, table).await?;
    }
    if wanted("attack") {
        attack::measure(client, table).await?;
    }
    if wanted("restore") {
        restore::measure(client, table).await?;
    }
    if wanted("outage") {
        outage::measure(client, table).await?;
    }
    // This part is the last one, because its thousands of volumes are not removed and slow down everything after it.
    if wanted("volumes") {
        volumes::measure(client, table).await?;
    }
    Ok(())
}

/// Returns the target directory of cargo.
fn target() -> PathBuf {
    let moved = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    moved.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"))
}

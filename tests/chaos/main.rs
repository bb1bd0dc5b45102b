//! `make chaos`: users create and delete claims while all processes are killed, paused and restarted at random. Then the
//! faults stop, and the program checks that no data is lost and that no object or directory is left over.
//!
//! Users also get archives back, and check the files in them.
//!
//! An administrator works at the same time: static volumes are created for directories of claims, and `retain` is set
//! while a directory is being removed. One class names the NFS server by another address.
//!
//! Two replicas of Bindery, the NFS server, the API server, etcd and kube-controller-manager fail, each by its own
//! schedule. All schedules are computed from one seed. The same `SEED` repeats operations and faults at the same times.
//! Their results differ, because the timing of the processes differs. `MINUTES` is the duration of the faults.

mod admin;
mod alias;
#[path = "../support/bed.rs"]
#[allow(dead_code)]
mod bed;
mod invariants;
mod operations;
mod processes;
mod random;
mod schedule;
mod setup;
mod tally;
mod tenants;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::time::{sleep, timeout};

use crate::bed::Bed;
use crate::operations::Users;
use crate::processes::Process;
use crate::schedule::{Part, Schedule};
use crate::tally::Tally;
use crate::tenants::Tenants;

/// Time limit after the last fault until all invariants hold. Bindery's longest pause between two attempts is 1 minute.
const INVARIANTS_LIMIT: Duration = Duration::from_mins(4);
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Additional time for the last operations and faults.
const EXTRA_TIME: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> Result<()> {
    let seed = match std::env::var("SEED").ok().filter(|seed| !seed.is_empty()) {
        Some(seed) => seed.parse().context("SEED must be a whole number")?,
        None => u64::from(uuid::Uuid::new_v4().as_fields().0),
    };
    let minutes: f64 = match std::env::var("MINUTES").ok().filter(|minutes| !minutes.is_empty()) {
        Some(minutes) => minutes.parse().context("MINUTES must be a number")?,
        None => 1.0,
    };
    let length = Duration::try_from_secs_f64(minutes * 60.0).context("MINUTES must be positive and not too large")?;
    println!(
        "\n  SEED={seed} MINUTES={minutes}: run again with these values for the same operations and faults; timing differs\n"
    );
    let tally = Arc::new(Tally::default());
    let ran = run(seed, length, &tally).await;
    println!("\n{}", tally.text());
    ran.with_context(|| format!("SEED={seed} MINUTES={minutes}"))?;
    let findings = tally.findings();
    if findings.is_empty() {
        println!("  Passed: no data is lost, and nothing is left over (SEED={seed})\n");
        return Ok(());
    }
    for finding in &findings {
        println!("  FINDING: {finding}");
    }
    bail!(
        "failed with {} findings (SEED={seed} MINUTES={minutes})",
        findings.len()
    );
}

async fn run(seed: u64, length: Duration, tally: &Arc<Tally>) -> Result<()> {
    let bed = Bed::get();
    let client = bed.admin().await;
    let (first, first_url) = Process::replica(Part::First, Arc::clone(tally))?;
    let (second, second_url) = Process::replica(Part::Second, Arc::clone(tally))?;
    let mut processes = vec![first, second];
    for (part, name) in [
        (Part::Nfs, "nfs"),
        (Part::ApiServer, "apiserver"),
        (Part::Etcd, "etcd"),
        (Part::ControllerManager, "kcm"),
    ] {
        processes.push(Process::of_the_bed(part, name, Arc::clone(tally))?);
    }
    let alias = alias::start(&bed.server).await?;
    setup::set(&client, [&first_url, &second_url], &alias).await?;

    let schedule = Schedule::new(seed, length);
    let faults = processes::count(&schedule.faults);
    println!("  planned: {} operations; faults: {faults}", schedule.operations.len());
    let tenants = Arc::new(Tenants::default());
    let began = Instant::now();
    // The processes are kept running after their last fault.
    let mut processes_and_tenants = tokio::task::JoinSet::new();
    for process in processes {
        let part = process.part();
        let its = schedule.faults.iter().filter(|fault| fault.part == part).copied();
        processes_and_tenants.spawn(process.inject(its.collect(), began));
    }
    processes_and_tenants.spawn(Arc::clone(&tenants).run(client.clone(), Arc::clone(tally)));
    let users = Users {
        first: client.clone(),
        second: bed.admin_as(setup::SECOND_USER).await,
        tally: Arc::clone(tally),
        tenants: Arc::clone(&tenants),
        alias,
    };
    let work = async {
        users.work(&schedule.operations, began).await?;
        let over = schedule.faults.iter().map(|fault| fault.at + fault.duration).max();
        tokio::time::sleep_until((began + over.unwrap_or_default()).into()).await;
        println!(
            "  after {} s: no more operations and faults; waiting until all invariants hold",
            began.elapsed().as_secs()
        );
        let rest = Instant::now();
        until_invariants_hold(&client, &tenants, tally).await?;
        println!("  all invariants hold, {} s later", rest.elapsed().as_secs());
        Ok(())
    };
    tokio::select! {
        done = timeout(length + EXTRA_TIME + INVARIANTS_LIMIT + EXTRA_TIME, work) => done.context("the run did not end in time")?,
        () = report(tally, began) => bail!("the progress report ended"),
        Some(ended) = processes_and_tenants.join_next() => bail!("a process cannot be kept running: {ended:?}"),
    }
}

/// Prints the progress once per minute.
async fn report(tally: &Tally, began: Instant) {
    loop {
        sleep(Duration::from_mins(1)).await;
        println!("  after {} s: {}", began.elapsed().as_secs(), tally.progress());
    }
}

/// Waits until all invariants hold. Violations that remain at the time limit are findings.
async fn until_invariants_hold(client: &Client, tenants: &Tenants, tally: &Tally) -> Result<()> {
    let began = Instant::now();
    let (mut quiet, mut before) = (0, 0);
    loop {
        let violations = match timeout(INVARIANTS_LIMIT, invariants::violations(client, tenants)).await? {
            Ok(violations) => violations,
            // The API server may still be starting, and directories may disappear while they are read.
            Err(error) if began.elapsed() < INVARIANTS_LIMIT => vec![format!("the state cannot be read: {error:#}")],
            Err(error) => return Err(error),
        };
        quiet = if violations.is_empty() { quiet + 1 } else { 0 };
        // The invariants must hold three times in a row, because late NFS calls may still have an effect.
        if quiet == 3 {
            return Ok(());
        }
        if violations.len() != before {
            before = violations.len();
            if let Some(first) = violations.first() {
                println!("  {before} violations, the first: {first}");
            }
        }
        if began.elapsed() > INVARIANTS_LIMIT {
            for what in violations {
                tally.finding(what);
            }
            return explain(client).await;
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Prints the Events of claims that are not bound.
async fn explain(client: &Client) -> Result<()> {
    for slot in invariants::waiting(client).await? {
        let events: Api<Event> = Api::namespaced(client.clone(), &slot.namespace);
        let about = ListParams::default().fields(&format!("involvedObject.name={}", slot.name));
        for event in events.list(&about).await? {
            println!(
                "  {}/{}: {} {}",
                slot.namespace,
                slot.name,
                event.reason.unwrap_or_default(),
                event.message.unwrap_or_default()
            );
        }
    }
    Ok(())
}

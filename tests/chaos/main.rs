//! `make chaos`: users who create and delete claims while everything that serves them is killed, paused and started again
//! at random; then all is left alone, and nothing may be lost and nothing left over. An administrator works there, too: some
//! volumes are made by hand for directories that claims use, and `retain` is set while a directory is being removed. One class
//! names the NFS server by another address.
//!
//! Two replicas of Bindery, the NFS server, the API server, etcd and the controller manager fail, each by a timetable of its
//! own, all of them drawn from one seed. `SEED` replays operations and faults at the same times; what they meet differs, since processes
//! take their own time. `MINUTES` is how long that goes on.

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

/// For everything to come to rest. The longest pause between two tries is a minute.
const REST: Duration = Duration::from_mins(4);
const LOOK: Duration = Duration::from_secs(1);
/// The last operations and faults that began in time come to their end.
const LAST: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> Result<()> {
    let seed = match std::env::var("SEED").ok().filter(|seed| !seed.is_empty()) {
        Some(seed) => seed.parse().context("SEED is a number")?,
        None => u64::from(uuid::Uuid::new_v4().as_fields().0),
    };
    let minutes: f64 = match std::env::var("MINUTES").ok().filter(|minutes| !minutes.is_empty()) {
        Some(minutes) => minutes.parse().context("MINUTES is a number")?,
        None => 1.0,
    };
    let length = Duration::try_from_secs_f64(minutes * 60.0).context("MINUTES")?;
    println!(
        "\n  SEED={seed} MINUTES={minutes}: the same again draws the same operations and faults; timing differs\n"
    );
    let tally = Arc::new(Tally::default());
    let ran = run(seed, length, &tally).await;
    println!("\n{}", tally.text());
    ran.with_context(|| format!("SEED={seed} MINUTES={minutes}"))?;
    let findings = tally.findings();
    if findings.is_empty() {
        println!("  nothing was lost, and nothing is left over (SEED={seed})\n");
        return Ok(());
    }
    for finding in &findings {
        println!("  finding: {finding}");
    }
    bail!("{} findings, SEED={seed} MINUTES={minutes}", findings.len());
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
    println!("  {} operations, faults {faults:?}", schedule.operations.len());
    let tenants = Arc::new(Tenants::default());
    let began = Instant::now();
    // They live on when the faults are over.
    let mut suffering = tokio::task::JoinSet::new();
    for process in processes {
        let part = process.part();
        let its = schedule.faults.iter().filter(|fault| fault.part == part).copied();
        suffering.spawn(process.suffer(its.collect(), began));
    }
    suffering.spawn(Arc::clone(&tenants).live(client.clone(), Arc::clone(tally)));
    let users = Users {
        first: client.clone(),
        second: bed.admin_called(setup::SECOND_USER).await,
        tally: Arc::clone(tally),
        tenants: Arc::clone(&tenants),
        alias,
    };
    let work = async {
        users.work(&schedule.operations, began).await?;
        let over = schedule.faults.iter().map(|fault| fault.at + fault.lasts).max();
        tokio::time::sleep_until((began + over.unwrap_or_default()).into()).await;
        println!("  all is left alone after {} s", began.elapsed().as_secs());
        let rest = Instant::now();
        come_to_rest(&client, &tenants, tally).await?;
        println!("  all has come to rest after {} s more", rest.elapsed().as_secs());
        Ok(())
    };
    tokio::select! {
        done = timeout(length + LAST + REST + LAST, work) => done.context("the run does not end")?,
        () = tell(tally, began) => bail!("telling goes on for ever"),
        Some(ended) = suffering.join_next() => bail!("a part cannot be kept running: {ended:?}"),
    }
}

/// Tells now and then how far it has come.
async fn tell(tally: &Tally, began: Instant) {
    loop {
        sleep(Duration::from_mins(1)).await;
        println!("  after {} s: {}", began.elapsed().as_secs(), tally.progress());
    }
}

/// Waits until everything is as it should be. What is not, when the time is over, is a finding.
async fn come_to_rest(client: &Client, tenants: &Tenants, tally: &Tally) -> Result<()> {
    let began = Instant::now();
    let (mut quiet, mut before) = (0, 0);
    loop {
        let broken = match timeout(REST, invariants::broken(client, tenants)).await? {
            Ok(broken) => broken,
            // The API server may just be coming back, and directories come and go under a look.
            Err(error) if began.elapsed() < REST => vec![format!("cannot be looked at: {error:#}")],
            Err(error) => return Err(error),
        };
        quiet = if broken.is_empty() { quiet + 1 } else { 0 };
        // What a late call of somebody has still to do, it does now.
        if quiet == 3 {
            return Ok(());
        }
        if broken.len() != before {
            before = broken.len();
            if let Some(first) = broken.first() {
                println!("  {before} wait, the first: {first}");
            }
        }
        if began.elapsed() > REST {
            for what in broken {
                tally.finding(what);
            }
            return explain(client).await;
        }
        sleep(LOOK).await;
    }
}

/// What the users of claims that wait can read.
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

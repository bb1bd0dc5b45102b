//! Bursts of claims of Bindery and of the peer, in turn, on the same control plane.
//!
//! The peer's claims have another class. A ratio compares two consecutive bursts.

use anyhow::Result;
use kube::Client;
use serde_json::json;

use crate::bed::Bed;
use crate::burst::{AT_A_TIME, Bound, Burst, Gone};
use crate::kcm::{self, ControllerManager};
use crate::peer::{self, Peer};
use crate::place::Place;
use crate::process::WorkCost;
use crate::table::{Expected, Table, Unit};

/// Number of claims of a burst.
const CLAIMS: u32 = 100;
const MANY: u32 = 1_000;

/// A namespace, with a class of Bindery and one of the peer.
struct Contest {
    place: Place,
    ours: String,
    peers: String,
}

/// The results of a burst: creation and deletion.
struct BurstResult(Bound, Gone);

/// Measures with an unchanged kube-controller-manager. Also measures what the bursts cost Bindery's process.
pub async fn stock(client: &Client, peer: &Peer, table: &mut Table, runs: u32) -> Result<()> {
    let memory = peer.memory().await?;
    let mut results = Vec::new();
    let contest = Contest::new(client, "burst").await?;
    let mut work_cost = None;
    for _ in 0..runs {
        let peers_result = contest.run_burst(&contest.peers, CLAIMS, false).await?;
        // The processor time of the last burst is reported.
        work_cost = Some(WorkCost::begin()?);
        results.push((contest.run_burst(&contest.ours, CLAIMS, true).await?, peers_result));
    }
    if let Some(work_cost) = work_cost {
        work_cost.end(CLAIMS, table).await?;
    }
    table
        .part("The program after that")
        .note("the peer's memory, idle", memory, Unit::Megabytes);
    bound(
        table,
        "100 claims, 16 at a time, stock controller manager",
        &results,
        [Some(Expected::AtLeast(12.0)), Some(Expected::AtLeast(6.0))],
    );
    gone(
        table,
        "The same claims deleted, 16 at a time: volumes and directories gone",
        &results,
        Some(Expected::AtLeast(6.0)),
    );
    Ok(())
}

/// Measures with a kube-controller-manager that may send ten times as many requests.
pub async fn fast(client: &Client, table: &mut Table, runs: u32) -> Result<()> {
    let faster = ControllerManager::replace(client, "faster", &kcm::FAST).await?;
    let contest = Contest::new(client, "fast").await?;
    let mut results = Vec::new();
    for _ in 0..runs {
        let peers_result = contest.run_burst(&contest.peers, CLAIMS, false).await?;
        results.push((contest.run_burst(&contest.ours, CLAIMS, true).await?, peers_result));
    }
    bound(
        table,
        "100 claims, 16 at a time, controller manager with 200 requests a second",
        &results,
        [None, Some(Expected::AtLeast(20.0))],
    );
    gone(
        table,
        "These claims deleted, 16 at a time: volumes and directories gone",
        &results,
        None,
    );
    faster.restore(client, "slower").await
}

/// Compares the time per claim in bursts of 1,000 and of 100 claims.
pub async fn many(client: &Client, table: &mut Table, runs: u32) -> Result<()> {
    let contest = Contest::new(client, "many").await?;
    let mut results = Vec::new();
    for _ in 0..runs {
        let few = contest.run_burst(&contest.ours, CLAIMS, true).await?;
        results.push((contest.run_burst(&contest.ours, MANY, true).await?, few));
    }
    let each = |claims: u32, all: f64| 1000.0 * all / f64::from(claims);
    let runs = |figure: &dyn Fn(&BurstResult, &BurstResult) -> f64| {
        results.iter().map(|(many, few)| figure(many, few)).collect::<Vec<_>>()
    };
    let mut part = table.part("1,000 claims, 16 at a time, unchanged kube-controller-manager, compared with 100");
    part.runs("all bound", &runs(&|many, _| many.0.all), Unit::Seconds, None);
    part.runs(
        "bound per second",
        &runs(&|many, _| f64::from(MANY) / many.0.all),
        Unit::Rate,
        None,
    );
    part.runs(
        "time per claim",
        &runs(&|many, _| each(MANY, many.0.all)),
        Unit::Ms,
        None,
    );
    part.runs(
        "time per claim, with 100 claims",
        &runs(&|_, few| each(CLAIMS, few.0.all)),
        Unit::Ms,
        None,
    );
    let ratio = runs(&|many, few| each(MANY, many.0.all) / each(CLAIMS, few.0.all));
    part.runs("  ratio", &ratio, Unit::Ratio, Some(Expected::AtMost(1.0)));
    part.expect("claims that were ever Lost", 0.0, Unit::Count, Expected::AtMost(0.0));
    part.runs("all deleted", &runs(&|many, _| many.1.all), Unit::Seconds, None);
    part.runs(
        "  deleted per second",
        &runs(&|many, _| f64::from(MANY) / many.1.all),
        Unit::Rate,
        None,
    );
    Ok(())
}

impl Contest {
    async fn new(client: &Client, name: &'static str) -> Result<Self> {
        let place = Place::new(client, name).await?;
        let delete = json!({"onDelete": "delete"});
        let ours = place.class("ours", &Bed::get().provisioner, delete).await?;
        let delete = json!({"archiveOnDelete": "false"});
        let peers = place.class("peers", peer::PROVISIONER, delete).await?;
        place.warm_up(AT_A_TIME).await?;
        Ok(Self { place, ours, peers })
    }

    async fn run_burst(&self, class: &str, claims: u32, at_once: bool) -> Result<BurstResult> {
        let place = &self.place;
        let burst = Burst { place, class, claims };
        let bound = burst.bind(at_once).await?;
        let gone = burst.delete(&bound.volumes).await?;
        Ok(BurstResult(bound, gone))
    }
}

/// Adds the figures of binding: Bindery, the peer, and their ratio.
fn bound(
    table: &mut Table,
    name: &'static str,
    results: &[(BurstResult, BurstResult)],
    expected: [Option<Expected>; 2],
) {
    let ours = |figure: &dyn Fn(&Bound) -> f64| results.iter().map(|(ours, _)| figure(&ours.0)).collect::<Vec<_>>();
    let peers = |figure: &dyn Fn(&Bound) -> f64| results.iter().map(|(_, peer)| figure(&peer.0)).collect::<Vec<_>>();
    let rate = |bound: &Bound| f64::from(CLAIMS) / bound.all;
    let mut part = table.part(name);
    part.runs("all created", &ours(&|bound| bound.created), Unit::Seconds, None);
    part.runs("all bound", &ours(&|bound| bound.all), Unit::Seconds, None);
    part.runs("bound per second", &ours(&rate), Unit::Rate, expected[0]);
    part.runs("  the peer", &peers(&rate), Unit::Rate, None);
    let ratios: Vec<f64> = results
        .iter()
        .map(|(ours, peer)| rate(&ours.0) / rate(&peer.0))
        .collect();
    part.runs("  ratio", &ratios, Unit::Ratio, expected[1]);
    for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
        let time = |bound: &Bound| bound.times.quantile(share) / 1000.0;
        part.runs(format!("create until bound, {name}"), &ours(&time), Unit::Seconds, None);
        part.runs("  the peer", &peers(&time), Unit::Seconds, None);
    }
    // If a claim was Lost, the run has already failed.
    part.expect("claims that were ever Lost", 0.0, Unit::Count, Expected::AtMost(0.0));
}

/// Adds the same figures of deletion.
fn gone(table: &mut Table, name: &'static str, results: &[(BurstResult, BurstResult)], expected: Option<Expected>) {
    let ours = |figure: &dyn Fn(&Gone) -> f64| results.iter().map(|(ours, _)| figure(&ours.1)).collect::<Vec<_>>();
    let peers = |figure: &dyn Fn(&Gone) -> f64| results.iter().map(|(_, peer)| figure(&peer.1)).collect::<Vec<_>>();
    let rate = |gone: &Gone| f64::from(CLAIMS) / gone.all;
    let mut part = table.part(name);
    part.runs("all deleted", &ours(&|gone| gone.all), Unit::Seconds, None);
    part.runs("deleted per second", &ours(&rate), Unit::Rate, None);
    part.runs("  the peer", &peers(&rate), Unit::Rate, None);
    let ratios: Vec<f64> = results
        .iter()
        .map(|(ours, peer)| rate(&ours.1) / rate(&peer.1))
        .collect();
    part.runs("  ratio", &ratios, Unit::Ratio, expected);
    for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
        let time = |gone: &Gone| gone.times.quantile(share) / 1000.0;
        part.runs(format!("delete until gone, {name}"), &ours(&time), Unit::Seconds, None);
        part.runs("  the peer", &peers(&time), Unit::Seconds, None);
    }
}

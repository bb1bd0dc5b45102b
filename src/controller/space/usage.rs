//! Measures the space that volumes and archives use, in the background.
//!
//! For each server one tree is measured at a time, the one that waits longest first. After [`LONGEST_TURN`] the next tree has
//! its turn, and the first one continues later. The result is written to the object as an annotation, so that it survives
//! this process. A measurement that fails is tried again later; the old result stays.

use std::collections::{HashMap, VecDeque};
use std::iter;
use std::pin::pin;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::large::LargeTrees;
use super::pace::{ServerRate, YieldingPace};
use super::schedule::Schedule;
use super::targets::{Owner, Target};
use super::totals;
use crate::cluster::patch::{is_not_found, is_precondition_failed};
use crate::controller::context::storage_deadline;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::archive::Archive;
use crate::model::names::volume_annotation;
use crate::model::usage::Usage;
use crate::ops::metrics::Metrics;
use crate::ops::space_metrics::{Archives, Volumes};
use crate::provision::limit_of;
use crate::storage::{Measured, Measurement, Pace, Used};

/// The longest time between two looks for trees that are due. The metrics are set at the same time.
const LOOK: Duration = Duration::from_secs(5);
/// The longest time for which one tree is measured before the next tree of its server has its turn.
const LONGEST_TURN: Duration = Duration::from_mins(10);
/// The shortest turn, for a very short `--usage-interval`.
const SHORTEST_TURN: Duration = Duration::from_secs(2);
/// How often a measurement may fail in a row before it is given up until later.
const MAX_FAILURES: u32 = 3;
/// The pause after each failure.
const PAUSE: Duration = Duration::from_secs(5);

/// How a turn of a tree ends.
enum Turn {
    /// The result is written, or the tree is gone. Nothing is left to do until the next interval.
    Done,
    /// It failed.
    Failed,
    /// The time of the turn is over.
    Over(Measurement),
}

/// Measures the trees that are due. Never returns.
pub async fn run(leader: &Leader) {
    let interval = leader.ctx.options.usage_interval;
    if interval.is_zero() {
        return std::future::pending().await;
    }
    let _clear = ClearMetrics(&leader.ctx.metrics);
    let turn = interval.clamp(SHORTEST_TURN, LONGEST_TURN);
    let mut schedule = Schedule::default();
    let mut large = LargeTrees::default();
    let mut rates: HashMap<String, ServerRate> = HashMap::new();
    let mut waiting: HashMap<String, VecDeque<Target>> = HashMap::new();
    // The tree that is measured on each server.
    let mut busy: HashMap<String, Owner> = HashMap::new();
    let mut running: FuturesUnordered<BoxFuture<'_, (Target, Turn)>> = FuturesUnordered::new();
    let mut next_look = pin!(sleep_until(Instant::now()));
    loop {
        tokio::select! {
            () = &mut next_look => {
                totals::report(leader);
                waiting.clear();
                let due = schedule.due(leader, &mut large, Timestamp::now()).into_iter();
                for target in due.filter(|target| !busy.values().any(|owner| *owner == target.owner)) {
                    waiting.entry(target.share.server().to_owned()).or_default().push_back(target);
                }
                next_look.as_mut().reset(Instant::now() + interval.min(LOOK));
            }
            Some((target, ended)) = running.next() => {
                busy.remove(target.share.server());
                match ended {
                    Turn::Over(measurement) => {
                        schedule.wait_again(&target.owner);
                        large.put_aside(&target, measurement);
                    }
                    Turn::Done | Turn::Failed => {
                        schedule.measured(&target.owner, interval, matches!(ended, Turn::Done));
                        large.ended(&target.owner);
                    }
                }
            }
        }
        for (server, targets) in &mut waiting {
            if busy.contains_key(server) {
                continue;
            }
            let begun = iter::from_fn(|| targets.pop_front()).find_map(|target| Some((large.begin(&target)?, target)));
            let Some((measurement, target)) = begun else { continue };
            let rate = rates
                .entry(server.clone())
                .or_insert_with(|| ServerRate::new(leader.ctx.options.usage_rate));
            busy.insert(server.clone(), target.owner.clone());
            running.push(measure(leader, target, measurement, turn, rate.clone()).boxed());
        }
    }
}

/// Removes the metrics at the end of the term, because only the leader reports them.
struct ClearMetrics<'a>(&'a Metrics);

impl Drop for ClearMetrics<'_> {
    fn drop(&mut self) {
        self.0.space.set_volumes(Volumes::new());
        self.0.space.set_archives(Archives::new());
    }
}

/// Measures a tree for one turn. Writes the result at its end.
async fn measure(
    leader: &Leader,
    target: Target,
    measurement: Measurement,
    turn: Duration,
    rate: ServerRate,
) -> (Target, Turn) {
    let pace = YieldingPace {
        leader,
        share: &target.share,
        rate,
    };
    let done = match count(leader, &target, &measurement, turn, &pace).await {
        Ok(Counted::All(used)) => finish(leader, &target, used, &pace).await,
        Ok(Counted::Part) => return (target, Turn::Over(measurement)),
        // It was moved or removed, which other loops report.
        Ok(Counted::Gone) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = &done {
        let Target { share, directory, .. } = &target;
        tracing::info!(%share, %directory, "the space that a directory uses could not be measured; Bindery retries: {error}");
        return (target, Turn::Failed);
    }
    (target, Turn::Done)
}

/// What is counted of a tree at the end of a turn.
enum Counted {
    All(Used),
    Part,
    /// The directory is not there any more.
    Gone,
}

/// Counts the files of a tree until the turn is over.
async fn count(
    leader: &Leader,
    target: &Target,
    measurement: &Measurement,
    turn: Duration,
    pace: &YieldingPace<'_>,
) -> Result<Counted, Error> {
    let storage = &leader.ctx.storage;
    let (share, directory) = (&target.share, &target.directory);
    let end = Instant::now() + turn;
    let mut failures = 0;
    // A turn does not end between two failures: they would not be counted.
    while failures > 0 || Instant::now() < end {
        leader.may_act()?;
        let deadline = storage_deadline().min(Instant::now() + turn);
        let measured = storage.measure(share, directory, target.identity, measurement, pace, deadline);
        match measured.await {
            Ok(Measured::Done(used)) => return Ok(Counted::All(used)),
            Ok(Measured::Remains { answered }) => failures *= u32::from(!answered),
            Ok(Measured::Missing | Measured::Another(_)) => return Ok(Counted::Gone),
            Err(error) => {
                failures += 1;
                if failures > MAX_FAILURES {
                    return Err(error.into());
                }
                sleep(PAUSE).await;
            }
        }
    }
    measurement.release_handles();
    Ok(Counted::Part)
}

/// Writes the result of a measurement, with the limit of the directory.
async fn finish(leader: &Leader, target: &Target, used: Used, pace: &YieldingPace<'_>) -> Result<(), Error> {
    let storage = &leader.ctx.storage;
    let (share, directory) = (&target.share, &target.directory);
    pace.wait().await;
    pace.wait().await;
    let limit = limit_of(&**storage, share, directory, storage_deadline()).await?;
    let usage = Usage {
        bytes: used.bytes,
        files: used.files,
        unread: used.unread,
        limit,
        measured: Timestamp::now(),
    };
    write(leader, &target.owner, usage).await
}

/// Writes a measurement to its object, unless that is gone.
async fn write(leader: &Leader, owner: &Owner, usage: Usage) -> Result<(), Error> {
    leader.may_act()?;
    let client = leader.ctx.cluster.client.clone();
    let parameters = PatchParams::default();
    let (Owner::Volume(_, uid) | Owner::Archive(.., uid)) = owner;
    // The uid is a precondition: another object may have the name now.
    let patch = Patch::Merge(json!({
        "metadata": {"uid": uid, "annotations": {volume_annotation::USAGE: usage.to_string()}},
    }));
    let written = match owner {
        Owner::Volume(name, _) => {
            let volumes: Api<PersistentVolume> = Api::all(client);
            volumes.patch_metadata(name, &parameters, &patch).await.map(drop)
        }
        Owner::Archive(namespace, name, _) => {
            let archives: Api<Archive> = Api::namespaced(client, namespace);
            archives.patch_metadata(name, &parameters, &patch).await.map(drop)
        }
    };
    match written {
        Err(error) if is_not_found(&error) || is_precondition_failed(&error) => Ok(()),
        written => Ok(written?),
    }
}

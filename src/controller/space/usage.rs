//! Measures the space that volumes and archives use, in the background.
//!
//! For each server one tree is measured at a time, the one that waits longest first. The result is written to the object as
//! an annotation, so that it survives this process. A measurement that fails is tried again later; the old result stays.

use std::collections::{HashMap, VecDeque};
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

use super::pace::{ServerRate, YieldingPace};
use super::targets::{Owner, Schedule, Target};
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
use crate::policy::space::limit;
use crate::storage::{Measured, Measurement, Pace, Used};

/// The longest time between two looks for trees that are due. The metrics are set at the same time.
const LOOK: Duration = Duration::from_secs(5);
/// How often a measurement may fail in a row before it is given up until later.
const MAX_FAILURES: u32 = 3;
/// The pause after each failure.
const PAUSE: Duration = Duration::from_secs(5);

/// Measures the trees that are due. Never returns.
pub async fn run(leader: &Leader) {
    let interval = leader.ctx.options.usage_interval;
    if interval.is_zero() {
        return std::future::pending().await;
    }
    let _clear = ClearMetrics(&leader.ctx.metrics);
    let mut schedule = Schedule::default();
    let mut rates: HashMap<String, ServerRate> = HashMap::new();
    let mut waiting: HashMap<String, VecDeque<Target>> = HashMap::new();
    // The tree that is measured on each server.
    let mut busy: HashMap<String, Owner> = HashMap::new();
    let mut running: FuturesUnordered<BoxFuture<'_, (Target, bool)>> = FuturesUnordered::new();
    let mut next_look = pin!(sleep_until(Instant::now()));
    loop {
        tokio::select! {
            () = &mut next_look => {
                totals::report(leader);
                waiting.clear();
                let due = schedule.due(leader, Timestamp::now()).into_iter();
                for target in due.filter(|target| !busy.values().any(|owner| *owner == target.owner)) {
                    waiting.entry(target.share.server().to_owned()).or_default().push_back(target);
                }
                next_look.as_mut().reset(Instant::now() + interval.min(LOOK));
            }
            Some((target, done)) = running.next() => {
                busy.remove(target.share.server());
                schedule.measured(&target.owner, interval, done);
            }
        }
        for (server, targets) in &mut waiting {
            if busy.contains_key(server) {
                continue;
            }
            let Some(target) = targets.pop_front() else { continue };
            let rate = rates
                .entry(server.clone())
                .or_insert_with(|| ServerRate::new(leader.ctx.options.usage_rate));
            busy.insert(server.clone(), target.owner.clone());
            running.push(measure(leader, target, rate.clone()).boxed());
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

/// Measures a tree, and writes the result. Returns whether nothing is left to do until the next interval.
async fn measure(leader: &Leader, target: Target, rate: ServerRate) -> (Target, bool) {
    let pace = YieldingPace {
        leader,
        share: &target.share,
        rate,
    };
    let done = match measure_tree(leader, &target, &pace).await {
        Ok(Some(usage)) => write(leader, &target.owner, usage).await,
        // It was moved or removed, which other loops report.
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = &done {
        let Target { share, directory, .. } = &target;
        tracing::info!(%share, %directory, "the space that a directory uses could not be measured; Bindery retries: {error}");
    }
    (target, done.is_ok())
}

/// Returns the space that a tree uses; nothing if the directory is not there any more.
async fn measure_tree(leader: &Leader, target: &Target, pace: &YieldingPace<'_>) -> Result<Option<Usage>, Error> {
    let storage = &leader.ctx.storage;
    let Target {
        share,
        directory,
        identity,
        ..
    } = target;
    let measurement = Measurement::default();
    let mut failures = 0;
    let used: Used = loop {
        leader.may_act()?;
        let measured = storage.measure(share, directory, *identity, &measurement, pace, storage_deadline());
        match measured.await {
            Ok(Measured::Done(used)) => break used,
            Ok(Measured::Remains { answered }) => failures *= u32::from(!answered),
            Ok(Measured::Missing | Measured::Another(_)) => return Ok(None),
            Err(error) => {
                failures += 1;
                if failures > MAX_FAILURES {
                    return Err(error.into());
                }
                sleep(PAUSE).await;
            }
        }
    };
    pace.wait().await;
    pace.wait().await;
    // The size of some file systems changes, so both are asked for at the same time.
    let (of_share, of_directory) = tokio::try_join!(
        storage.space(share, None, storage_deadline()),
        storage.space(share, Some(directory), storage_deadline()),
    )?;
    Ok(Some(Usage {
        bytes: used.bytes,
        files: used.files,
        unread: used.unread,
        limit: limit(of_share, of_directory),
        measured: Timestamp::now(),
    }))
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

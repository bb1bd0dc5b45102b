//! A hundred claims at once: how long until all are bound, and until all trace of them is gone.
//!
//! Everything is seen through watches, which miss no state between two looks; that is how a claim that was `Lost` for
//! a moment is found out. It is a wrong result, not a slow one: its pods may have been failed for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::time::timeout;

use crate::bed::Bed;
use crate::place::Place;
use crate::table::{Expected, Table, Unit};
use crate::times::Times;

/// How many claims come and go.
pub const CLAIMS: u32 = 100;
const AT_A_TIME: usize = 16;
/// A watch that shows nothing for so long shows that it will not happen.
const PATIENCE: Duration = Duration::from_mins(1);
/// After the last claim is bound, so much time without an event shows that it stays so.
const QUIET: Duration = Duration::from_secs(2);

/// What a watch has seen of claims.
#[derive(Default)]
struct Seen {
    bound: BTreeMap<String, Instant>,
    lost: BTreeSet<String>,
}

/// Measures both ways.
pub async fn measure(client: &Client, table: &mut Table) -> Result<()> {
    let place = Place::new(client, "burst").await?;
    let class = place
        .class("ours", &Bed::get().provisioner, json!({"onDelete": "delete"}))
        .await?;
    place.warm_up(AT_A_TIME).await?;
    let volumes = bind(&place, &class, table).await?;
    delete(&place, &volumes, table).await
}

/// Creates the claims, and returns the names of their volumes when all are bound.
async fn bind(place: &Place, class: &str, table: &mut Table) -> Result<BTreeMap<String, String>> {
    let claims = place.claims();
    let version = version(&claims).await?;
    let watching = tokio::spawn(watch_claims(claims, version));

    let began = Instant::now();
    let created: Vec<(String, String, Instant)> = stream::iter(0..CLAIMS)
        .map(async |number| -> Result<_> {
            let name = format!("claim-{number}");
            let began = Instant::now();
            let (_, volume) = place.create(&name, class).await?;
            let volume = volume.with_context(|| format!("claim {name} came back without a volume"))?;
            Ok((name, volume, began))
        })
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await?;
    let all_created = began.elapsed();
    let seen = watching.await??;
    let bound = |name: &str| seen.bound.get(name).context("a claim of another name was bound");
    let times = created
        .iter()
        .map(|(name, _, began)| Ok(bound(name)?.duration_since(*began)))
        .collect::<Result<Times>>()?;
    let last = seen.bound.values().max().context("no claim was bound")?;
    let all_bound = last.duration_since(began).as_secs_f64();

    let mut part = table.part("100 claims, 16 at a time, stock controller manager");
    part.note("all created", all_created.as_secs_f64(), Unit::Seconds);
    part.note("all bound", all_bound, Unit::Seconds);
    // What a webhook reached that leaves all binding to the controller manager.
    part.expect("bound per second", rate(all_bound), Unit::Rate, Expected::AtLeast(3.5));
    part.note("create to bound, p50", times.quantile(0.5) / 1000.0, Unit::Seconds);
    part.note("create to bound, p99", times.quantile(0.99) / 1000.0, Unit::Seconds);
    part.expect(
        "claims ever Lost",
        f64::from(u32::try_from(seen.lost.len())?),
        Unit::Count,
        Expected::AtMost(0.0),
    );
    ensure!(seen.lost.is_empty(), "claims were Lost for a moment: {:?}", seen.lost);
    Ok(created.into_iter().map(|(claim, volume, _)| (volume, claim)).collect())
}

/// Deletes the claims of these volumes, and waits until the volumes are gone.
async fn delete(place: &Place, volumes: &BTreeMap<String, String>, table: &mut Table) -> Result<()> {
    let api: Api<PersistentVolume> = Api::all(place.client.clone());
    let version = version(&api).await?;
    let watching = tokio::spawn(watch_volumes(api, version, volumes.keys().cloned().collect()));

    let began = Instant::now();
    let deleted: BTreeMap<&str, Instant> = stream::iter(volumes)
        .map(async |(volume, claim)| -> Result<_> {
            let began = Instant::now();
            place.delete(claim).await?;
            Ok((volume.as_str(), began))
        })
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await?;
    let gone = watching.await??;
    let last = gone.values().max().context("no volume is gone")?;
    let times: Times = gone
        .iter()
        .map(|(volume, gone)| gone.duration_since(deleted[volume.as_str()]))
        .collect();
    let all_gone = last.duration_since(began).as_secs_f64();

    let mut part = table.part("The same claims deleted, 16 at a time, with onDelete: delete");
    part.note("all volumes and directories gone", all_gone, Unit::Seconds);
    part.note("gone per second", rate(all_gone), Unit::Rate);
    part.note("delete to gone, p50", times.quantile(0.5) / 1000.0, Unit::Seconds);
    part.note("delete to gone, p99", times.quantile(0.99) / 1000.0, Unit::Seconds);
    let left = directories_of(volumes, &Bed::get().export)?;
    ensure!(
        left.is_empty(),
        "volumes are gone, but these directories are there: {left:?}"
    );
    Ok(())
}

/// Until all claims are bound, and stay so.
async fn watch_claims(claims: Api<PersistentVolumeClaim>, version: String) -> Result<Seen> {
    let mut events = claims.watch(&WatchParams::default(), &version).await?.boxed();
    let mut seen = Seen::default();
    loop {
        let all = seen.bound.len() == CLAIMS as usize;
        let event = match timeout(if all { QUIET } else { PATIENCE }, events.next()).await {
            Ok(event) => event.context("the watch of claims ended")??,
            Err(_) if all => return Ok(seen),
            Err(_) => bail!(
                "only {} of {CLAIMS} claims are bound, and nothing happens",
                seen.bound.len()
            ),
        };
        let (WatchEvent::Added(claim) | WatchEvent::Modified(claim)) = event else {
            bail!("unexpected while claims are bound: {event:?}");
        };
        match claim.status.as_ref().and_then(|status| status.phase.as_deref()) {
            Some("Bound") => {
                seen.bound.entry(claim.name_any()).or_insert_with(Instant::now);
            }
            Some("Lost") => {
                seen.lost.insert(claim.name_any());
            }
            _ => {}
        }
    }
}

/// Until the volumes of these names are gone.
async fn watch_volumes(
    volumes: Api<PersistentVolume>,
    version: String,
    mut names: BTreeSet<String>,
) -> Result<BTreeMap<String, Instant>> {
    let mut events = volumes.watch(&WatchParams::default(), &version).await?.boxed();
    let mut gone = BTreeMap::new();
    while !names.is_empty() {
        let event = timeout(PATIENCE, events.next()).await;
        let event = event.with_context(|| format!("{} volumes are left, and nothing happens", names.len()))?;
        match event.context("the watch of volumes ended")?? {
            WatchEvent::Deleted(volume) => {
                let name = volume.name_any();
                if names.remove(&name) {
                    gone.insert(name, Instant::now());
                }
            }
            WatchEvent::Error(error) => bail!("the watch of volumes broke: {error}"),
            _ => {}
        }
    }
    Ok(gone)
}

/// From where a watch shows all that happens from now on.
async fn version<K>(api: &Api<K>) -> Result<String>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let list = api.list_metadata(&ListParams::default().limit(1)).await?;
    list.metadata.resource_version.context("a list without a version")
}

/// What is left of these volumes on the server, also in the trash and among the archives: all of it has their names.
fn directories_of(volumes: &BTreeMap<String, String>, folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if volumes.keys().any(|volume| name.contains(volume)) {
            found.push(name);
        } else if entry.file_type()?.is_dir() {
            found.extend(directories_of(volumes, &entry.path())?);
        }
    }
    Ok(found)
}

fn rate(seconds: f64) -> f64 {
    f64::from(CLAIMS) / seconds
}

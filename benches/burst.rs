//! Many claims at once: how long until all are bound, and until all trace of them is gone.
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
use kube::{Api, ResourceExt};
use tokio::time::{sleep, timeout};

use crate::bed::Bed;
use crate::place::Place;
use crate::started::PAUSE;
use crate::times::Times;

/// Claims that are created, and deleted, at once.
pub const AT_A_TIME: usize = 16;
/// A watch that shows nothing for so long shows that it will not happen.
const PATIENCE: Duration = Duration::from_mins(1);
/// After the last claim is bound, so much time without an event shows that it stays so. Clients that may do so many requests
/// a second, and some more at once, have their allowance back by then.
const QUIET: Duration = Duration::from_secs(3);

/// What a watch has seen of claims.
#[derive(Default)]
struct Seen {
    /// When, and to which volume.
    bound: BTreeMap<String, (Instant, String)>,
    lost: BTreeSet<String>,
}

/// Claims of a class that come and go.
pub struct Burst<'a> {
    /// Where.
    pub place: &'a Place,
    /// Their class.
    pub class: &'a str,
    /// How many.
    pub claims: u32,
}

/// All claims are bound.
pub struct Bound {
    /// The seconds until all were created.
    pub created: f64,
    /// The seconds until all were bound.
    pub all: f64,
    /// From a claim's creation until it is bound.
    pub times: Times,
    /// The volumes, each with its claim.
    pub volumes: BTreeMap<String, String>,
}

/// All of it is gone.
pub struct Gone {
    /// The seconds until it was.
    pub all: f64,
    /// From a claim's deletion until its volume is gone.
    pub times: Times,
}

impl Burst<'_> {
    /// Creates the claims. Where `at_once`, each comes back with its volume. None may ever have been `Lost`.
    pub async fn bind(&self, at_once: bool) -> Result<Bound> {
        let claims = self.place.claims();
        let version = version(&claims).await?;
        let watching = tokio::spawn(watch_claims(claims, version, self.claims as usize));

        let began = Instant::now();
        let created: Vec<(String, Instant)> = stream::iter(0..self.claims)
            .map(async |number| -> Result<_> {
                let name = format!("claim-{number}");
                let began = Instant::now();
                let (_, volume) = self.place.create(&name, self.class).await?;
                ensure!(volume.is_some() || !at_once, "claim {name} came back without a volume");
                Ok((name, began))
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        let all_created = began.elapsed();
        let seen = watching.await??;
        ensure!(seen.lost.is_empty(), "claims were Lost for a moment: {:?}", seen.lost);
        let bound = |name: &str| seen.bound.get(name).context("a claim of another name was bound");
        let times = created
            .iter()
            .map(|(name, began)| Ok(bound(name)?.0.duration_since(*began)));
        let times = times.collect::<Result<Times>>()?;
        let last = seen
            .bound
            .values()
            .map(|(at, _)| at)
            .max()
            .context("no claim was bound")?;
        Ok(Bound {
            created: all_created.as_secs_f64(),
            all: last.duration_since(began).as_secs_f64(),
            times,
            volumes: seen
                .bound
                .into_iter()
                .map(|(claim, (_, volume))| (volume, claim))
                .collect(),
        })
    }

    /// Deletes them again, and waits until volumes and directories are gone. Measured is until the volumes are.
    pub async fn delete(&self, volumes: &BTreeMap<String, String>) -> Result<Gone> {
        let api: Api<PersistentVolume> = Api::all(self.place.client.clone());
        let version = version(&api).await?;
        let watching = tokio::spawn(watch_volumes(api, version, volumes.keys().cloned().collect()));

        let began = Instant::now();
        let deleted: BTreeMap<&str, Instant> = stream::iter(volumes)
            .map(async |(volume, claim)| -> Result<_> {
                let began = Instant::now();
                self.place.delete(claim).await?;
                Ok((volume.as_str(), began))
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        let gone = watching.await??;
        let last = gone.values().max().context("no volume is gone")?;
        // The trash is emptied after its volumes.
        let emptying = Instant::now();
        loop {
            let left = directories_of(volumes, &Bed::get().export)?;
            if left.is_empty() {
                break;
            }
            ensure!(
                emptying.elapsed() < PATIENCE,
                "volumes are gone, but these directories are there: {left:?}"
            );
            sleep(PAUSE).await;
        }
        sleep(QUIET).await;
        Ok(Gone {
            all: last.duration_since(began).as_secs_f64(),
            times: gone
                .iter()
                .map(|(volume, gone)| gone.duration_since(deleted[volume.as_str()]))
                .collect(),
        })
    }
}

/// Until all claims are bound, and stay so.
async fn watch_claims(claims: Api<PersistentVolumeClaim>, version: String, wanted: usize) -> Result<Seen> {
    let mut events = claims.watch(&WatchParams::default(), &version).await?.boxed();
    let mut seen = Seen::default();
    loop {
        let all = seen.bound.len() == wanted;
        let event = match timeout(if all { QUIET } else { PATIENCE }, events.next()).await {
            Ok(event) => event.context("the watch of claims ended")??,
            Err(_) if all => return Ok(seen),
            Err(_) => bail!(
                "only {} of {wanted} claims are bound, and nothing happens",
                seen.bound.len()
            ),
        };
        let claim = match event {
            WatchEvent::Added(claim) | WatchEvent::Modified(claim) => claim,
            WatchEvent::Bookmark(_) => continue,
            event => bail!("unexpected while claims are bound: {event:?}"),
        };
        match claim.status.as_ref().and_then(|status| status.phase.as_deref()) {
            Some("Bound") => {
                let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone());
                let volume = volume.context("a claim is Bound to nothing")?;
                seen.bound.entry(claim.name_any()).or_insert((Instant::now(), volume));
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
pub async fn version<K>(api: &Api<K>) -> Result<String>
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

//! Bursts of claims: the time until all are bound, and until all volumes and directories are deleted.
//!
//! The states are observed by watches, which also report short states. So a claim that was `Lost` for a moment is detected.
//! That is a wrong result, because kubelets may have failed pods of that claim.

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

/// Claims that are created or deleted in parallel.
pub const AT_A_TIME: usize = 16;
/// If a watch shows no event for this time, the measurement fails.
const TIME_LIMIT: Duration = Duration::from_mins(1);
/// The time without an event after which the claims are taken as bound. After this time, the rate limits of all clients
/// have recovered from earlier requests.
const QUIET: Duration = Duration::from_secs(3);

/// The events of claims that a watch has seen.
#[derive(Default)]
struct Seen {
    /// The time and the volume of each bound claim.
    bound: BTreeMap<String, (Instant, String)>,
    lost: BTreeSet<String>,
}

/// A burst of claims of one class.
pub struct Burst<'a> {
    /// The namespace.
    pub place: &'a Place,
    /// The class.
    pub class: &'a str,
    /// Number of claims.
    pub claims: u32,
}

/// Result of the creation of a burst.
pub struct Bound {
    /// The seconds until all were created.
    pub created: f64,
    /// The seconds until all were bound.
    pub all: f64,
    /// The times from the creation of a claim until it is bound.
    pub times: Times,
    /// The volumes, each with its claim.
    pub volumes: BTreeMap<String, String>,
}

/// Result of the deletion of a burst.
pub struct Gone {
    /// The seconds until everything was gone.
    pub all: f64,
    /// The times from the deletion of a claim until its volume is gone.
    pub times: Times,
}

impl Burst<'_> {
    /// Creates the claims. With `at_once`, each claim must get its volume in the request. No claim may ever be `Lost`.
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

    /// Deletes the claims, and waits until volumes and directories are gone. The time is measured until the volumes are
    /// gone.
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
        // The trash is emptied after the volumes are gone.
        let emptying = Instant::now();
        loop {
            let left = directories_of(volumes, &Bed::get().export)?;
            if left.is_empty() {
                break;
            }
            ensure!(
                emptying.elapsed() < TIME_LIMIT,
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

/// Waits until all claims are bound and stay bound.
async fn watch_claims(claims: Api<PersistentVolumeClaim>, version: String, wanted: usize) -> Result<Seen> {
    let mut events = claims.watch(&WatchParams::default(), &version).await?.boxed();
    let mut seen = Seen::default();
    loop {
        let all = seen.bound.len() == wanted;
        let event = match timeout(if all { QUIET } else { TIME_LIMIT }, events.next()).await {
            Ok(event) => event.context("the watch of claims ended")??,
            Err(_) if all => return Ok(seen),
            Err(_) => bail!(
                "only {} of {wanted} claims are bound, and there are no more events",
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

/// Waits until the volumes with these names are gone.
async fn watch_volumes(
    volumes: Api<PersistentVolume>,
    version: String,
    mut names: BTreeSet<String>,
) -> Result<BTreeMap<String, Instant>> {
    let mut events = volumes.watch(&WatchParams::default(), &version).await?.boxed();
    let mut gone = BTreeMap::new();
    while !names.is_empty() {
        let event = timeout(TIME_LIMIT, events.next()).await;
        let event = event.with_context(|| format!("{} volumes are left, and there are no more events", names.len()))?;
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

/// Returns the resource version from which a watch shows all later events.
pub async fn version<K>(api: &Api<K>) -> Result<String>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let list = api.list_metadata(&ListParams::default().limit(1)).await?;
    list.metadata.resource_version.context("a list without a version")
}

/// Returns the directories of these volumes on the server, also in the trash and among the archives. Each contains the name
/// of its volume.
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

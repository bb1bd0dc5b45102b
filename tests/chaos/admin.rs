//! What an administrator keeps: a volume made by hand names a claim's directory, or `retain` is set while the directory
//! is being removed. From then on the claim's data must not be deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bindery::model::names::{self, mark};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::schedule::{Retain, Slot, Spelling};
use crate::setup::object;

/// What the names of volumes made by hand begin with.
const BY_HAND: &str = "by-hand-";
/// How long a deleted claim's volume is watched for the deletion mark.
const PATIENCE: Duration = Duration::from_secs(8);
const LOOK: Duration = Duration::from_millis(10);

/// What administrators have kept.
#[derive(Default)]
pub struct Kept(Mutex<State>);

#[derive(Clone, Default)]
struct State {
    /// Claims whose data must not be deleted, by uid.
    claims: BTreeSet<String>,
    /// The volumes made by hand that are there, and the directories below the export that they name.
    by_hand: BTreeMap<String, Named>,
    /// Every directory that a volume made by hand has ever named, or whose volume was set to `retain`.
    named: BTreeSet<String>,
}

/// What a volume made by hand names.
#[derive(Clone, Debug)]
struct Named {
    slot: Slot,
    directory: String,
    /// Its claim's volume was not being deleted after this one was created, so its cleanup has seen this one.
    holds: Option<String>,
}

impl Kept {
    /// Whether this claim's data must not be deleted.
    pub fn keeps(&self, uid: &str) -> bool {
        let state = self.state();
        state.claims.contains(uid) || state.by_hand.values().any(|named| named.holds.as_deref() == Some(uid))
    }

    /// Whether an administrator has ever kept what is in this directory: it may be there still.
    pub fn was_named(&self, directory: &str) -> bool {
        self.state().named.contains(directory)
    }

    /// Whether a volume made by hand names this directory now.
    pub fn is_named(&self, directory: &str) -> bool {
        self.state().by_hand.values().any(|named| named.directory == directory)
    }

    /// The directory in which a volume made by hand holds this claim's data.
    pub fn held_in(&self, uid: &str) -> Option<String> {
        let state = self.state();
        let mut named = state.by_hand.values();
        let named = named.find(|named| named.holds.as_deref() == Some(uid))?;
        Some(named.directory.clone())
    }

    /// Whether a volume of this name was made by hand.
    pub fn is_by_hand(name: &str) -> bool {
        name.starts_with(BY_HAND)
    }

    /// Deletes a claim, and sets `retain` on its volume as soon as that is being deleted. Returns whether it was set before
    /// Bindery had finished.
    pub async fn delete_and_retain(&self, client: &Client, slot: &Slot, how: Retain) -> Result<bool> {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &slot.namespace);
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        let Some((claim, volume)) = bound(&claims, &volumes, slot).await? else {
            return Ok(false);
        };
        let (name, uid) = (volume.name_any(), volume.uid());
        claims.delete(&slot.name, &DeleteParams::default()).await?;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let Some(now) = volumes.get_opt(&name).await?.filter(|now| now.uid() == uid) else {
                return Ok(false);
            };
            let held = now.finalizers().iter().any(|held| held == names::FINALIZER);
            if now.metadata.deletion_timestamp.is_some() && held {
                match volumes.patch(&name, &PatchParams::default(), &retain(&now, how)).await {
                    Ok(_) => {
                        let mut state = self.state();
                        state.claims.insert(claim.uid().unwrap_or_default());
                        state.named.extend(now.annotations().get(mark::SUB_DIR).cloned());
                        return Ok(true);
                    }
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => {}
                    // Whether it was written is not known: nothing is asked of it.
                    Err(error) => return Err(error.into()),
                }
            }
            sleep(LOOK).await;
        }
        Ok(false)
    }

    /// Creates a volume by hand that names the directory of a claim's volume. Returns whether that came in time to keep it.
    pub async fn create_by_hand(&self, client: &Client, slot: &Slot, how: Spelling, alias: &str) -> Result<bool> {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &slot.namespace);
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        let Some((claim, volume)) = bound(&claims, &volumes, slot).await? else {
            return Ok(false);
        };
        let directory = volume.annotations().get(mark::SUB_DIR).cloned();
        let directory = directory.context("a volume without a directory")?;
        let name = format!("{BY_HAND}{}", uuid::Uuid::new_v4().simple());
        let mut named = Named {
            slot: slot.clone(),
            directory,
            holds: None,
        };
        {
            // Known before it is there: nobody is surprised by what it keeps.
            let mut state = self.state();
            state.named.insert(named.directory.clone());
            state.by_hand.insert(name.clone(), named.clone());
        }
        let by_hand = by_hand(&name, &volume, how, alias)?;
        volumes.create(&PostParams::default(), &by_hand).await?;
        let now = volumes.get_opt(&volume.name_any()).await?;
        let stays = |now: &PersistentVolume| now.uid() == volume.uid() && now.metadata.deletion_timestamp.is_none();
        let in_time = now.is_some_and(|now| stays(&now));
        if in_time {
            named.holds = claim.uid();
            self.state().by_hand.insert(name, named);
        }
        Ok(in_time)
    }

    /// Deletes a volume made by hand for this slot, if there is one.
    pub async fn delete_by_hand(&self, client: &Client, slot: &Slot) -> Result<bool> {
        let mut by_hand = self.state().by_hand.clone().into_iter();
        let Some((name, _)) = by_hand.find(|(_, named)| named.slot == *slot) else {
            return Ok(false);
        };
        // Forgotten first: from now on nothing is asked of it.
        self.state().by_hand.remove(&name);
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        match volumes.delete(&name, &DeleteParams::default()).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A claim that is bound, and its volume, if nobody deletes either.
async fn bound(
    claims: &Api<PersistentVolumeClaim>,
    volumes: &Api<PersistentVolume>,
    slot: &Slot,
) -> Result<Option<(PersistentVolumeClaim, PersistentVolume)>> {
    let Some(claim) = claims.get_opt(&slot.name).await? else {
        return Ok(None);
    };
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone());
    let (Some("Bound"), None, Some(name)) = (phase, &claim.metadata.deletion_timestamp, name) else {
        return Ok(None);
    };
    let volume = volumes.get_opt(&name).await?;
    let is_its = |volume: &PersistentVolume| {
        let meant = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        meant.and_then(|meant| meant.uid.as_ref()) == claim.metadata.uid.as_ref()
            && volume.metadata.deletion_timestamp.is_none()
            && volume
                .annotations()
                .get(mark::READY)
                .is_some_and(|ready| ready == "true")
    };
    Ok(volume.filter(is_its).map(|volume| (claim, volume)))
}

/// The patch fails if the volume has changed since it was read.
fn retain(volume: &PersistentVolume, how: Retain) -> Patch<Value> {
    let meta = json!({"uid": volume.uid(), "resourceVersion": volume.resource_version()});
    let mut patch = json!({"metadata": meta});
    match how {
        Retain::OnDelete => patch["metadata"]["annotations"] = json!({mark::ON_DELETE: "retain"}),
        Retain::ReclaimPolicy => patch["spec"] = json!({"persistentVolumeReclaimPolicy": "Retain"}),
    }
    Patch::Merge(patch)
}

fn by_hand(name: &str, volume: &PersistentVolume, how: Spelling, alias: &str) -> Result<PersistentVolume> {
    let Some(nfs) = volume.spec.as_ref().and_then(|spec| spec.nfs.as_ref()) else {
        bail!("a volume without spec.nfs");
    };
    let mut by_hand = json!({
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "1Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "by-hand",
        },
    });
    let spec = &mut by_hand["spec"];
    match how {
        Spelling::Nfs => spec["nfs"] = json!({"server": nfs.server, "path": nfs.path}),
        Spelling::Alias => spec["nfs"] = json!({"server": alias, "path": nfs.path}),
        Spelling::Csi => {
            let (share, directory) = nfs.path.rsplit_once('/').context("a path of several segments")?;
            spec["csi"] = json!({
                "driver": "nfs.csi.k8s.io",
                "volumeHandle": name,
                "volumeAttributes": {"server": nfs.server, "share": share, "subdir": directory},
            });
        }
    }
    object(by_hand)
}

//! The administrator, who protects data of a claim: by a static volume for its directory, or by setting `retain` while
//! the directory is being removed. After that, the claim's data must not be deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bindery::model::names::{self, volume_annotation};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::schedule::{Retain, Slot, StaticSource};
use crate::setup::object;

/// Prefix of the names of static volumes.
const STATIC: &str = "static-";
/// How long to wait until the volume of a deleted claim is being deleted.
const TIME_LIMIT: Duration = Duration::from_secs(8);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The data that the administrator has protected.
#[derive(Default)]
pub struct Protected(Mutex<State>);

#[derive(Clone, Default)]
struct State {
    /// Claims whose data must not be deleted, by uid.
    claims: BTreeSet<String>,
    /// The existing static volumes, and the directories in the export that they name.
    static_volumes: BTreeMap<String, NamedDirectory>,
    /// Every directory that was ever protected: a static volume named it, or its volume was set to `retain`.
    named: BTreeSet<String>,
    /// The directory of every static volume that was ever created. The key is the name of the volume. Entries stay after
    /// a delete, because a delete that did not reach the API server leaves the volume.
    directories: BTreeMap<String, String>,
}

/// The directory that a static volume names.
#[derive(Clone, Debug)]
struct NamedDirectory {
    slot: Slot,
    directory: String,
    /// The uid of the claim with that directory, if the claim's volume was not being deleted when the static volume had
    /// been created. Then the cleanup of the claim's volume sees the static volume.
    protected_claim: Option<String>,
}

impl Protected {
    /// Returns whether this claim's data must not be deleted.
    pub fn keeps(&self, uid: &str) -> bool {
        let state = self.state();
        state.claims.contains(uid)
            || state
                .static_volumes
                .values()
                .any(|named| named.protected_claim.as_deref() == Some(uid))
    }

    /// Returns whether the administrator has ever protected this directory. If so, the directory may still exist.
    pub fn was_ever_protected(&self, directory: &str) -> bool {
        self.state().named.contains(directory)
    }

    /// Returns the directory of the static volume with this name.
    pub fn directory_of(&self, name: &str) -> Option<String> {
        self.state().directories.get(name).cloned()
    }

    /// Returns the directory of this claim's data that a static volume protects.
    pub fn protected_directory(&self, uid: &str) -> Option<String> {
        let state = self.state();
        let mut named = state.static_volumes.values();
        let named = named.find(|named| named.protected_claim.as_deref() == Some(uid))?;
        Some(named.directory.clone())
    }

    /// Returns whether a static volume has this name.
    pub fn is_static(name: &str) -> bool {
        name.starts_with(STATIC)
    }

    /// Deletes a claim, and sets `retain` on its volume as soon as the volume is being deleted. Returns whether that
    /// was done before the end of the cleanup.
    pub async fn delete_and_retain(&self, client: &Client, slot: &Slot, how: Retain) -> Result<bool> {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &slot.namespace);
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        let Some((claim, volume)) = bound(&claims, &volumes, slot).await? else {
            return Ok(false);
        };
        let (name, uid) = (volume.name_any(), volume.uid());
        claims.delete(&slot.name, &DeleteParams::default()).await?;
        let began = Instant::now();
        while began.elapsed() < TIME_LIMIT {
            let Some(now) = volumes.get_opt(&name).await?.filter(|now| now.uid() == uid) else {
                return Ok(false);
            };
            let held = now.finalizers().iter().any(|held| held == names::FINALIZER);
            if now.metadata.deletion_timestamp.is_some() && held {
                match volumes.patch(&name, &PatchParams::default(), &retain(&now, how)).await {
                    Ok(_) => {
                        let mut state = self.state();
                        state.claims.insert(claim.uid().unwrap_or_default());
                        state
                            .named
                            .extend(now.annotations().get(volume_annotation::SUB_DIR).cloned());
                        return Ok(true);
                    }
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => {}
                    // The patch may or may not have been applied, so no protection is recorded.
                    Err(error) => return Err(error.into()),
                }
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok(false)
    }

    /// Creates a static volume for the directory of a claim's volume. Returns whether that was early enough to protect it.
    pub async fn create_static(&self, client: &Client, slot: &Slot, how: StaticSource, alias: &str) -> Result<bool> {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &slot.namespace);
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        let Some((claim, volume)) = bound(&claims, &volumes, slot).await? else {
            return Ok(false);
        };
        let directory = volume.annotations().get(volume_annotation::SUB_DIR).cloned();
        let directory = directory.context("a volume without a directory")?;
        let name = format!("{STATIC}{}", uuid::Uuid::new_v4().simple());
        let mut named = NamedDirectory {
            slot: slot.clone(),
            directory,
            protected_claim: None,
        };
        {
            // The volume is recorded before it is created, because Bindery may see it at once.
            let mut state = self.state();
            state.named.insert(named.directory.clone());
            state.directories.insert(name.clone(), named.directory.clone());
            state.static_volumes.insert(name.clone(), named.clone());
        }
        let created = static_volume(&name, &volume, how, alias)?;
        volumes.create(&PostParams::default(), &created).await?;
        let now = volumes.get_opt(&volume.name_any()).await?;
        let stays = |now: &PersistentVolume| now.uid() == volume.uid() && now.metadata.deletion_timestamp.is_none();
        let in_time = now.is_some_and(|now| stays(&now));
        if in_time {
            named.protected_claim = claim.uid();
            self.state().static_volumes.insert(name, named);
        }
        Ok(in_time)
    }

    /// Deletes the static volume for this claim name, if there is one.
    pub async fn delete_static(&self, client: &Client, slot: &Slot) -> Result<bool> {
        let mut static_volumes = self.state().static_volumes.clone().into_iter();
        let Some((name, _)) = static_volumes.find(|(_, named)| named.slot == *slot) else {
            return Ok(false);
        };
        // The record is removed first, because the volume may stop protecting the directory at any time after this.
        self.state().static_volumes.remove(&name);
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

/// Returns a bound claim and its volume, if neither is being deleted.
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
        let claim_ref = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        claim_ref.and_then(|claim_ref| claim_ref.uid.as_ref()) == claim.metadata.uid.as_ref()
            && volume.metadata.deletion_timestamp.is_none()
            && volume
                .annotations()
                .get(volume_annotation::READY)
                .is_some_and(|ready| ready == "true")
    };
    Ok(volume.filter(is_its).map(|volume| (claim, volume)))
}

/// Returns a patch that sets `retain`. The patch fails if the volume has changed since it was read.
fn retain(volume: &PersistentVolume, how: Retain) -> Patch<Value> {
    let meta = json!({"uid": volume.uid(), "resourceVersion": volume.resource_version()});
    let mut patch = json!({"metadata": meta});
    match how {
        Retain::OnDelete => patch["metadata"]["annotations"] = json!({volume_annotation::ON_DELETE: "retain"}),
        Retain::ReclaimPolicy => patch["spec"] = json!({"persistentVolumeReclaimPolicy": "Retain"}),
    }
    Patch::Merge(patch)
}

fn static_volume(name: &str, volume: &PersistentVolume, how: StaticSource, alias: &str) -> Result<PersistentVolume> {
    let Some(nfs) = volume.spec.as_ref().and_then(|spec| spec.nfs.as_ref()) else {
        bail!("a volume without spec.nfs");
    };
    let mut volume_json = json!({
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "1Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "by-hand",
        },
    });
    let spec = &mut volume_json["spec"];
    match how {
        StaticSource::Nfs => spec["nfs"] = json!({"server": nfs.server, "path": nfs.path}),
        StaticSource::Alias => spec["nfs"] = json!({"server": alias, "path": nfs.path}),
        StaticSource::Csi => {
            let (share, directory) = nfs.path.rsplit_once('/').context("a path of several segments")?;
            spec["csi"] = json!({
                "driver": "nfs.csi.k8s.io",
                "volumeHandle": name,
                "volumeAttributes": {"server": nfs.server, "share": share, "subdir": directory},
            });
        }
    }
    object(volume_json)
}

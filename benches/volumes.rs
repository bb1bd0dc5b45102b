//! The cost of 10,000 volumes: memory, start, and the creation of further claims.
//!
//! The volumes are written directly into the API, each bound to a claim. Their directories are never created. They have the
//! annotations of a second Bindery that is started here, so its controllers read all of them. kube-controller-manager is
//! paused: with its request limits it would need 15 minutes for this number of volumes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bed::Bed;
use crate::kcm::Paused;
use crate::place::{Place, object};
use crate::process::{self, NAME, stable_memory};
use crate::table::{Expected, Table, Unit};
use crate::times::Times;

const LEVELS: [u32; 3] = [10, 1_000, 10_000];
const AT_A_TIME: usize = 16;
/// Claims of each class at each number of volumes.
const CLAIMS: u32 = 100;
const STARTS: usize = 3;

/// Measures at each number of volumes.
pub async fn measure(client: &Client, table: &mut Table) -> Result<()> {
    process::register(client).await?;
    let paused = Paused::begin()?;
    let place = Place::new(client, "volumes").await?;
    let provisioner = &Bed::get().provisioner;
    let classes = [
        (
            "with the volume's name in the directory's",
            place.class("ours", provisioner, json!({})).await?,
        ),
        (
            "without it, so with a search for overlaps",
            place
                .class(
                    "named",
                    provisioner,
                    json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"}),
                )
                .await?,
        ),
        (
            "of another provisioner's class",
            place.class("other", "nobody.example.com/nothing", json!({})).await?,
        ),
    ];
    place.warm_up(AT_A_TIME).await?;
    let (mut there, mut took) = (0, Vec::new());
    for level in LEVELS {
        fill(&place, there..level).await?;
        process::wait_until_idle().await?;
        there = level;
        let mut times = [const { Times::new() }; 4];
        for turn in 0..CLAIMS {
            times[3].push(bare_volume(&place).await?);
            for (times, (class, (_, name))) in times.iter_mut().zip(classes.iter().enumerate()) {
                let (took, volume) = place.create(&format!("claim-{level}-{class}-{turn}"), name).await?;
                anyhow::ensure!(volume.is_some() || class == 2, "a claim came back without a volume");
                times.push(took);
            }
        }
        took.push(times.map(|times| times.median()));
    }
    let mut part = table.part("Creating a claim in a cluster with 10, 1,000 and 10,000 volumes, one at a time, p50");
    let called = classes.iter().map(|(called, _)| *called);
    for (class, called) in called.chain(["only a volume, created by this program"]).enumerate() {
        for (level, took) in LEVELS.iter().zip(&took) {
            part.note(format!("{called}: {level} volumes"), took[class], Unit::Ms);
        }
        let expected = (class < 2).then_some(Expected::AtMost(1.1));
        part.figure(
            "  ratio of the last to the first",
            took[2][class] / took[0][class],
            Unit::Ratio,
            expected,
        );
    }

    let (mut starts, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let began = Instant::now();
        let bindery = process::second()?;
        bindery.until_ready().await?;
        starts.push(began.elapsed().as_secs_f64());
        memory.push(stable_memory(bindery.pid()).await?);
    }
    let mut part = table.part("The program in a cluster with 10,000 volumes and their claims");
    part.runs("start to ready", &starts, Unit::Seconds, Some(Expected::AtMost(2.0)));
    part.runs("memory", &memory, Unit::Megabytes, Some(Expected::AtMost(40.0)));
    drop(paused);
    Ok(())
}

/// Returns the time that the API server needs to create a volume.
async fn bare_volume(place: &Place) -> Result<Duration> {
    let volumes: Api<PersistentVolume> = Api::all(place.client.clone());
    let name = format!("bare-{}", Uuid::new_v4());
    let mut volume = bound_volume(place, "nobody", &name, "");
    volume["metadata"]["finalizers"] = json!([]);
    let volume = object(volume)?;
    let began = Instant::now();
    volumes.create(&PostParams::default(), &volume).await?;
    let took = began.elapsed();
    volumes.delete(&name, &DeleteParams::default()).await?;
    Ok(took)
}

/// Writes bound volumes with their claims.
async fn fill(place: &Place, numbers: std::ops::Range<u32>) -> Result<()> {
    let written = stream::iter(numbers)
        .map(|number| write(place, number))
        .buffer_unordered(AT_A_TIME);
    written.try_collect::<()>().await
}

async fn write(place: &Place, number: u32) -> Result<()> {
    let (create, patch) = (PostParams::default(), PatchParams::default());
    let (claims, volumes): (_, Api<PersistentVolume>) = (place.claims(), Api::all(place.client.clone()));
    let (claim, volume) = (format!("there-{number}"), format!("vol-{}", Uuid::new_v4()));
    let asked = json!({"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}});
    let mut spec = asked.clone();
    spec["volumeName"] = json!(volume);
    spec["storageClassName"] = json!("");
    let made = claims
        .create(&create, &object(json!({"metadata": {"name": claim}, "spec": spec}))?)
        .await?;
    let uid = made.metadata.uid.context("a claim without a uid")?;
    volumes
        .create(&create, &object(bound_volume(place, &claim, &volume, &uid))?)
        .await?;
    let bound = Patch::Merge(json!({"status": {"phase": "Bound"}}));
    volumes.patch_status(&volume, &patch, &bound).await?;
    let bound: Patch<Value> = Patch::Merge(json!({
        "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "status": {"phase": "Bound", "accessModes": ["ReadWriteMany"], "capacity": {"storage": "1Gi"}},
    }));
    let _: PersistentVolumeClaim = claims.patch_status(&claim, &patch, &bound).await?;
    Ok(())
}

/// Returns a volume in the state in which its claim is bound.
fn bound_volume(place: &Place, claim: &str, volume: &str, uid: &str) -> Value {
    let bed = Bed::get();
    let directory = format!("{}-{claim}-{volume}", place.name);
    json!({
        "metadata": {
            "name": volume,
            "labels": {"bindery.dev/area": Uuid::new_v4().simple().to_string()},
            "finalizers": ["bindery.dev/cleanup"],
            "annotations": {
                "pv.kubernetes.io/provisioned-by": format!("bindery.dev/{NAME}"),
                "bindery.dev/instance": NAME,
                "bindery.dev/attempt": Uuid::new_v4().to_string(),
                "bindery.dev/on-delete": "archive",
                "bindery.dev/share": bed.share,
                "bindery.dev/sub-dir": directory,
                "bindery.dev/directory": "new",
                "bindery.dev/directory-id": "1.0:12d687",
                "bindery.dev/mount-permissions": "0777",
                "bindery.dev/archive-retention": "forever",
                "bindery.dev/nfs-version": "4",
                "bindery.dev/ready": "true",
            },
        },
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "1Gi"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": place.name,
                "name": claim,
                "uid": uid,
            },
            "nfs": {"server": bed.server, "path": format!("{}/{directory}", bed.share)},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "",
            "volumeMode": "Filesystem",
        },
    })
}

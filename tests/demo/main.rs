//! `make demo`: Bindery's whole job on a real Kubernetes API server and a real NFS server, told as it happens.
//!
//! Times are what a Rust client on this machine sees; a claim counts as bound when the API server says so.

#[path = "../support/bed.rs"]
#[allow(dead_code)]
mod bed;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{DeleteParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::bed::Bed;

const NAMESPACE: &str = "default";
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<()> {
    let bed = Bed::get();
    let client = bed.admin().await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), NAMESPACE);
    let volumes: Api<PersistentVolume> = Api::all(client);
    println!();
    let version = version(&claims).await?;
    println!("  Kubernetes {version}, NFS server {}:{}", bed.server, bed.share);
    println!();

    // A claim.
    let began = Instant::now();
    let claim = claims
        .create(&PostParams::default(), &claim("data", json!({}))?)
        .await
        .context("the claim")?;
    let created = began.elapsed();
    let name = claim
        .spec
        .and_then(|spec| spec.volume_name)
        .context("the claim came back without a volume")?;
    let volume = volumes.get(&name).await?;
    let directory = sub_dir(&volume)?;
    let path = bed.export.join(directory);
    let mode = path
        .metadata()
        .context("the directory on the server")?
        .permissions()
        .mode()
        & 0o7777;
    until_bound(&claims, "data").await?;
    let bound = began.elapsed();
    say(
        "claim created",
        &format!("in {}; the volume was there when the create returned", ms(created)),
    );
    say("volume", &name);
    say("directory", &format!("{directory}, mode {mode:04o}"));
    say("claim bound", &format!("in {}", ms(bound)));

    // Its directory is used.
    std::fs::write(path.join("greeting"), "hello\n")?;
    say("file written", &list(&path)?);

    // A claim that cannot be.
    let impossible = claim_with_block_mode()?;
    match claims.create(&PostParams::default(), &impossible).await {
        Err(kube::Error::Api(status)) => say("claim refused", &status.message),
        other => bail!("a claim for a block device was not refused: {other:?}"),
    }

    // The end.
    let began = Instant::now();
    claims.delete("data", &DeleteParams::default()).await?;
    until_gone(&volumes, &name).await?;
    say(
        "claim deleted",
        &format!("volume gone and directory archived in {}", ms(began.elapsed())),
    );
    let archive = archive_of(&bed.export, directory)?;
    say("archive", &archive);
    say("", &format!("  with {}", list(&bed.export.join(&archive))?));
    println!();
    Ok(())
}

fn say(what: &str, text: &str) {
    println!("  {what:<15}{text}");
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn claim(name: &str, fields: Value) -> Result<PersistentVolumeClaim> {
    let mut claim = json!({
        "metadata": {"name": name},
        "spec": {
            "storageClassName": "bindery",
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    });
    json_patch::merge(&mut claim, &fields);
    Ok(serde_json::from_value(claim)?)
}

fn claim_with_block_mode() -> Result<PersistentVolumeClaim> {
    claim("disk", json!({"spec": {"volumeMode": "Block"}}))
}

async fn version(claims: &Api<PersistentVolumeClaim>) -> Result<String> {
    Ok(claims.clone().into_client().apiserver_version().await?.git_version)
}

fn sub_dir(volume: &PersistentVolume) -> Result<&str> {
    let marks = volume.annotations();
    Ok(marks
        .get(bindery::model::names::mark::SUB_DIR)
        .context("the volume names no directory")?)
}

async fn until_bound(claims: &Api<PersistentVolumeClaim>, name: &str) -> Result<()> {
    let bound = |claim: &PersistentVolumeClaim| {
        claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
    };
    watch(claims.clone(), name, "bound", |claim| claim.is_some_and(bound)).await
}

async fn until_gone(volumes: &Api<PersistentVolume>, name: &str) -> Result<()> {
    watch(volumes.clone(), name, "gone", |volume| volume.is_none()).await
}

/// Watches one object until it is as it shall be.
async fn watch<K>(api: Api<K>, name: &str, what: &str, done: impl Fn(Option<&K>) -> bool) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let mut states = std::pin::pin!(watcher::watch_object(api, name));
    let wait = async {
        while let Some(state) = states.try_next().await? {
            if done(state.as_ref()) {
                return Ok(());
            }
        }
        bail!("the watch of {name} ended")
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.with_context(|| format!("{name} is not {what} after {PATIENCE:?}"))?
}

fn list(folder: &Path) -> Result<String> {
    let entries = std::fs::read_dir(folder)?;
    let names: Vec<_> = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    Ok(names.join(" "))
}

fn archive_of(export: &Path, directory: &str) -> Result<String> {
    let prefix = format!("archived-{directory}-");
    for entry in std::fs::read_dir(export)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix) {
            return Ok(name);
        }
    }
    bail!("no archive of {directory} on the server")
}

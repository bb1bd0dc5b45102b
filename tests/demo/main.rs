//! `make demo`: shows what Bindery does, on a real Kubernetes API server and a real NFS server.
//!
//! Times are measured by a client on this machine. A claim is bound when the API server reports it as bound.

#[path = "../support/bed.rs"]
#[allow(dead_code)]
mod bed;
mod screen;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::PostParams;
use kube::runtime::watcher;
use kube::{Api, ResourceExt};

use crate::bed::Bed;
use crate::screen::Screen;

const NAMESPACE: &str = "default";
const TIME_LIMIT: Duration = Duration::from_secs(30);

const TEAM_A: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: team-a
  annotations:
    bindery.dev/on-delete: delete
    bindery.dev/uid: \"0\"
";

#[tokio::main]
async fn main() -> Result<()> {
    let demo = Demo::new().await?;
    let mut screen = Screen::new(demo.folder.clone());
    demo.introduce().await?;
    let data = demo.claim(&mut screen).await?;
    files(&mut screen, &data)?;
    refusal(&mut screen)?;
    let scratch = demo.namespace_policy(&mut screen).await?;
    demo.deletion(&mut screen, &[&data, &scratch]).await?;
    events(&mut screen)?;
    println!();
    Ok(())
}

struct Demo {
    bed: &'static Bed,
    claims: Api<PersistentVolumeClaim>,
    volumes: Api<PersistentVolume>,
    /// The folder of the manifests.
    folder: PathBuf,
}

impl Demo {
    async fn new() -> Result<Self> {
        let bed = Bed::get();
        let client = bed.admin().await;
        let folder = std::env::var("BINDERY_BED").context("BINDERY_BED is not set: run `make demo`")?;
        let folder = Path::new(&folder).join("demo");
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            bed,
            claims: Api::namespaced(client.clone(), NAMESPACE),
            volumes: Api::all(client),
            folder,
        })
    }

    async fn introduce(&self) -> Result<()> {
        let kubernetes = self.claims.clone().into_client().apiserver_version().await?.git_version;
        println!();
        println!(
            "  Kubernetes {kubernetes}, NFS server {}:{}, StorageClass bindery; Bindery without optimisation.",
            self.bed.server, self.bed.share
        );
        Ok(())
    }

    /// Shows that a claim gets its volume. Returns the volume.
    async fn claim(&self, screen: &mut Screen) -> Result<PersistentVolume> {
        screen.chapter("A claim gets its volume inside the request that creates it");
        let claim: PersistentVolumeClaim = serde_json::from_value(manifest("data", ""))?;
        let began = Instant::now();
        let claim = self.claims.create(&PostParams::default(), &claim).await?;
        let created = began.elapsed();
        let spec = claim.spec.context("the claim has no spec")?;
        let name = spec.volume_name.context("the claim came back without a volume")?;
        let volume = self.volumes.get(&name).await?;
        let exists = self.bed.export.join(sub_dir(&volume)?).is_dir();
        anyhow::ensure!(exists, "the directory does not exist");
        self.until_bound("data").await?;
        let bound = began.elapsed();
        screen.fact(&format!(
            "claim data: created in {}, and its volume and directory exist; bound after {}",
            milliseconds(created),
            milliseconds(bound)
        ));
        screen.run(&["kubectl", "get", "pvc"])?;
        screen.run(&["kubectl", "get", "pv"])?;
        Ok(volume)
    }

    /// Shows the settings of a namespace. Returns the volume of a claim in it.
    async fn namespace_policy(&self, screen: &mut Screen) -> Result<PersistentVolume> {
        screen.chapter("A namespace sets what the class permits; a warning names what the class does not permit");
        screen.file("team-a.yaml", TEAM_A)?;
        screen.file("scratch.yaml", &manifest("scratch", "").to_string())?;
        screen.run(&["cat", "team-a.yaml"])?;
        screen.run(&["kubectl", "create", "-f", "team-a.yaml"])?;
        screen.run(&["kubectl", "create", "-n", "team-a", "-f", "scratch.yaml"])?;
        screen.run(&["bindery", "explain", "-n", "team-a", "scratch"])?;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.claims.clone().into_client(), "team-a");
        let spec = claims.get("scratch").await?.spec;
        let name = spec
            .and_then(|spec| spec.volume_name)
            .context("scratch has no volume")?;
        Ok(self.volumes.get(&name).await?)
    }

    /// Deletes the claims, and shows what happens to their directories.
    async fn deletion(&self, screen: &mut Screen, volumes: &[&PersistentVolume]) -> Result<()> {
        screen.chapter("The directory of a deleted claim is archived (default), or deleted, as its namespace says");
        screen.run(&["kubectl", "delete", "pvc", "data"])?;
        screen.run(&["kubectl", "delete", "pvc", "-n", "team-a", "scratch"])?;
        for volume in volumes {
            self.until_gone(&volume.name_any()).await?;
        }
        screen.run(&["kubectl", "get", "pv"])?;
        let root = format!("nfs://{}{}", self.bed.server, self.bed.share);
        screen.run(&["nfs-ls", &format!("{root}?version=4")])?;
        let archive = self.archive_of(sub_dir(volumes[0])?)?;
        screen.run(&["nfs-cat", &format!("{root}/{archive}/report.txt?version=4")])?;
        Ok(())
    }

    async fn until_bound(&self, name: &str) -> Result<()> {
        let bound = |claim: &PersistentVolumeClaim| {
            claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
        };
        watch(self.claims.clone(), name, "bound", |claim| claim.is_some_and(bound)).await
    }

    async fn until_gone(&self, name: &str) -> Result<()> {
        watch(self.volumes.clone(), name, "gone", |volume| volume.is_none()).await
    }

    fn archive_of(&self, directory: &str) -> Result<String> {
        let prefix = format!("archived-{directory}-");
        for entry in std::fs::read_dir(&self.bed.export)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with(&prefix) {
                return Ok(name);
            }
        }
        bail!("no archive of {directory} on the server")
    }
}

/// Shows that another NFS client can use the directory.
fn files(screen: &mut Screen, volume: &PersistentVolume) -> Result<()> {
    screen.chapter("An ordinary user of another NFS client writes a file");
    screen.file("report.txt", "written over NFS\n")?;
    let nfs = volume.spec.as_ref().and_then(|spec| spec.nfs.as_ref());
    let nfs = nfs.context("the volume names no NFS server")?;
    let directory = format!("nfs://{}{}", nfs.server, nfs.path);
    screen.run(&[
        "nfs-cp",
        "report.txt",
        &format!("{directory}/report.txt?version=4&uid=1000&gid=1000"),
    ])?;
    screen.run(&["nfs-ls", &format!("{directory}?version=4")])?;
    Ok(())
}

/// Shows a claim that cannot be served.
fn refusal(screen: &mut Screen) -> Result<()> {
    screen.chapter("A claim that cannot be served is refused, and its user reads why");
    screen.file("disk.yaml", &manifest("disk", "Block").to_string())?;
    screen.run_refused(&["kubectl", "create", "-f", "disk.yaml"])
}

/// Shows the Events.
fn events(screen: &mut Screen) -> Result<()> {
    screen.chapter("Each object has Events that say what happened to it");
    let columns = "custom-columns=TYPE:.type,REASON:.reason,OBJECT:.involvedObject.kind,MESSAGE:.message";
    screen.run(&["kubectl", "get", "events", "-o", columns])?;
    Ok(())
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn manifest(name: &str, volume_mode: &str) -> serde_json::Value {
    let mut claim = serde_json::json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": "bindery",
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    });
    if !volume_mode.is_empty() {
        claim["spec"]["volumeMode"] = volume_mode.into();
    }
    claim
}

fn sub_dir(volume: &PersistentVolume) -> Result<&str> {
    let directory = volume
        .annotations()
        .get(bindery::model::names::volume_annotation::SUB_DIR);
    Ok(directory.context("the volume names no directory")?)
}

/// Watches one object until `done` returns true.
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
    let waited = tokio::time::timeout(TIME_LIMIT, wait).await;
    waited.with_context(|| format!("{name} is not {what} after {} s", TIME_LIMIT.as_secs()))?
}

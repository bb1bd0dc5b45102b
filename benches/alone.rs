//! The webhook alone, on one processor: how many reviews it answers a second.
//!
//! A [`driver`](crate::driver) posts a recorded review; the API server is a [`stub`](crate::stub), the NFS server one in
//! memory (`embednfs`), both in this program. Bindery has the first processor, this program the others, and where it is
//! they that are busy first, the figure is theirs: what a review costs Bindery's process is shown beside it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::body::Bytes;
use embednfs::{CreateKind, CreateRequest, FileSystem, MemFs, NfsServer, RequestContext, SetAttrs};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::bed::Bed;
use crate::driver::{Driver, Expected, until_it_listens};
use crate::process::processor_time;
use crate::started::Bindery;
use crate::stub::{self, Stub};
use crate::table::{self, Table, Unit};

/// Nobody else's.
const SERVER: &str = "127.0.2.50";
const LINES: usize = 16;
const WARM_UP: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(5);

/// Measures reviews that pass and reviews that get volumes.
pub async fn measure(table: &mut Table, runs: u32) -> Result<()> {
    serve_directories().await?;
    let stub = stub::start(&Bed::get().provisioner, SERVER, "/export")?;
    let kubeconfig = kubeconfig(&stub)?;
    let cores = std::thread::available_parallelism()?.get();
    // With one processor there is nothing to part.
    let apart = Apart::begin(cores)?;
    for (class, expected, name, least) in [
        (
            stub::NOBODYS,
            Expected::Passed,
            "The webhook alone, on one processor: claims of nobody's class",
            3_000.0,
        ),
        (
            stub::OURS,
            Expected::Provisioned,
            "The webhook alone, on one processor: claims that get volumes",
            1_000.0,
        ),
    ] {
        let bindery = Bindery::start(&kubeconfig, &["--instance=stub".to_owned()], Some(0))?;
        bindery.until_ready().await?;
        until_it_listens(&bindery.webhook).await?;
        let mut driver = Driver::connect(&bindery.webhook, &stub.ca, LINES).await?;
        let review = review(class)?;
        driver.flat_out(&review, expected, WARM_UP).await?;
        let (mut rates, mut costs, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs {
            let before = processor_time(bindery.pid())?;
            let most = driver.flat_out(&review, expected, TIME).await?;
            let spent = processor_time(bindery.pid())?.saturating_sub(before);
            costs.push(1000.0 * spent.as_secs_f64() / (most.rate * TIME.as_secs_f64()));
            let half = driver.steadily(&review, expected, most.rate / 2.0, TIME).await?;
            rates.push(most.rate);
            p50.push(half.times.quantile(0.5));
            p99.push(half.times.quantile(0.99));
        }
        let mut part = table.part(name);
        part.runs(
            "reviews per second",
            &rates,
            Unit::Reviews,
            Some(table::Expected::AtLeast(least)),
        );
        part.runs("  its processor time for one", &costs, Unit::Ms, None);
        part.runs("at half of that: p50", &p50, Unit::Ms, None);
        part.runs("  p99", &p99, Unit::Ms, Some(table::Expected::AtMost(10.0)));
    }
    drop(apart);
    std::fs::remove_file(kubeconfig)?;
    Ok(())
}

/// A recorded review, of a claim of this class.
fn review(class: &str) -> Result<Bytes> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/webhook/reviews/create.json");
    let mut review: Value = serde_json::from_slice(&std::fs::read(file).context(file)?)?;
    review["request"]["object"]["spec"]["storageClassName"] = json!(class);
    Ok(Bytes::from(review.to_string()))
}

/// An NFS server in memory, with a directory that is exported.
async fn serve_directories() -> Result<()> {
    let files = MemFs::new();
    let export = CreateRequest {
        kind: CreateKind::Directory,
        attrs: SetAttrs::default(),
    };
    let (nobody, root) = (RequestContext::anonymous(), files.root());
    let created = files.create(&nobody, &root, "export", export).await;
    created.map_err(|error| anyhow::anyhow!("the NFS server in memory: {error:?}"))?;
    let listener = TcpListener::bind((SERVER, 2049)).await.context(SERVER)?;
    tokio::spawn(NfsServer::new(files).serve(listener));
    Ok(())
}

/// Who Bindery is at the stub: anybody. The file must be of the user that Bindery becomes.
fn kubeconfig(stub: &Stub) -> Result<PathBuf> {
    let bed = std::env::var("BINDERY_BED").context("BINDERY_BED is not set: run `make bench`")?;
    let file = PathBuf::from(bed).join("auth/stub");
    let ca = k8s_openapi::ByteString(stub.ca.clone().into_bytes());
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "stub", "cluster": {"server": stub.address, "certificate-authority-data": ca}}],
        "users": [{"name": "stub", "user": {"token": "stub"}}],
        "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "stub"}}],
        "current-context": "stub",
    });
    std::fs::write(&file, config.to_string())?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    if rustix::process::getuid().is_root() {
        std::os::unix::fs::chown(&file, Some(65532), Some(65532))?;
    }
    Ok(file)
}

/// This program without the first processor, until dropped.
struct Apart(usize);

impl Apart {
    fn begin(cores: usize) -> Result<Self> {
        if cores > 1 {
            let set = keep_to(&format!("1-{}", cores - 1))?;
            ensure!(set, "taskset does not part the processors");
        }
        Ok(Self(cores))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = keep_to(&format!("0-{}", self.0 - 1));
    }
}

/// All threads of this program.
fn keep_to(processors: &str) -> Result<bool> {
    let pid = std::process::id().to_string();
    let set = Command::new("taskset")
        .args(["-a", "-c", "-p", processors, &pid])
        .output();
    Ok(set.context("taskset")?.status.success())
}

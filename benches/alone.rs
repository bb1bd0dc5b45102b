//! The rate at which the webhook alone, on one processor, answers reviews.
//!
//! A [`driver`](crate::driver) posts a recorded review. The API server is a [`stub`](crate::stub), and the NFS server is in
//! memory (`embednfs`); both run in this program. Bindery runs on the first processor, and this program on the others. If
//! this program is the bottleneck, the rate is too low; so the processor time per review is shown, too.

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
use crate::driver::{self, Driver, Expected, until_it_listens};
use crate::process::processor_time;
use crate::started::Bindery;
use crate::stub::{self, Stub};
use crate::table::{self, Table, Unit};

const CONNECTIONS: usize = 16;
const WARM_UP: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(4);

/// Measures reviews that are admitted unchanged and reviews that get volumes.
pub async fn measure(table: &mut Table, runs: u32) -> Result<()> {
    // One server to warm up, and two for each run: the server in memory becomes slow with many directories, and the
    // benchmark would then measure that server.
    let servers: Vec<String> = (0..=2 * runs)
        .map(|number| format!("127.0.2.{}", 50 + number))
        .collect();
    for server in &servers {
        serve_directories(server).await?;
    }
    let stub = stub::start(&Bed::get().provisioner, &servers, "/export").await?;
    let kubeconfig = kubeconfig(&stub)?;
    let other_processors = OtherProcessors::begin()?;
    let kinds = [
        (
            "The webhook alone, on one processor: claims of another provisioner's class",
            Expected::Passed,
            3_000.0,
        ),
        (
            "The webhook alone, on one processor: claims that get volumes",
            Expected::Provisioned,
            1_000.0,
        ),
    ];
    for (name, expected, least) in kinds {
        let review = |number: u32| match expected {
            Expected::Passed => review(stub::OTHER_CLASS),
            Expected::Provisioned => review(&format!("ours-{number}")),
        };
        let bindery = Bindery::start(&kubeconfig, &["--instance=stub".to_owned()], Some(0))?;
        bindery.until_ready().await?;
        until_it_listens(&bindery.webhook).await?;
        let mut driver = Driver::connect(&bindery.webhook, &stub.ca, CONNECTIONS).await?;
        driver.at_full_speed(&review(0)?, expected, WARM_UP).await?;
        let (mut rates, mut costs, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for run in 0..runs {
            let before = processor_time(bindery.pid())?;
            let full_speed = driver.at_full_speed(&review(2 * run + 1)?, expected, TIME).await?;
            let spent = processor_time(bindery.pid())?.saturating_sub(before);
            costs.push(1e6 * spent.as_secs_f64() / f64::from(full_speed.answers));
            let half = full_speed.rate / 2.0;
            let half = driver.at_rate(&review(2 * run + 2)?, expected, half, TIME).await?;
            rates.push(full_speed.rate);
            p50.push(half.times.quantile(0.5));
            p99.push(half.times.quantile(0.99));
        }
        let mut part = table.part(name);
        let least = table::Expected::AtLeast(least);
        part.runs("reviews per second", &rates, Unit::Reviews, Some(least));
        part.runs("  processor time per review", &costs, Unit::Micros, None);
        part.runs("at half of that rate, p50", &p50, Unit::Ms, None);
        part.runs(
            "at half of that rate, p99",
            &p99,
            Unit::Ms,
            Some(table::Expected::AtMost(10.0)),
        );
    }
    drop(other_processors);
    std::fs::remove_file(kubeconfig)?;
    Ok(())
}

/// Returns a recorded review, with a claim of this class.
fn review(class: &str) -> Result<Bytes> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/webhook/reviews/create.json");
    let mut review: Value = serde_json::from_slice(&std::fs::read(file).context(file)?)?;
    review["request"]["object"]["spec"]["storageClassName"] = json!(class);
    // Each connection has reviews of a claim of its own.
    review["request"]["object"]["metadata"]["name"] = json!(driver::CLAIM_NAME);
    Ok(Bytes::from(review.to_string()))
}

/// Starts an NFS server in memory with an exported directory.
async fn serve_directories(address: &str) -> Result<()> {
    let files = MemFs::new();
    let export = CreateRequest {
        kind: CreateKind::Directory,
        attrs: SetAttrs::default(),
    };
    let (nobody, root) = (RequestContext::anonymous(), files.root());
    let created = files.create(&nobody, &root, "export", export).await;
    created.map_err(|error| anyhow::anyhow!("the NFS server in memory: {error:?}"))?;
    let listener = TcpListener::bind((address, 2049)).await.context(address.to_owned())?;
    tokio::spawn(NfsServer::new(files).serve(listener));
    Ok(())
}

/// Writes a kubeconfig for the stub, which accepts every user. The file must belong to the user of Bindery.
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

/// Runs this program only on the other processors, until dropped.
struct OtherProcessors(usize);

impl OtherProcessors {
    fn begin() -> Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        // With only one processor, both run on it.
        if cores > 1 {
            let set = pin_to(&format!("1-{}", cores - 1))?;
            ensure!(set, "taskset could not set the processors of this program");
        }
        Ok(Self(cores))
    }
}

impl Drop for OtherProcessors {
    fn drop(&mut self) {
        let _ = pin_to(&format!("0-{}", self.0 - 1));
    }
}

/// Runs all threads of this program on these processors. Returns whether taskset succeeded.
fn pin_to(processors: &str) -> Result<bool> {
    let pid = std::process::id().to_string();
    let set = Command::new("taskset")
        .args(["-a", "-c", "-p", processors, &pid])
        .output();
    Ok(set.context("taskset")?.status.success())
}

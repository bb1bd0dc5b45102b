//! The program: its size, the time from its start until it is ready, and its memory when idle.

use std::fmt::Debug;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::PostParams;
use kube::core::ClusterResourceScope;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::sleep;

use crate::bed::Bed;
use crate::place::object;
use crate::started::{Bindery, program};
use crate::table::{Expected, Table, Unit};
use crate::times::{Times, ms};

const STARTS: usize = 9;
/// The name of all objects of the started processes.
pub const NAME: &str = "bindery-bench";
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// The time without a change after which the memory is taken as stable.
const STABLE_TIME: Duration = Duration::from_secs(1);

/// Measures size, start and memory.
pub async fn measure(client: &Client, table: &mut Table) -> Result<()> {
    register(client).await?;
    let mut part = table.part("The program");
    let program = program()?;
    let size = std::fs::metadata(&program).context(program)?.len();
    part.expect(
        "release binary",
        megabytes(size),
        Unit::Megabytes,
        Expected::AtMost(12.0),
    );

    let mut times = Times::new();
    let mut fresh = 0.0;
    for start in 1..=STARTS {
        let began = Instant::now();
        let bindery = second()?;
        bindery.until_ready().await?;
        times.push(began.elapsed());
        if start == STARTS {
            fresh = stable_memory(bindery.pid()).await?;
        }
    }
    let limit = Expected::AtMost(0.5);
    part.expect("start to ready, median", times.median() / 1000.0, Unit::Seconds, limit);
    part.note(
        "start to ready, slowest of 9",
        times.quantile(1.0) / 1000.0,
        Unit::Seconds,
    );
    let limit = Expected::AtMost(15.0);
    part.expect("memory, just started", fresh, Unit::Megabytes, limit);
    let idle = stable_memory(of_the_bed()?).await?;
    part.expect("memory, Bindery of the test bed, idle", idle, Unit::Megabytes, limit);
    Ok(())
}

/// Starts a second Bindery with its own objects.
pub fn second() -> Result<Bindery> {
    let bed = Bed::get();
    let flags = [
        format!("--webhook-configuration={NAME}"),
        format!("--provisioner-name=bindery.dev/{NAME}"),
        format!("--instance={NAME}"),
        format!("--lease={NAME}"),
        format!("--tls-secret={NAME}"),
        format!("--nfs-server={}", bed.server),
        format!("--nfs-share={}", bed.share),
    ];
    Bindery::start(&bed.bindery_kubeconfig, &flags, None)
}

/// Measures the processor time and memory that the test bed's Bindery needs for a number of claims.
pub struct WorkCost {
    pid: u32,
    before: Duration,
}

impl WorkCost {
    /// Begins the measurement.
    pub fn begin() -> Result<Self> {
        let pid = of_the_bed()?;
        let before = processor_time(pid)?;
        Ok(Self { pid, before })
    }

    /// Ends the measurement. `claims` is the number of claims that were created and deleted.
    pub async fn end(self, claims: u32, table: &mut Table) -> Result<()> {
        let memory = stable_memory(self.pid).await?;
        let spent = processor_time(self.pid)?.saturating_sub(self.before);
        let mut part = table.part("The program after the bursts");
        part.note("processor time per claim", ms(spent / claims), Unit::Ms);
        part.note("memory, idle again", memory, Unit::Megabytes);
        Ok(())
    }
}

/// Measures the peak memory of the bed's Bindery.
pub struct Peak(u32);

impl Peak {
    /// Begins the measurement, without earlier peaks.
    pub fn begin() -> Result<Self> {
        let pid = of_the_bed()?;
        // See proc_pid_clear_refs(5): this resets the peak to the current value.
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("the peak of its memory")?;
        Ok(Self(pid))
    }

    /// Returns the peak in megabytes.
    pub fn end(self) -> Result<f64> {
        Ok(megabytes(memory(self.0, "VmHWM:")?))
    }
}

/// Creates a webhook configuration for the process, without rules, and the permission to write the CA into it.
pub async fn register(client: &Client) -> Result<()> {
    let configuration: MutatingWebhookConfiguration = object(json!({
        "metadata": {"name": NAME},
        "webhooks": [{
            "name": "claims.bindery.dev",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": {"url": "https://127.0.0.1:1/mutate"},
            "rules": [],
        }],
    }))?;
    once(client, &configuration).await?;
    let right = json!({
        "apiGroups": ["admissionregistration.k8s.io"],
        "resources": ["mutatingwebhookconfigurations"],
        "resourceNames": [NAME],
        "verbs": ["get", "list", "watch", "patch"],
    });
    let own = |group: &str, resource: &str| {
        json!({
            "apiGroups": [group],
            "resources": [resource],
            "resourceNames": [NAME],
            "verbs": ["get", "list", "watch", "update"],
        })
    };
    let rules = json!([right, own("coordination.k8s.io", "leases"), own("", "secrets")]);
    let role: ClusterRole = object(json!({"metadata": {"name": NAME}, "rules": rules}))?;
    once(client, &role).await?;
    let binding: ClusterRoleBinding = object(json!({
        "metadata": {"name": NAME},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": "bindery", "namespace": "bindery"}],
    }))?;
    once(client, &binding).await
}

/// Creates an object, unless another part has created it.
async fn once<K>(client: &Client, object: &K) -> Result<()>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
{
    match Api::all(client.clone()).create(&PostParams::default(), object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        created => Ok(created.map(drop)?),
    }
}

/// Waits until the resident memory of a process no longer changes, and returns it in megabytes.
pub async fn stable_memory(pid: u32) -> Result<f64> {
    let began = Instant::now();
    let mut before = resident(pid)?;
    loop {
        sleep(STABLE_TIME).await;
        let now = resident(pid)?;
        if now == before || began.elapsed() > TIME_LIMIT {
            return Ok(megabytes(now));
        }
        before = now;
    }
}

fn resident(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS:")
}

/// Returns a value of `/proc/PID/status` in bytes.
fn memory(pid: u32, which: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(which));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: u64 = kibibytes.context("a process without memory")?.parse()?;
    Ok(kibibytes * 1024)
}

/// Returns the processor time of a process: all threads, in user and system mode.
pub fn processor_time(pid: u32) -> Result<Duration> {
    // The unit of times in /proc is always 10 ms on Linux.
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may contain any characters.
    let (_, fields) = stat.rsplit_once(')').context("a process without a name")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    Ok(TICK * ticks.sum::<Result<u32, _>>()?)
}

/// Waits until the machine is nearly idle, for a limited time.
pub async fn wait_until_idle() -> Result<()> {
    let began = Instant::now();
    loop {
        let (all, idle) = machine_time()?;
        sleep(STABLE_TIME).await;
        let (all, idle) = machine_time().map(|(all_now, idle_now)| (all_now - all, idle_now - idle))?;
        if idle * 10 > all * 9 || began.elapsed() > TIME_LIMIT {
            return Ok(());
        }
    }
}

/// Returns the time of all processors and their idle time, in the unit of `proc_stat(5)`.
fn machine_time() -> Result<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let first = stat.lines().next().context("/proc/stat is empty")?;
    let times: Vec<u64> = first
        .split_whitespace()
        .skip(1)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok((times.iter().sum(), times.get(3).copied().unwrap_or_default()))
}

/// Returns the pid of the bed's Bindery.
pub fn of_the_bed() -> Result<u32> {
    let bed = std::env::var("BINDERY_BED").context("BINDERY_BED is not set: run `make bench`")?;
    let pid = std::fs::read_to_string(Path::new(&bed).join("run/bindery.pid"))?;
    Ok(pid.trim().parse()?)
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

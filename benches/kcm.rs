//! Restarts kube-controller-manager of the test bed with other limits, and pauses it.
//!
//! The process is found by the pid file of the bed and started by the script of the bed, so the bed stops it as usual,
//! even if this program dies.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::place::Place;

/// Limits that administrators of large clusters use.
pub const FAST: [&str; 2] = ["--kube-api-qps=200", "--kube-api-burst=400"];
const TIME_LIMIT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(20);

/// A kube-controller-manager that this program has restarted.
pub struct ControllerManager {
    child: Child,
}

impl ControllerManager {
    /// Restarts kube-controller-manager with these additional arguments, and waits until it has created the default
    /// ServiceAccount in this new namespace.
    pub async fn replace(client: &Client, namespace: &'static str, more: &[&str]) -> Result<Self> {
        end()?;
        let began = Instant::now();
        while runs()?.is_some() {
            ensure!(began.elapsed() < TIME_LIMIT, "the controller manager does not end");
            sleep(PAUSE).await;
        }
        let log = File::options().append(true).open(run("kcm.log")?)?;
        let child = Command::new(run("kcm.sh")?)
            .args(more)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("the controller manager does not start")?;
        let place = Place::new(client, namespace).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), place.name);
        while accounts.get_opt("default").await?.is_none() {
            ensure!(began.elapsed() < TIME_LIMIT, "the controller manager does nothing");
            sleep(PAUSE).await;
        }
        Ok(Self { child })
    }

    /// Restarts kube-controller-manager with its original arguments.
    pub async fn restore(mut self, client: &Client, namespace: &'static str) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        // The test bed stops the new process.
        Self::replace(client, namespace, &[]).await.map(drop)
    }
}

/// Pauses kube-controller-manager until dropped.
pub struct Paused(Pid);

impl Paused {
    /// Pauses kube-controller-manager.
    pub fn begin() -> Result<Self> {
        let pid = runs()?.context("the controller manager does not run")?;
        kill_process(pid, Signal::STOP)?;
        Ok(Self(pid))
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        // The process may have been stopped together with the test bed.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

fn end() -> Result<()> {
    if let Some(pid) = runs()? {
        kill_process(pid, Signal::KILL).context("the controller manager")?;
    }
    Ok(())
}

/// Returns the pid of kube-controller-manager if it runs. Checks the environment of the process, because another process
/// may have got the pid in the file.
fn runs() -> Result<Option<Pid>> {
    let pid: i32 = std::fs::read_to_string(run("kcm.pid")?)?.trim().parse()?;
    let part = format!("BINDERY_BED_PART={}", run("kcm")?.display());
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let is_it = environment.split(|&byte| byte == 0).any(|set| set == part.as_bytes());
    Ok(Pid::from_raw(pid).filter(|_| is_it))
}

fn run(file: &str) -> Result<PathBuf> {
    let bed = std::env::var("BINDERY_BED").context("BINDERY_BED is not set: run `make bench`")?;
    Ok(PathBuf::from(bed).join("run").join(file))
}

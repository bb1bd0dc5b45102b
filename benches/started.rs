//! A Bindery of this program's own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use crate::admin_port::get;

const PATIENCE: Duration = Duration::from_secs(20);
/// How often a process is asked whether it is ready: the error of the figure.
pub const PAUSE: Duration = Duration::from_millis(1);

/// Its process, ended when dropped.
pub struct Bindery {
    child: Child,
    admin: String,
    /// Where its webhook listens.
    pub webhook: String,
}

impl Bindery {
    /// Starts it as its pod would, the shell that drops all privileges included; on one processor alone, if that is said.
    pub fn start(kubeconfig: &Path, flags: &[String], processor: Option<usize>) -> Result<Self> {
        let admin = format!("127.0.0.1:{}", free_port()?);
        let webhook = format!("127.0.0.1:{}", free_port()?);
        let as_bindery = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/as-bindery");
        let mut command = match processor {
            Some(processor) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &processor.to_string(), as_bindery]);
                command
            }
            None => Command::new(as_bindery),
        };
        let child = command
            .arg(kubeconfig)
            .args([&program()?, "serve", "--log=error"])
            .arg(format!("--listen={webhook}"))
            .arg(format!("--admin-listen={admin}"))
            .args(["--namespace=bindery", "--replica=bench"])
            .args(flags)
            .stdin(Stdio::null())
            .spawn()
            .context("bindery does not start")?;
        Ok(Self { child, admin, webhook })
    }

    /// Which process it is.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns when it says that it is ready.
    pub async fn until_ready(&self) -> Result<()> {
        let began = Instant::now();
        while get(&self.admin, "/readyz").await.is_err() {
            ensure!(began.elapsed() < PATIENCE, "bindery is not ready after {PATIENCE:?}");
            sleep(PAUSE).await;
        }
        Ok(())
    }
}

impl Drop for Bindery {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program that is measured.
pub fn program() -> Result<String> {
    std::env::var("BINDERY_BIN").context("BINDERY_BIN is not set: run `make bench`")
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

//! A Bindery that this program starts.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use crate::admin_port::get;

const TIME_LIMIT: Duration = Duration::from_secs(20);
/// Pause between two readiness checks, which is the error of the measured time.
pub const PAUSE: Duration = Duration::from_millis(1);

/// A Bindery process. Dropping this kills it.
pub struct Bindery {
    child: Child,
    admin: String,
    /// URL of its webhook.
    pub webhook: String,
}

impl Bindery {
    /// Starts Bindery without privileges, as its pod does; on one processor only, if `processor` is set.
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

    /// Returns its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it is ready.
    pub async fn until_ready(&self) -> Result<()> {
        let began = Instant::now();
        while get(&self.admin, "/readyz").await.is_err() {
            ensure!(
                began.elapsed() < TIME_LIMIT,
                "bindery is not ready after {TIME_LIMIT:?}"
            );
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

/// Returns the path of the measured program.
pub fn program() -> Result<String> {
    std::env::var("BINDERY_BIN").context("BINDERY_BIN is not set: run `make bench`")
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

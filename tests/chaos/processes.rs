//! The processes that fail: two replicas of Bindery, and the bed's NFS server, API server, etcd and controller manager.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bindery::failpoints::Point;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::bed::Bed;
use crate::schedule::{Fault, Kind, Part};
use crate::tally::Tally;

/// How often a running process is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Pause before a process that ended by itself is restarted, as the kubelet does.
const RESTART_DELAY: Duration = Duration::from_millis(500);
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A process, and what is needed to start it again.
pub struct Process {
    part: Part,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    pid: Pid,
    /// `None` for a process that the bed has started.
    child: Option<Child>,
    tally: Arc<Tally>,
}

impl Process {
    /// Starts a replica. Returns it and the URL of its webhook.
    pub fn replica(part: Part, tally: Arc<Tally>) -> Result<(Self, String)> {
        let bed = Bed::get();
        let name = if part == Part::First { "first" } else { "second" };
        let program = std::env::var("BINDERY_BIN").context("BINDERY_BIN is not set: run `make chaos`")?;
        let webhook = format!("127.0.0.1:{}", free_port()?);
        let arguments = vec![
            bed.bindery_kubeconfig.display().to_string(),
            program,
            "serve".to_owned(),
            format!("--listen={webhook}"),
            format!("--admin-listen=127.0.0.1:{}", free_port()?),
            "--serving-name=127.0.0.1".to_owned(),
            format!("--replica={name}"),
            "--namespace=bindery".to_owned(),
            format!("--nfs-server={}", bed.server),
            format!("--nfs-share={}", bed.share),
            // Longer than the longest request (34 s) and the longest pause of the API server together.
            "--orphan-grace=60s".to_owned(),
            "--retention-interval=3s".to_owned(),
            "--log=info,kube=warn,bindery=debug".to_owned(),
        ];
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bed/as-bindery");
        let log = run_dir()?.join(format!("bindery-{name}.log"));
        let child = spawn(&program, &arguments, &log, None)?;
        let process = Self {
            part,
            program,
            arguments,
            log,
            pid: pid(&child),
            child: Some(child),
            tally,
        };
        Ok((process, format!("https://{webhook}/mutate")))
    }

    /// Returns a process that the bed has started, by its name there.
    pub fn of_the_bed(part: Part, name: &str, tally: Arc<Tally>) -> Result<Self> {
        let run = run_dir()?;
        let file = run.join(format!("{name}.pid"));
        let pid = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(Self {
            part,
            program: run.join(format!("{name}.sh")),
            arguments: Vec::new(),
            log: run.join(format!("{name}.log")),
            pid: Pid::from_raw(pid.trim().parse()?).context("a pid")?,
            child: None,
            tally,
        })
    }

    /// Returns which process this is.
    pub fn part(&self) -> Part {
        self.part
    }

    /// Injects these faults, one after the other, and keeps the process running between them and after the last one. Never
    /// returns without an error.
    pub async fn inject(mut self, faults: Vec<Fault>, began: Instant) -> Result<()> {
        for fault in faults {
            self.keep_running_until(began + fault.at).await?;
            self.tally.fault(fault.part, fault.kind);
            let over = Instant::now() + fault.duration;
            match fault.kind {
                Kind::Kill => {
                    self.stop(Signal::KILL).await?;
                    sleep(fault.duration).await;
                    self.start(None)?;
                }
                Kind::Terminate => {
                    self.stop(Signal::TERM).await?;
                    sleep(fault.duration).await;
                    self.start(None)?;
                }
                Kind::Pause => {
                    // If the process has just ended by itself, restart it first.
                    self.keep_running_until(Instant::now()).await?;
                    kill_process(self.pid, Signal::STOP)?;
                    sleep(fault.duration).await;
                    kill_process(self.pid, Signal::CONT)?;
                }
                Kind::CrashAt(point) => {
                    self.stop(Signal::KILL).await?;
                    self.start(Some(point))?;
                    while self.is_running()? && Instant::now() < over {
                        sleep(POLL_INTERVAL).await;
                    }
                    if self.reached_crash_point()? {
                        self.tally.crashed(point);
                    }
                    self.stop(Signal::KILL).await?;
                    self.start(None)?;
                }
            }
        }
        loop {
            self.keep_running_until(Instant::now() + TIME_LIMIT).await?;
        }
    }

    /// Returns whether the process has killed itself at its crash point.
    fn reached_crash_point(&mut self) -> Result<bool> {
        use std::os::unix::process::ExitStatusExt;
        let Some(child) = &mut self.child else { return Ok(false) };
        Ok(child
            .try_wait()?
            .is_some_and(|status| status.signal() == Some(Signal::KILL.as_raw())))
    }

    /// Restarts the process whenever it ends by itself. Bindery ends if it cannot reach the API server at its start.
    async fn keep_running_until(&mut self, until: Instant) -> Result<()> {
        loop {
            if !self.is_running()? {
                self.tally.ended_by_itself(self.part);
                sleep(RESTART_DELAY).await;
                self.start(None)?;
            }
            let now = Instant::now();
            if now >= until {
                return Ok(());
            }
            sleep(POLL_INTERVAL.min(until - now)).await;
        }
    }

    fn start(&mut self, crash_at: Option<Point>) -> Result<()> {
        let child = spawn(&self.program, &self.arguments, &self.log, crash_at)?;
        self.pid = pid(&child);
        self.child = Some(child);
        Ok(())
    }

    /// Sends the signal and waits until the process has ended.
    async fn stop(&mut self, signal: Signal) -> Result<()> {
        if self.is_running()? {
            kill_process(self.pid, signal)?;
        }
        let began = Instant::now();
        while self.is_running()? {
            if began.elapsed() > TIME_LIMIT {
                // After SIGTERM the API server waits for its open requests.
                if self.part != Part::ApiServer {
                    self.tally.finding(format!(
                        "{} did not end within {TIME_LIMIT:?} after signal {signal:?}",
                        self.part
                    ));
                }
                kill_process(self.pid, Signal::KILL)?;
            }
            sleep(POLL_INTERVAL / 5).await;
        }
        Ok(())
    }

    fn is_running(&mut self) -> Result<bool> {
        if let Some(child) = &mut self.child {
            return Ok(child.try_wait()?.is_none());
        }
        // A process of the bed may stay a zombie until its new parent collects it.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero()));
        Ok(stat.is_ok_and(|stat| {
            !stat
                .rsplit_once(") ")
                .is_some_and(|(_, state)| state.starts_with(['Z', 'X']))
        }))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns the number of faults of each process, as text.
pub fn count(faults: &[Fault]) -> String {
    let mut count: BTreeMap<Part, usize> = BTreeMap::new();
    for fault in faults {
        *count.entry(fault.part).or_default() += 1;
    }
    let counts: Vec<String> = count.iter().map(|(part, times)| format!("{part} {times}")).collect();
    counts.join(", ")
}

fn spawn(program: &Path, arguments: &[String], log: &Path, crash_at: Option<Point>) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .env_remove("FAILPOINTS");
    if let Some(point) = crash_at {
        command.env("FAILPOINTS", point.to_string());
    }
    command.spawn().with_context(|| program.display().to_string())
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Returns the folder in which the bed has logs, pids and start scripts of its processes.
pub fn run_dir() -> Result<PathBuf> {
    let bed = std::env::var("BINDERY_BED").context("BINDERY_BED is not set: run `make chaos`")?;
    Ok(Path::new(&bed).join("run"))
}

fn free_port() -> Result<u16> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    ensure!(port != 0, "a free port");
    Ok(port)
}

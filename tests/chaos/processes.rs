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

/// How often a process that ought to run is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// The kubelet starts a container again that ended by itself.
const KUBELET: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(30);

/// One part, and all that is needed to start it again.
pub struct Process {
    part: Part,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    pid: Pid,
    /// Not of a process that the bed has started.
    child: Option<Child>,
    tally: Arc<Tally>,
}

impl Process {
    /// Starts a replica; returns it with its webhook's address.
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
            // Above what the longest request (34 s) and the longest standstill of the API server may take together.
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

    /// A part that the bed has started, by the name that it has there.
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

    /// What it is.
    pub fn part(&self) -> Part {
        self.part
    }

    /// Lets these faults come to it, one after the other, and keeps it running in between, until `ends` and then for as
    /// long as nobody drops this.
    pub async fn suffer(mut self, faults: Vec<Fault>, began: Instant) -> Result<()> {
        for fault in faults {
            self.live_until(began + fault.at).await?;
            self.tally.fault(fault.part, fault.kind);
            let over = Instant::now() + fault.lasts;
            match fault.kind {
                Kind::Kill => {
                    self.end(Signal::KILL).await?;
                    sleep(fault.lasts).await;
                    self.start(None)?;
                }
                Kind::Terminate => {
                    self.end(Signal::TERM).await?;
                    sleep(fault.lasts).await;
                    self.start(None)?;
                }
                Kind::Pause => {
                    // One that has just ended by itself is started again first.
                    self.live_until(Instant::now()).await?;
                    kill_process(self.pid, Signal::STOP)?;
                    sleep(fault.lasts).await;
                    kill_process(self.pid, Signal::CONT)?;
                }
                Kind::CrashAt(point) => {
                    self.end(Signal::KILL).await?;
                    self.start(Some(point))?;
                    while self.lives()? && Instant::now() < over {
                        sleep(LOOK).await;
                    }
                    if self.said_crash_point()? {
                        self.tally.crashed(point);
                    }
                    self.end(Signal::KILL).await?;
                    self.start(None)?;
                }
            }
        }
        loop {
            self.live_until(Instant::now() + PATIENCE).await?;
        }
    }

    /// Whether it has come to the crash point it was started with: it ended by itself, by a signal.
    fn said_crash_point(&mut self) -> Result<bool> {
        use std::os::unix::process::ExitStatusExt;
        let Some(child) = &mut self.child else { return Ok(false) };
        Ok(child
            .try_wait()?
            .is_some_and(|status| status.signal() == Some(Signal::KILL.as_raw())))
    }

    /// Starts it again whenever it ends by itself: Bindery does when it cannot reach the API server as it starts.
    async fn live_until(&mut self, until: Instant) -> Result<()> {
        loop {
            if !self.lives()? {
                self.tally.ended_by_itself(self.part);
                sleep(KUBELET).await;
                self.start(None)?;
            }
            let now = Instant::now();
            if now >= until {
                return Ok(());
            }
            sleep(LOOK.min(until - now)).await;
        }
    }

    fn start(&mut self, crash_at: Option<Point>) -> Result<()> {
        let child = spawn(&self.program, &self.arguments, &self.log, crash_at)?;
        self.pid = pid(&child);
        self.child = Some(child);
        Ok(())
    }

    /// Sends the signal and waits for the end.
    async fn end(&mut self, signal: Signal) -> Result<()> {
        if self.lives()? {
            kill_process(self.pid, signal)?;
        }
        let began = Instant::now();
        while self.lives()? {
            if began.elapsed() > PATIENCE {
                // An API server that is asked to stop waits for the requests that it has.
                if self.part != Part::ApiServer {
                    self.tally
                        .finding(format!("{:?} did not end within {PATIENCE:?} of {signal:?}", self.part));
                }
                kill_process(self.pid, Signal::KILL)?;
            }
            sleep(LOOK / 5).await;
        }
        Ok(())
    }

    fn lives(&mut self) -> Result<bool> {
        if let Some(child) = &mut self.child {
            return Ok(child.try_wait()?.is_none());
        }
        // Who adopted what the bed has started may take its time to reap it.
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

/// How often each part failed, as the schedule has it.
pub fn count(faults: &[Fault]) -> BTreeMap<Part, usize> {
    let mut count = BTreeMap::new();
    for fault in faults {
        *count.entry(fault.part).or_default() += 1;
    }
    count
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

/// Where the bed keeps logs, pids and what starts its parts.
pub fn run_dir() -> Result<PathBuf> {
    let bed = std::env::var("BINDERY_BED").context("BINDERY_BED is not set: run `make chaos`")?;
    Ok(Path::new(&bed).join("run"))
}

fn free_port() -> Result<u16> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    ensure!(port != 0, "a free port");
    Ok(port)
}

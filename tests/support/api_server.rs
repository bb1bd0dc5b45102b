//! An API server of the test bed, which a test stops and starts again.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::eventually_within;

/// Time limit for the end of an API server. After SIGTERM it completes its requests.
const UNTIL_ENDED: Duration = Duration::from_mins(2);

/// Returns the path of a file in the folder of the bed's processes.
pub fn run(file: &str) -> PathBuf {
    PathBuf::from(std::env::var("BINDERY_BED").expect("BINDERY_BED"))
        .join("run")
        .join(file)
}

/// An API server of the test bed. It continues to run when this is dropped; the bed stops it.
pub struct ApiServer {
    name: &'static str,
    pid: Pid,
    child: Option<Child>,
}

impl ApiServer {
    /// Returns the API server with this name, which `up` has started: `apiserver` or `apiserver-2`.
    pub fn of_the_bed(name: &'static str) -> Self {
        let pid = std::fs::read_to_string(run(&format!("{name}.pid"))).expect("the API server's pid");
        Self {
            name,
            pid: Pid::from_raw(pid.trim().parse().expect("a pid")).expect("a pid"),
            child: None,
        }
    }

    /// Stops the API server with this signal, and starts it again.
    pub async fn restart(&mut self, signal: Signal) {
        kill_process(self.pid, signal).expect("the API server runs");
        let pid = self.pid;
        // Its first thread may have ended while another one still holds the port.
        let ended = format!("{} has ended with all its threads", self.name);
        eventually_within(UNTIL_ENDED, &ended, async || {
            let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
            let threads = std::fs::read_dir(process.join("task")).map_or(0, Iterator::count);
            let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
            let state = stat.rsplit_once(") ").map(|(_, state)| state.to_owned());
            let is_over = state.is_none_or(|state| state.starts_with(['Z', 'X']));
            (is_over && threads <= 1).then_some(())
        })
        .await;
        if let Some(mut child) = self.child.take() {
            child.wait().expect("its end");
        }
        let log = std::fs::File::options()
            .append(true)
            .open(run(&format!("{}.log", self.name)))
            .expect("its log");
        let child = Command::new(run(&format!("{}.sh", self.name)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("its log"))
            .stderr(log)
            .spawn()
            .expect("the API server starts");
        self.pid = Pid::from_child(&child);
        self.child = Some(child);
    }
}

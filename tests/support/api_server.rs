//! The API server of the test bed, which a test kills and starts again.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::wait::eventually;

/// Returns the path of a file in the folder of the bed's processes.
pub fn run(file: &str) -> PathBuf {
    PathBuf::from(std::env::var("BINDERY_BED").expect("BINDERY_BED"))
        .join("run")
        .join(file)
}

/// The API server of the test bed.
pub struct ApiServer {
    pid: Pid,
    child: Option<Child>,
}

impl ApiServer {
    /// Returns the API server that `up` has started.
    pub fn of_the_bed() -> Self {
        let pid = std::fs::read_to_string(run("apiserver.pid")).expect("the API server's pid");
        Self {
            pid: Pid::from_raw(pid.trim().parse().expect("a pid")).expect("a pid"),
            child: None,
        }
    }

    /// Kills the API server and starts it again.
    pub async fn restart(&mut self) {
        kill_process(self.pid, Signal::KILL).expect("the API server runs");
        let pid = self.pid;
        if let Some(mut child) = self.child.take() {
            child.wait().expect("its end");
        }
        // Its first thread may have ended while another one still holds the port.
        eventually("the API server has ended with all its threads", async || {
            let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
            let threads = std::fs::read_dir(process.join("task")).map_or(0, Iterator::count);
            let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
            let state = stat.rsplit_once(") ").map(|(_, state)| state.to_owned());
            let is_over = state.is_none_or(|state| state.starts_with(['Z', 'X']));
            (is_over && threads <= 1).then_some(())
        })
        .await;
        let log = std::fs::File::options()
            .append(true)
            .open(run("apiserver.log"))
            .expect("its log");
        let child = Command::new(run("apiserver.sh"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("its log"))
            .stderr(log)
            .spawn()
            .expect("the API server starts");
        self.pid = Pid::from_child(&child);
        self.child = Some(child);
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

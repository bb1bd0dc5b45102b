//! What stops a Ceph cluster and its clients, for `tests/ceph_faults.rs`.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::ceph::{ceph, folder, mds, variable};
use super::signals::{pause, resume, signal};
use super::wait::eventually;

/// A process of the cluster, which `tests/bed/ceph/up` has started. Dropping this lets it run again.
pub struct Daemon {
    name: &'static str,
    frozen: bool,
    /// What Ceph called the process that was killed.
    killed: Option<u64>,
}

impl Daemon {
    /// Returns the process `osd` or `mds`.
    pub fn of(name: &'static str) -> Self {
        Self {
            name,
            frozen: false,
            killed: None,
        }
    }

    /// Pauses it: connections are still accepted, but nothing answers.
    pub fn freeze(&mut self) {
        pause(self.pid());
        self.frozen = true;
    }

    /// Resumes the paused process.
    pub fn thaw(&mut self) {
        self.frozen = false;
        resume(self.pid());
    }

    /// Ends it at once, as a crash would.
    pub async fn kill(&mut self) {
        let pid = self.pid();
        self.killed = active();
        signal(pid, "KILL");
        let program = format!("/proc/{pid}/exe");
        eventually(&format!("{} ends", self.name), async || {
            (!Path::new(&program).exists()).then_some(())
        })
        .await;
    }

    /// Starts the MDS that was killed, and waits until it serves its clients again.
    pub async fn start(&mut self) {
        assert_eq!(self.name, "mds");
        let log = File::options().append(true).open(self.file("log")).expect("its log");
        let mut child = Command::new("ceph-mds")
            .args(["-c", &variable("CEPH_CONF"), "-i", "a", "-f"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("its log"))
            .stderr(log)
            // It must outlive the test, also if a terminal interrupts that.
            .process_group(0)
            .spawn()
            .expect("ceph-mds runs");
        fs::write(self.file("pid"), format!("{}\n", child.id())).expect("its pid");
        // It may be killed again.
        std::thread::spawn(move || child.wait());
        eventually("the new MDS serves the clients", async || {
            active().filter(|active| Some(*active) != self.killed)
        })
        .await;
    }

    fn pid(&self) -> u32 {
        let pid = fs::read_to_string(self.file("pid")).expect("its pid");
        pid.trim().parse().expect("a pid")
    }

    fn file(&self, extension: &str) -> PathBuf {
        folder("run").join(self.name).with_extension(extension)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.frozen {
            self.thaw();
        }
    }
}

/// Ceph has ended the sessions of a client, and refuses it until the client starts again. In the cluster of the tests, such a
/// client may come back at once, unless this value exists.
pub struct Eviction;

impl Eviction {
    /// Evicts the clients with this session.
    pub fn of(session: &str) -> Self {
        mds(&["config", "set", "mds_session_blocklist_on_evict", "true"]);
        let eviction = Self;
        mds(&["session", "evict", session]);
        eviction
    }
}

impl Drop for Eviction {
    fn drop(&mut self) {
        mds(&["config", "set", "mds_session_blocklist_on_evict", "false"]);
    }
}

/// Kills the program behind this mount. Its session ends, too: others must not wait for it.
pub fn kill_client(mount_point: &Path) {
    let sessions: Value = serde_json::from_str(&mds(&["session", "ls"])).expect("JSON");
    let mut clients = sessions.as_array().expect("sessions").iter();
    let client =
        clients.find(|client| client["client_metadata"]["mount_point"] == *mount_point.to_str().expect("text"));
    let client = client.expect("the session of the mount");
    let pid = client["client_metadata"]["pid"].as_str().expect("its pid");
    signal(pid.parse().expect("a pid"), "KILL");
    mds(&["session", "evict", &format!("id={}", client["id"])]);
}

/// Returns Ceph's number of the MDS that serves the clients.
fn active() -> Option<u64> {
    let map: Value = serde_json::from_str(&ceph(&["mds", "stat", "-f", "json"])).expect("JSON");
    let servers = map["fsmap"]["filesystems"][0]["mdsmap"]["info"].as_object()?;
    let active = servers.values().find(|server| server["state"] == "up:active")?;
    active["gid"].as_u64()
}

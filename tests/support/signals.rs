//! Signals to processes.

use std::process::Command;
use std::time::{Duration, Instant};

/// Sends a signal, by its name without "SIG".
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(status.expect("kill runs").success(), "SIG{name} to {pid}");
}

/// Pauses a process, and returns when all its threads are paused.
pub fn pause(pid: u32) {
    signal(pid, "STOP");
    let tasks = format!("/proc/{pid}/task");
    let stands = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(task.expect("a thread").path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
    };
    let late = Instant::now() + Duration::from_secs(10);
    while !std::fs::read_dir(&tasks).expect("its threads").all(stands) {
        assert!(Instant::now() < late, "process {pid} is not paused after 10 s");
        std::thread::yield_now();
    }
}

/// Resumes a paused process.
pub fn resume(pid: u32) {
    signal(pid, "CONT");
}

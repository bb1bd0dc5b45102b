//! A file system on a loop device that a test can freeze, fill and mount again with other options.

use std::path::{Path, PathBuf};
use std::process::Command;

const SIZE: &str = "64M";

/// A mounted ext4 file system. Dropping this thaws and unmounts it, and detaches its loop device.
pub struct Disk {
    at: PathBuf,
    device: String,
    /// The command before each program: it enters the network of a server, which has mounts of its own.
    enter: Vec<String>,
}

impl Disk {
    /// Creates a file system in the file `image`, and mounts it at a directory.
    pub fn mount(image: &Path, at: &Path, enter: Vec<String>) -> Self {
        let path = |path: &Path| path.display().to_string();
        run("truncate", &["-s", SIZE, &path(image)]);
        run("mkfs.ext4", &["-q", &path(image)]);
        let device = run("losetup", &["--find", "--show", &path(image)]).trim().to_owned();
        let disk = Self {
            at: at.to_owned(),
            device,
            enter,
        };
        disk.run("mount \"$DEVICE\" \"$DISK\"");
        disk
    }

    /// Runs a shell script where the disk is mounted, and returns what it prints. `DISK` is the directory of the disk.
    pub fn run(&self, script: &str) -> String {
        let output = self.script(script).output().expect("sh");
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn script(&self, script: &str) -> Command {
        let words = ["sh", "-ec", script];
        let mut words = self.enter.iter().map(String::as_str).chain(words);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).env("DISK", &self.at).env("DEVICE", &self.device);
        command
    }

    /// Freezes the file system: from now on all writes wait.
    pub fn freeze(&self) {
        run("fsfreeze", &["--freeze", &self.at.display().to_string()]);
    }

    /// Thaws the file system, if it is frozen.
    pub fn thaw(&self) {
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(&self.at).output();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.thaw();
        // These fail if the file system was never mounted.
        let _ = self.script("umount --lazy \"$DISK\"").output();
        let _ = Command::new("losetup").args(["--detach", &self.device]).output();
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

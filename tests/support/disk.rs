//! A file system on a loop device that a test can freeze: all writes then wait until it is thawed.

use std::path::{Path, PathBuf};
use std::process::Command;

const SIZE: &str = "64M";

/// A mounted ext4 file system. Dropping this thaws and unmounts it, and detaches its loop device.
pub struct Disk {
    at: PathBuf,
    device: String,
}

impl Disk {
    /// Creates a file system in the file `image`, and mounts it at a directory.
    pub fn mount(image: &Path, at: &Path) -> Self {
        let path = |path: &Path| path.display().to_string();
        run("truncate", &["-s", SIZE, &path(image)]);
        run("mkfs.ext4", &["-q", &path(image)]);
        let device = run("losetup", &["--find", "--show", &path(image)]).trim().to_owned();
        let disk = Self {
            at: at.to_owned(),
            device,
        };
        run("mount", &[&disk.device, &path(at)]);
        disk
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
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).output();
        let _ = Command::new("losetup").args(["--detach", &self.device]).output();
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

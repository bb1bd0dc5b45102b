//! The NFS server of the Linux kernel. There is one for all tests, in a virtual machine, and these tests run in that machine
//! (see `tests/bed/knfsd/conformance`), one after the other: they see the directories of the server as on its disk.

use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use bindery::model::directory::{NfsVersion, Share};

use super::bed::Bed;
use super::kind::{Restartable, Server};
use super::nfs::share;

/// The address of the server in the network of the tests.
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 1, 1));

/// The server. It runs before and after each test.
pub struct Knfsd {
    version: NfsVersion,
    stopped: bool,
    paused: bool,
}

impl Knfsd {
    /// Empties the shares, and returns the server.
    pub fn start(version: NfsVersion) -> Self {
        for export in ["export", "squashed", "readonly", "privileged"] {
            empty(&Path::new("/").join(export));
        }
        Self {
            version,
            stopped: false,
            paused: false,
        }
    }
}

impl Server for Knfsd {
    fn share(&self, path: &str) -> Share {
        share(SERVER, path).over(self.version)
    }

    fn address(&self) -> IpAddr {
        SERVER
    }

    fn dir_of(&self, export: &str) -> PathBuf {
        Path::new("/").join(export)
    }
}

impl Restartable for Knfsd {
    fn kill(&mut self) {
        self.stopped = true;
        command("stop");
    }

    fn restart(&mut self) {
        command("start");
        self.stopped = false;
    }

    fn freeze(&mut self) {
        self.paused = true;
        command("pause");
    }

    fn thaw(&mut self) {
        command("continue");
        self.paused = false;
    }
}

impl Drop for Knfsd {
    fn drop(&mut self) {
        if self.paused {
            self.thaw();
        }
        if self.stopped {
            self.restart();
        }
    }
}

/// The server as this host sees it: the test bed uses it, with directories that are mounted here.
pub struct ServerOfBed {
    version: NfsVersion,
}

/// Returns the server of the bed, if the bed uses Linux's own (see `KNFSD` in `tests/bed/up`).
pub fn of_bed(version: NfsVersion) -> Option<ServerOfBed> {
    std::env::var_os("KNFSD").map(|_| ServerOfBed { version })
}

/// Returns the inode number of a directory in the bed's export. sshfs does not show it, so the virtual machine is asked.
pub fn inode(directory: &Path) -> u64 {
    let Ok(disk) = std::env::var("KNFSD") else {
        return fs::metadata(directory).expect("a directory").ino();
    };
    let below = directory.strip_prefix(&Bed::get().export).expect("in the export");
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/knfsd/in-guest"))
        .arg(format!(
            "stat -c %i '/srv/{disk}/conformance/export/{}'",
            below.display()
        ))
        .output()
        .expect("in-guest runs");
    let number = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    number.parse().expect("an inode number")
}

impl Server for ServerOfBed {
    fn share(&self, path: &str) -> Share {
        share(self.address(), path).over(self.version)
    }

    fn address(&self) -> IpAddr {
        Bed::get().server.parse().expect("an address")
    }

    fn dir_of(&self, export: &str) -> PathBuf {
        Bed::get().export.with_file_name(export)
    }
}

/// Runs the script `knfsd` of the virtual machine in the network of the server.
fn command(name: &str) {
    let status = Command::new("nsenter")
        .args(["--net=/proc/1/ns/net", "knfsd", name])
        .status();
    assert!(status.expect("nsenter runs").success(), "knfsd {name}");
}

/// Removes everything in a directory, which gets its first owner and mode again.
fn empty(directory: &Path) {
    for entry in fs::read_dir(directory).expect("an export of `exports conformance`") {
        let path = entry.expect("an entry").path();
        if path.symlink_metadata().expect("an entry").is_dir() {
            fs::remove_dir_all(path).expect("a directory is removed");
        } else {
            fs::remove_file(path).expect("a file is removed");
        }
    }
    chown(directory, Some(0), Some(0)).expect("root may change the owner");
    fs::set_permissions(directory, Permissions::from_mode(0o755)).expect("root may change the mode");
}

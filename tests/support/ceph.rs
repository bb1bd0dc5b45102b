//! The CephFS that `make test-ceph` starts (see `tests/bed/ceph/up`). All tests share it, and each has directories of its own
//! below the only path that Bindery's user may use.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::mount::Mount;

/// The path that `client.bindery` and `client.nodes` may use.
pub const SHARES: &str = "/kubernetes/shares";

/// The shares of one test: four directories in `CephFS`.
pub struct CephShares {
    /// The path of their parent in `CephFS`.
    path: String,
}

impl CephShares {
    /// Returns directories that no other test uses.
    pub fn new() -> Self {
        let free = (1..=400).find(|number| File::create_new(folder("claimed").join(number.to_string())).is_ok());
        let number = free.expect("no directory is left: start a new cluster with `make ceph-down ceph`");
        Self {
            path: format!("{SHARES}/{number}"),
        }
    }

    /// Returns the path of their parent in `CephFS`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the directory of a share, as the administrator of Ceph sees it on this machine.
    pub fn dir_of(&self, export: &str) -> PathBuf {
        on_this_machine(&self.path).join(export)
    }
}

pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test-ceph`"))
}

/// Returns a folder of the cluster.
pub fn folder(name: &str) -> PathBuf {
    Path::new(&variable("CEPH_DIR")).join(name)
}

/// Returns where the administrator of Ceph sees a path of `CephFS` on this machine.
pub fn on_this_machine(path: &str) -> PathBuf {
    folder("root").join(path.trim_start_matches('/'))
}

/// Mounts a path of `CephFS` as this user, as a node does. An error contains what ceph-fuse says.
pub fn mount(user: &str, path: &str) -> Result<Mount, String> {
    mount_with(user, path, &[])
}

/// Does the same with these further arguments of ceph-fuse.
pub fn mount_with(user: &str, path: &str, arguments: &[&str]) -> Result<Mount, String> {
    let dir = tempfile::tempdir_in(variable("CEPH_MOUNTS")).expect("a directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("its mode");
    let at = dir.path().join("mount");
    fs::create_dir(&at).expect("a directory");
    mount_at(user, path, arguments, &at)?;
    Ok(Mount::existing(at, dir))
}

/// Does the same at this mount point.
pub fn mount_at(user: &str, path: &str, arguments: &[&str], at: &Path) -> Result<(), String> {
    let mut command = Command::new("ceph-fuse");
    run(command.args(["-n", user, "-r", path]).args(arguments).arg(at))
}

/// Ends the sessions of the client with this host name. Ceph itself does this after a client was silent for 30 s; until then,
/// others wait for what the client could have changed.
pub fn end_sessions_of(host: &str) {
    mds(&["session", "evict", &format!("client_metadata.hostname={host}")]);
}

/// Sends a command to the MDS, and returns its output.
pub fn mds(arguments: &[&str]) -> String {
    let output = Command::new("ceph")
        .arg("--admin-daemon")
        .arg(folder("run/mds.asok"))
        .args(arguments)
        .output()
        .expect("ceph runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Sets an extended attribute of a directory. An error contains what setfattr says.
pub fn set_attribute(directory: &Path, name: &str, value: &str) -> Result<(), String> {
    run(Command::new("setfattr").args(["-n", name, "-v", value]).arg(directory))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().expect("the program is installed");
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Runs the command `ceph` as the administrator, and returns its output.
pub fn ceph(arguments: &[&str]) -> String {
    let output = Command::new("ceph").args(arguments).output().expect("ceph runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Creates a user `client.<name>` that may read and write below this path, and nothing else.
pub fn authorize(name: &str, path: &str) {
    let user = format!("client.{name}");
    let keyring = ceph(&["fs", "authorize", "cephfs", &user, path, "rw"]);
    fs::write(folder("keys").join(user), keyring).expect("a file");
}

//! Short functions for tests of storage: directories, their mode and owner, and a deadline.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use bindery::model::attributes::Attributes;
use bindery::model::directory::Directory;
use tokio::time::Instant;

use super::wait::scaled;

/// Returns a deadline that is longer than any verb needs in a test.
pub fn long_deadline() -> Instant {
    Instant::now() + scaled(Duration::from_secs(20))
}

/// Parses a path below a share.
pub fn directory(path: &str) -> Directory {
    Directory::parse(path).expect("a directory")
}

/// Returns attributes with this mode and without an owner.
pub fn mode(mode: u32) -> Attributes {
    Attributes {
        mode: Some(mode),
        uid: None,
        gid: None,
    }
}

/// Returns the mode of a directory on this machine.
pub fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a directory").permissions().mode() & 0o7777
}

/// Changes owner and group of a directory on this machine.
pub fn chown_to(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).expect("root may change the owner");
}

/// Changes the mode of a directory on this machine.
pub fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("root may change the mode");
}

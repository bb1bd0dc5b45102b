//! Mounted shares: what only they do, and Bindery with one. The promises of every kind of storage are tested in `nfs_client`.

mod claims;
mod directories;
mod hostile;
mod outages;
mod trees;

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use bindery::model::attributes::Attributes;
use bindery::model::directory::{Directory, Share};
use bindery::model::identity::Identity;
use bindery::storage::mounted::MountedStorage;
use bindery::storage::{Existing, Fault, Made, Outcome, Storage, StorageError};
use tokio::time::Instant;

/// Returns a deadline that is longer than any verb needs here.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn share() -> Share {
    Share::parse("nas", "/export").expect("a share")
}

fn storage(path: &Path) -> MountedStorage {
    MountedStorage::new(vec![(share(), path.to_owned())])
}

fn directory(path: &str) -> Directory {
    Directory::parse(path).expect("a directory")
}

fn mode(mode: u32) -> Attributes {
    Attributes {
        mode,
        uid: None,
        gid: None,
    }
}

fn refusal(fault: Fault, message: &str) -> StorageError {
    let (tried, cause) = message.split_once(": ").expect("what was tried and what came of it");
    StorageError {
        fault,
        outcome: Outcome::NotDone,
        tried: tried.to_owned(),
        cause: cause.to_owned(),
    }
}

async fn make(storage: &MountedStorage, path: &str) -> Result<Made, StorageError> {
    storage
        .make(&share(), &directory(path), mode(0o777), Existing::SetAttributes, soon())
        .await
}

async fn identity(storage: &MountedStorage, path: &str) -> Identity {
    let found = storage
        .look_up(&share(), &directory(path), soon())
        .await
        .expect("a look");
    found.expect("a directory").identity
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a directory").permissions().mode() & 0o7777
}

fn give(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).expect("root may");
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("root may");
}

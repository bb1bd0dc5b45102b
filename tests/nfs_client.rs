//! The promises of [`Storage`], as the NFS client keeps them against nfs-ganesha.

mod denials;
mod directories;
mod fences;
mod outages;
mod trees;

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use bindery::policy::directory::{Directory, Share};
use bindery::storage::nfs::{NfsOptions, NfsStorage};
use bindery::storage::{Attributes, Existing, Identity, Made, Storage, StorageError};
use tokio::time::Instant;

/// Far more than any verb needs here.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn client() -> NfsStorage {
    client_as(0)
}

fn client_as(uid: u32) -> NfsStorage {
    NfsStorage::new(options(uid))
}

fn options(uid: u32) -> NfsOptions {
    NfsOptions {
        uid,
        gid: uid,
        machine: "test".to_owned(),
        privileged_port: true,
    }
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

async fn make(client: &NfsStorage, share: &Share, path: &str) -> Result<Made, StorageError> {
    client
        .make(share, &directory(path), mode(0o777), Existing::SetAttributes, soon())
        .await
}

async fn identity(client: &NfsStorage, share: &Share, path: &str) -> Identity {
    let found = client.look_up(share, &directory(path), soon()).await.expect("a look");
    found.expect("a directory").identity
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a directory").permissions().mode() & 0o7777
}

fn owner_of(path: &Path) -> (u32, u32) {
    let metadata = std::fs::metadata(path).expect("a directory");
    (metadata.uid(), metadata.gid())
}

fn give(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).expect("root may");
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("root may");
}

//! The promises of [`Storage`], tested for each kind of storage on a real server. The tests in `v4`, `v4_1`, `embedded`, `v3` and
//! `mounted` are the same functions; the list at the top of each file says which kinds keep which promise. All other tests are
//! about one kind only.

mod abandoned_calls;
mod clients;
mod directories;
mod error_messages;
mod fences;
mod outages;
mod retryable_errors;
mod trees;
/// What `NFSv3` does without sessions and without VERIFY.
mod version_3;

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use bindery::model::attributes::Attributes;
use bindery::model::directory::{Directory, Share};
use bindery::model::identity::Identity;
use bindery::storage::{Existing, Made, Storage, StorageError, Storages};
use tokio::time::Instant;

use crate::support::kind::client_as;

/// Returns a deadline that is longer than any verb needs here.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn client() -> Storages {
    client_as(0)
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

async fn make(client: &impl Storage, share: &Share, path: &str) -> Result<Made, StorageError> {
    client
        .make(share, &directory(path), mode(0o777), Existing::SetAttributes, soon())
        .await
}

async fn identity(client: &impl Storage, share: &Share, path: &str) -> Identity {
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

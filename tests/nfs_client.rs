//! The promises of [`Storage`], tested for each kind of storage on a real server. The tests in `v4`, `v4_1`, `embedded`,
//! `v3` and `mounted` are the same functions. The lists at the top of each file show which kinds keep which promise. All
//! other tests are about one kind only.

mod abandoned_calls;
mod clients;
mod directories;
mod error_messages;
mod fences;
mod modes;
mod outages;
mod retryable_errors;
mod space;
mod trees;
mod usage;
/// The behavior of `NFSv3`, which has neither sessions nor VERIFY.
mod version_3;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bindery::model::directory::Share;
use bindery::model::identity::Identity;
use bindery::storage::{Existing, Made, Storage, StorageError, Storages};

use crate::support::directories::{chmod, chown_to, directory, long_deadline, mode, mode_of};
use crate::support::kind::client_as;

fn client() -> Storages {
    client_as(0)
}

async fn make(client: &impl Storage, share: &Share, path: &str) -> Result<Made, StorageError> {
    client
        .make(
            share,
            &directory(path),
            mode(0o777),
            Existing::SetAttributes,
            long_deadline(),
        )
        .await
}

async fn identity(client: &impl Storage, share: &Share, path: &str) -> Identity {
    let found = client
        .look_up(share, &directory(path), long_deadline())
        .await
        .expect("the look-up succeeds");
    found.expect("a directory").identity
}

fn owner_of(path: &Path) -> (u32, u32) {
    let metadata = std::fs::metadata(path).expect("a directory");
    (metadata.uid(), metadata.gid())
}

//! Mounted shares: their own behavior, and Bindery with one. The promises of every kind of storage are tested in
//! `nfs_client`.

mod claims;
mod directories;
mod hostile;
mod outages;
mod trees;

use std::path::Path;

use bindery::model::directory::Share;
use bindery::model::identity::Identity;
use bindery::storage::mounted::MountedStorage;
use bindery::storage::{Existing, Fault, Made, Outcome, Storage, StorageError};

use crate::support::directories::{chmod, chown_to, directory, long_deadline, mode};

fn share() -> Share {
    Share::parse("nas", "/export").expect("a share")
}

fn storage(path: &Path) -> MountedStorage {
    MountedStorage::new(vec![(share(), path.to_owned())])
}

fn refusal(fault: Fault, message: &str) -> StorageError {
    let (tried, cause) = message.split_once(": ").expect("what was tried, and the cause");
    StorageError {
        fault,
        outcome: Outcome::NotDone,
        tried: tried.to_owned(),
        cause: cause.to_owned(),
    }
}

async fn make(storage: &MountedStorage, path: &str) -> Result<Made, StorageError> {
    storage
        .make(
            &share(),
            &directory(path),
            mode(0o777),
            Existing::SetAttributes,
            long_deadline(),
        )
        .await
}

async fn identity(storage: &MountedStorage, path: &str) -> Identity {
    let found = storage
        .look_up(&share(), &directory(path), long_deadline())
        .await
        .expect("the look-up succeeds");
    found.expect("a directory").identity
}

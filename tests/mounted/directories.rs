//! Identity of mounted shares and of their directories.

use bindery::model::directory::{NfsVersion, Share};

use super::{identity, make, share, storage};
use crate::support::mount::Mount;

#[tokio::test]
async fn a_mounted_share_is_found_for_every_nfs_version() {
    let mount = Mount::memory();
    let storage = storage(mount.path());
    assert!(storage.serves(&share().over(NfsVersion::V3)));
    let other = Share::parse("nas", "/export/deeper").unwrap();
    assert!(!storage.serves(&other));
}

#[tokio::test]
async fn a_directory_keeps_its_identity_when_the_share_is_remounted() {
    let disk = Mount::disk();
    let first = make(&storage(disk.path()), "a").await.unwrap().identity;
    let elsewhere = tempfile::tempdir().unwrap();
    let again = Mount::bind(disk.path(), elsewhere.path());
    drop(disk);
    assert_eq!(identity(&storage(again.path()), "a").await, first);
}

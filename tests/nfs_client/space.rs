//! The free space of a share.

use std::path::Path;

use bindery::storage::{ExistingLimit, Fault, FileSpace, Space, Storage};
use rustix::fs::statvfs;

use super::{client, directory, long_deadline, make};
use crate::support::kind::{Kind, test_for};
use crate::support::nfs::Ganesha;

test_for!([v4, v4_1, v3, knfsd, knfsd_v4_1, knfsd_v3] {
    the_space_of_a_directory_is_that_of_its_file_system,
    a_limit_can_be_set_on_cephfs_only,
    the_space_is_that_of_the_file_system_of_the_share,
    the_space_of_a_share_that_is_not_exported_is_an_error,
});

// A mount has no exports. CephFS shows a size only with quotas or a manager: see `ceph_claims::quotas`. `embedded` has a fixed size of its own.
test_for!([mounted] {
    the_space_of_a_directory_is_that_of_its_file_system,
    a_limit_can_be_set_on_cephfs_only,
    the_space_is_that_of_the_file_system_of_the_share,
});

/// Returns the space of a file system according to this machine: `f_bavail` is without the blocks that only root may use.
fn space_of(path: &Path) -> Space {
    let is = statvfs(path).expect("a file system");
    Space {
        total: is.f_blocks * is.f_frsize,
        available: is.f_bavail * is.f_frsize,
        files: (is.f_files > 0).then_some(FileSpace {
            total: is.f_files,
            available: is.f_favail,
        }),
    }
}

async fn the_space_is_that_of_the_file_system_of_the_share(kind: Kind) {
    let (server, client) = kind.start();
    let dir = server.export_dir();
    let space = client.space(&server.share("/export"), None, long_deadline()).await;
    let space = space.expect("the call succeeds").expect("the server tells the space");
    let expected = space_of(&dir);
    assert_eq!(space.total, expected.total);
    // Other tests write to the same disk.
    let difference = space.available.abs_diff(expected.available);
    assert!(difference < expected.total / 10, "{space:?} differs from {expected:?}");
    let total = |space: &Space| space.files.map(|files| files.total);
    assert_eq!(total(&space), total(&expected), "{space:?} {expected:?}");
}

async fn the_space_of_a_directory_is_that_of_its_file_system(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/export");
    make(&client, &share, "a/b").await.unwrap();
    let total = async |path: Option<&str>| {
        let directory = path.map(directory);
        let space = client.space(&share, directory.as_ref(), long_deadline()).await;
        space.expect("the call succeeds").map(|space| space.total)
    };
    assert_eq!(total(Some("a/b")).await, total(None).await);
    assert_eq!(total(Some("a/c")).await, None);
}

#[tokio::test]
async fn blocks_that_only_root_may_use_are_not_available() {
    let server = Ganesha::start_on_disk();
    let space = client().space(&server.share("/export"), None, long_deadline()).await;
    let is = statvfs(server.export_dir()).expect("a file system");
    assert_ne!(is.f_bavail, is.f_bfree, "the disk of the test keeps no blocks for root");
    assert_eq!(space, Ok(Some(space_of(&server.export_dir()))));
}

async fn the_space_of_a_share_that_is_not_exported_is_an_error(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/nothing");
    let error = client.space(&share, None, long_deadline()).await.unwrap_err();
    assert_eq!(error.fault, Fault::NoSuchShare);
    assert_eq!(error.tried, format!("cannot read the free space on {share}"));
}

async fn a_limit_can_be_set_on_cephfs_only(kind: Kind) {
    let (server, client) = kind.start();
    let share = server.share("/export");
    let made = make(&client, &share, "data").await.unwrap();
    let place = directory("data");
    let limit = client.limit_size(
        &share,
        &place,
        made.identity,
        1 << 30,
        ExistingLimit::SetOrRaise,
        long_deadline(),
    );
    let error = limit.await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot limit the size of directory data on {share}: Bindery can set limits only on CephFS that is mounted in \
             its pod (--mounted). Use a StorageClass with sizeLimit: ignore, or sizeLimit: require if the server itself \
             limits directories."
        )
    );
}

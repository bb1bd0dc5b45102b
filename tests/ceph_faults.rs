//! Faults of a Ceph cluster, with nfs-ganesha's module for Ceph and with a mount. docs/cephfs.md has a table of what Bindery
//! does. `make test-ceph` runs these tests one after the other: each stops processes that all tests of Ceph use.

use std::time::Duration;

use bindery::model::directory::Share;
use bindery::model::identity::Identity;
use bindery::storage::{Existing, Fault, Made, Moved, Outcome, Storage, StorageError, Storages};
use tokio::time::Instant;

use crate::support::ceph::set_attribute;
use crate::support::ceph_faults::{Daemon, Eviction, kill_client};
use crate::support::directories::{directory, long_deadline, mode};
use crate::support::kind::{Kind, client_as, test_for};
use crate::support::mount::Mount;
use crate::support::nfs::Ganesha;
use crate::support::wait::eventually;

test_for!([ceph] {
    a_paused_mds_lets_calls_fail_at_their_deadline_and_then_all_works,
    after_a_crash_of_the_mds_every_reported_directory_is_there,
    calls_while_the_disk_hangs_are_reported_truthfully,
    a_used_up_quota_of_files_refuses_until_it_is_raised,
    a_client_that_ceph_has_evicted_is_no_missing_directory_and_works_after_a_restart,
});

test_for!([ceph_mounted] {
    a_paused_mds_lets_calls_fail_at_their_deadline_and_then_all_works,
    after_a_crash_of_the_mds_every_reported_directory_is_there,
    calls_while_the_disk_hangs_are_reported_truthfully,
    a_used_up_quota_of_files_refuses_until_it_is_raised,
    a_client_that_ceph_has_evicted_is_no_missing_directory_and_works_after_a_restart,
    a_mount_whose_program_died_is_no_missing_directory_and_works_when_it_is_mounted_again,
});

/// A share in `CephFS`.
struct OnCeph {
    share: Share,
    storage: Storages,
    server: Option<Ganesha>,
    /// A mount, and what of `CephFS` is mounted.
    mount: Option<(Mount, String)>,
}

impl OnCeph {
    fn start(kind: Kind) -> Self {
        let (server, mount) = match kind {
            Kind::CephMounted => (None, Some(Mount::ceph())),
            _ => (Some(kind.ganesha()), None),
        };
        let share = match (&server, &mount) {
            (Some(server), _) => server.share("/export"),
            _ => Mount::share("/export"),
        };
        let storage = match &mount {
            Some((mount, _)) => client_as(0).with_mounted(mount.storage()),
            None => client_as(0),
        };
        Self {
            share,
            storage,
            server,
            mount,
        }
    }

    /// Returns a condition for the sessions that Ceph has with this share's client.
    fn session(&self) -> String {
        match (&self.server, &self.mount) {
            (Some(server), _) => format!("client_metadata.hostname={}", server.ceph_host()),
            (_, Some((mount, _))) => format!("client_metadata.mount_point={}", mount.path().display()),
            _ => unreachable!("one of them has the share"),
        }
    }

    /// Starts the server again, or mounts the share again at the same place.
    fn start_again(&mut self) {
        if let Some(server) = &mut self.server {
            server.kill();
            server.restart();
        }
        if let Some((mount, path)) = &mut self.mount {
            mount.mount_ceph_again(path);
        }
    }

    async fn make(&self, path: &str, deadline: Instant) -> Result<Made, StorageError> {
        let place = directory(path);
        let made = self
            .storage
            .make(&self.share, &place, mode(0o770), Existing::SetAttributes, deadline);
        made.await.inspect_err(|error| println!("{error}"))
    }

    async fn rename(&self, from: &str, is: Identity, to: &str, deadline: Instant) -> Result<Moved, StorageError> {
        let (from, to) = (directory(from), directory(to));
        let moved = self.storage.rename(&self.share, &from, is, &to, deadline).await;
        moved.inspect_err(|error| println!("{error}"))
    }

    /// Returns the identity of a directory.
    async fn identity(&self, path: &str, deadline: Instant) -> Result<Option<Identity>, StorageError> {
        let found = self.storage.look_up(&self.share, &directory(path), deadline).await;
        let found = found.inspect_err(|error| println!("{error}"))?;
        Ok(found.map(|found| found.identity))
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(300)
}

async fn a_paused_mds_lets_calls_fail_at_their_deadline_and_then_all_works(kind: Kind) {
    let on = OnCeph::start(kind);
    let before = on.make("before", long_deadline()).await.unwrap();
    let mut mds = Daemon::of("mds");
    mds.freeze();
    let meanwhile = on.make("meanwhile", soon()).await;
    mds.thaw();
    assert_eq!(meanwhile.unwrap_err().fault, Fault::TimedOut);
    let moved = on.rename("before", before.identity, "moved", long_deadline()).await;
    assert_eq!(moved, Ok(Moved::Done));
    on.make("after", long_deadline()).await.unwrap();
    // The call may take effect late. Then its directory is there, and the next attempt of the same claim uses it.
    on.make("meanwhile", long_deadline()).await.unwrap();
}

async fn after_a_crash_of_the_mds_every_reported_directory_is_there(kind: Kind) {
    let on = OnCeph::start(kind);
    let mut made = Vec::new();
    for number in 0..20 {
        let path = format!("before-{number}");
        made.push((on.make(&path, long_deadline()).await.unwrap().identity, path));
    }
    let mut mds = Daemon::of("mds");
    mds.kill().await;
    let meanwhile = on.make("meanwhile", soon()).await;
    assert_eq!(meanwhile.unwrap_err().fault, Fault::TimedOut);
    mds.start().await;
    for (identity, path) in made {
        assert_eq!(on.identity(&path, long_deadline()).await, Ok(Some(identity)), "{path}");
    }
    on.make("meanwhile", long_deadline()).await.unwrap();
}

async fn calls_while_the_disk_hangs_are_reported_truthfully(kind: Kind) {
    let on = OnCeph::start(kind);
    on.make("before", long_deadline()).await.unwrap();
    let mut disk = Daemon::of("osd");
    disk.freeze();
    let meanwhile = on.make("meanwhile", Instant::now() + Duration::from_secs(2)).await;
    println!("with a hung disk: {meanwhile:?}");
    // The MDS crashes before the directory is in its journal on the disk. The client, which lives, sends the call again.
    let mut mds = Daemon::of("mds");
    mds.kill().await;
    disk.thaw();
    mds.start().await;
    match meanwhile {
        Ok(made) => assert_eq!(on.identity("meanwhile", long_deadline()).await, Ok(Some(made.identity))),
        Err(error) => assert_eq!((error.fault, error.outcome), (Fault::TimedOut, Outcome::Unknown)),
    }
    on.make("after", long_deadline()).await.unwrap();
}

async fn a_used_up_quota_of_files_refuses_until_it_is_raised(kind: Kind) {
    let (server, storage) = kind.start();
    let share = server.share("/export");
    let limit = |files: &str| set_attribute(&server.export_dir(), "ceph.quota.max_files", files);
    limit("5").unwrap();
    let make = async |path: String| {
        let place = directory(&path);
        storage
            .make(&share, &place, mode(0o770), Existing::SetAttributes, long_deadline())
            .await
    };
    // Ceph counts late, so a few more than the limit can be made.
    let mut number = 0;
    let error = eventually("a directory is refused", async || {
        number += 1;
        make(format!("directory-{number}")).await.err()
    })
    .await;
    println!("{number}: {error}");
    assert_eq!(error.fault, Fault::NoSpace, "{error}");
    assert!(error.to_string().contains("quota"), "{error}");
    assert!(!server.export_dir().join(format!("directory-{number}")).exists());
    limit("0").unwrap();
    eventually("the directory is made", async || make("after".to_owned()).await.ok()).await;
}

async fn a_client_that_ceph_has_evicted_is_no_missing_directory_and_works_after_a_restart(kind: Kind) {
    let mut on = OnCeph::start(kind);
    let before = on.make("before", long_deadline()).await.unwrap();
    let _eviction = Eviction::of(&on.session());
    let error = on.identity("before", soon()).await.unwrap_err();
    assert!(error.transient(), "{error:?}");
    if kind == Kind::CephMounted {
        assert!(error.to_string().contains("mount it again"), "{error}");
    }
    let error = on.make("meanwhile", soon()).await.unwrap_err();
    assert!(error.transient(), "{error:?}");
    let error = on.rename("before", before.identity, "moved", soon()).await.unwrap_err();
    assert!(error.transient(), "{error:?}");
    on.start_again();
    assert_eq!(on.identity("before", long_deadline()).await, Ok(Some(before.identity)));
    on.make("meanwhile", long_deadline()).await.unwrap();
}

async fn a_mount_whose_program_died_is_no_missing_directory_and_works_when_it_is_mounted_again(kind: Kind) {
    let mut on = OnCeph::start(kind);
    let before = on.make("before", long_deadline()).await.unwrap();
    kill_client(on.mount.as_ref().unwrap().0.path());
    let error = on.identity("before", long_deadline()).await.unwrap_err();
    assert_eq!(error.fault, Fault::Unreachable);
    assert!(error.to_string().contains("mount it again"), "{error}");
    on.start_again();
    assert_eq!(on.identity("before", long_deadline()).await, Ok(Some(before.identity)));
    on.make("after", long_deadline()).await.unwrap();
}

//! A server that is paused, restarts, or loses its power; and a client that is idle.

use std::time::Duration;

use bindery::model::directory::{NfsVersion, Share};
use bindery::storage::{Fault, Moved, Outcome, Storage, Tree};
use tokio::time::{Instant, sleep};

use super::client::{Client, SOON, VERSIONS, directory, reset, restart, start_pod, stop_pod};
use crate::grace::clients_of;
use crate::support::{LATE, in_guest, script, share};
use crate::wait::eventually_within;

const DISKS: [&str; 3] = ["ext4", "xfs", "btrfs"];
/// A lease in seconds, and the time after which it is over.
const LEASE: &str = "LEASE=10 GRACE=10";
const LONGER_THAN_LEASE: Duration = Duration::from_secs(12);

/// A claim comes and goes: makes a directory, moves it to the trash, and removes it. Waits as long as the server asks for.
async fn come_and_go(client: &Client, share: &Share, name: &str) -> usize {
    let mut failures = 0;
    let mut tries = async |what: &str| {
        failures += 1;
        println!("{name}: {what}");
        sleep(Duration::from_millis(100)).await;
    };
    let made = loop {
        match client.make_within(SOON, share, name).await {
            Ok(made) => break made,
            Err(error) => {
                assert!(error.transient(), "the claim is not refused: {error}");
                tries(&error.to_string()).await;
            }
        }
    };
    // A cleanup waits for the end of grace, and does not fail.
    let gone = format!("gone-{name}");
    assert_eq!(client.rename(share, name, made.identity, &gone).await, Ok(Moved::Done));
    let deadline = Instant::now() + LATE;
    let removed = client.storage.remove_tree(share, &directory(&gone), deadline).await;
    assert_eq!(removed, Ok(Tree::Gone));
    failures
}

#[tokio::test]
async fn claims_come_and_go_through_a_restart_with_a_grace_of_90_seconds() {
    reset();
    // A client that the server has recorded, and that does not come back: grace lasts to its end.
    start_pod();
    in_guest("ip link set to-pod down");
    for (disk, version) in [
        ("ext4", NfsVersion::V4),
        ("xfs", NfsVersion::V4),
        ("btrfs", NfsVersion::V4),
        ("ext4", NfsVersion::V3),
    ] {
        let (client, share) = (
            Client::new(&format!("grace-{disk}-{version:?}")),
            share(disk, "share").over(version),
        );
        come_and_go(&client, &share, "before").await;
    }
    in_guest("dmesg -C; knfsd restart");
    assert!(in_guest("dmesg").contains("starting 90-second grace period"));
    let restarted = Instant::now();
    let all = DISKS
        .map(|disk| (disk, NfsVersion::V4))
        .into_iter()
        .chain([("ext4", NfsVersion::V3)]);
    let all = all.map(async |(disk, version)| {
        let (client, share) = (
            Client::new(&format!("grace-{disk}-{version:?}")),
            share(disk, "share").over(version),
        );
        let began = restarted.elapsed();
        client
            .make(&share, &format!("first-{version:?}"))
            .await
            .expect("a directory");
        println!(
            "{disk} {version:?}: a directory {:?} after the restart",
            restarted.elapsed() - began
        );
        let failures = come_and_go(&client, &share, &format!("during-{version:?}")).await;
        println!(
            "{disk} {version:?}: came and went {:?} after the restart, {failures} failures",
            restarted.elapsed()
        );
    });
    futures::future::join_all(all).await;
    for disk in DISKS {
        assert!(!in_guest(&format!("ls /srv/{disk}/share")).contains("during"));
    }
    stop_pod();
}

#[tokio::test]
async fn after_a_pause_longer_than_the_lease_the_next_call_succeeds() {
    reset();
    restart(LEASE);
    for disk in DISKS {
        let (client, share) = (Client::new("paused"), share(disk, "share"));
        let made = client.make(&share, "before").await.expect("a directory");
        in_guest("knfsd pause");
        let paused = Instant::now();
        let error = client.make_within(SOON, &share, "meanwhile").await.unwrap_err();
        println!("{error}");
        assert_eq!(
            (error.fault, error.outcome),
            (Fault::TimedOut, Outcome::NotDone),
            "{error}"
        );
        eventually_within(LATE, "the lease is over", async || {
            (paused.elapsed() > LONGER_THAN_LEASE).then_some(())
        })
        .await;
        in_guest("knfsd continue");
        assert_eq!(
            client.rename(&share, "before", made.identity, "moved").await,
            Ok(Moved::Done)
        );
        client.make(&share, "after").await.expect("a directory");
        // The call that failed had only begun to find the share. `nfs_client::fences` has calls that are late.
        let names = in_guest(&format!("echo $(ls /srv/{disk}/share)"));
        assert_eq!(names, "after moved");
    }
}

#[tokio::test]
async fn a_client_that_is_idle_longer_than_the_lease_is_not_kept_and_works_again_at_once() {
    reset();
    restart(LEASE);
    for version in VERSIONS {
        let (client, share) = (Client::new("idle-lease"), share("ext4", "share").over(version));
        client.make(&share, "before").await.expect("a directory");
        if version == NfsVersion::V4 {
            assert_eq!(clients_of("idle-lease"), 1);
        }
        let idle = Instant::now();
        eventually_within(LATE, "the lease is over", async || {
            (idle.elapsed() > LONGER_THAN_LEASE).then_some(())
        })
        .await;
        assert_eq!(clients_of("idle-lease"), 0);
        client.make_within(SOON, &share, "after").await.expect("a directory");
        in_guest("rmdir /srv/ext4/share/*");
    }
}

/// On btrfs this server answers before the disk has a new directory, with `sync` too: up to 30 s are lost.
#[tokio::test]
async fn after_a_power_failure_ext4_and_xfs_have_every_directory_of_a_sync_export() {
    reset();
    let client = Client::new("power");
    let make = async |disk: &str, name: &str, version| {
        let share = share(disk, name).over(version);
        for number in 0..5 {
            let path = format!("fresh-{version:?}-{number}");
            client.make(&share, &path).await.expect("a directory");
        }
    };
    for disk in DISKS {
        in_guest(&format!("exports add /srv/{disk}/async async"));
    }
    in_guest("sync");
    for disk in DISKS {
        for version in VERSIONS {
            make(disk, "share", version).await;
        }
    }
    for disk in DISKS {
        make(disk, "async", NfsVersion::V4).await;
    }
    let status = script("reboot").status().expect("reboot runs");
    assert!(status.success());
    for disk in DISKS {
        let count = |path: &str| in_guest(&format!("ls /srv/{disk}/{path} | wc -l"));
        let (sync, not_sync) = (count("share"), count("async"));
        println!("{disk}: {sync} of 10 directories are left on the sync export, {not_sync} of 5 on the async export");
        assert!(sync == "10" || disk == "btrfs", "{disk}: {sync}");
        // The same client continues.
        for version in VERSIONS {
            let path = format!("after-{version:?}");
            client
                .make(&share(disk, "share").over(version), &path)
                .await
                .expect("a directory");
        }
        in_guest(&format!("exports remove /srv/{disk}/async; rm -rf /srv/{disk}/async"));
    }
}

//! One NFS client for all sessions, which a clean stop removes; and the grace period after a restart of the server.

use bindery::model::attributes::Attributes;
use bindery::model::directory::Directory;
use bindery::storage::nfs::NfsStorage;
use bindery::storage::{Existing, Storage};
use futures::future::join_all;
use tokio::time::Instant;

use crate::support::{LATE, in_guest, share, storage};
use crate::wait::eventually_within;

/// Creates the directories of 60 claims in parallel.
async fn burst(storage: &NfsStorage, machine: &str) {
    // The virtual machine may still run from an earlier test.
    in_guest(&format!("rm -rf /srv/ext4/share/{machine}"));
    let share = share("ext4", "share");
    let attributes = Attributes {
        mode: Some(0o770),
        uid: Some(1000),
        gid: Some(1000),
    };
    let deadline = Instant::now() + LATE;
    let names: Vec<_> = (0..60)
        .map(|number| Directory::parse(&format!("{machine}/claim-{number}")).expect("a directory"))
        .collect();
    let made = names
        .iter()
        .map(|name| storage.make(&share, name, attributes, Existing::SetAttributes, deadline));
    for made in join_all(made).await {
        assert!(made.expect("a directory is made").new);
    }
}

/// Returns the number of clients with this name on the server.
pub fn clients_of(machine: &str) -> usize {
    let count = format!("cat /proc/fs/nfsd/clients/*/info 2>/dev/null | grep -c 'name: \"bindery {machine} ' || true");
    in_guest(&count).parse().expect("a number")
}

/// Returns the number of files that the pod has created.
fn made_by_pod() -> u32 {
    in_guest("pod count").parse().expect("a number")
}

#[tokio::test]
async fn sixty_claims_use_one_nfs_client_and_a_clean_stop_removes_it() {
    let storage = storage("sixty");
    burst(&storage, "sixty").await;
    assert_eq!(clients_of("sixty"), 1);
    storage.shut_down().await;
    assert_eq!(clients_of("sixty"), 0);
}

#[tokio::test]
async fn a_pods_nfs_client_does_not_wait_for_bindery_after_a_server_restart() {
    in_guest("exports reset; knfsd restart defaults; pod start");
    let storage = storage("idle");
    burst(&storage, "idle").await;
    assert_eq!(clients_of("idle"), 1);
    eventually_within(LATE, "the pod creates a file", async || {
        (made_by_pod() > 0).then_some(())
    })
    .await;

    in_guest("dmesg -C; knfsd restart");
    let (before, restarted) = (made_by_pod(), Instant::now());
    eventually_within(LATE, "the pod creates three files after the restart", async || {
        (made_by_pod() >= before + 3).then_some(())
    })
    .await;
    println!(
        "the pod creates files again {:.1} s after the restart",
        restarted.elapsed().as_secs_f64()
    );
    // The server logs this line only if the grace period ended early, because all clients have reclaimed their state.
    let log = in_guest("dmesg");
    assert!(log.contains("starting 90-second grace period"), "{log}");
    assert!(log.contains("all clients done reclaiming"), "{log}");

    // Bindery still uses one client.
    burst(&storage, "again").await;
    assert_eq!(clients_of("idle"), 1);
    storage.shut_down().await;
    in_guest("pod stop");
}

//! How Bindery recognizes directories that Ganesha exports from `CephFS`.

use std::time::Duration;

use bindery::model::identity::Identity;
use bindery::storage::{Existing, Storage};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Claims, Way, place};
use crate::support::directories::{directory, long_deadline, mode};
use crate::support::kind::client_as;
use crate::support::nfs::{Ganesha, new_fsid};
use crate::support::scene::volume_name;

/// The number that Ganesha reports for every `CephFS` unless the export has a `Filesystem_Id`.
const DEFAULT: (u64, u64) = (0xffff_ffff, 0xffff_fffe);

async fn inside(server: &Ganesha) -> Identity {
    let client = client_as(0);
    let share = server.share("/export");
    let inside = directory("inside");
    let found = client.look_up(&share, &inside, long_deadline()).await;
    found.unwrap().unwrap().identity
}

#[tokio::test]
#[ignore = "make test-ceph runs it with a Ceph cluster"]
async fn all_exports_of_cephfs_have_one_file_system_number_unless_it_is_set() {
    let mut server = Ganesha::start_ceph();
    let other = Ganesha::start_ceph();
    for server in [&server, &other] {
        std::fs::create_dir(server.export_dir().join("inside")).unwrap();
    }
    let (first, second) = (inside(&server).await, inside(&other).await);
    assert_eq!((first.fsid, second.fsid), (DEFAULT, DEFAULT));
    // The file number is that of CephFS, which has more than 32 bits.
    assert!(first.fileid > u64::from(u32::MAX), "{first:?}");
    assert_ne!(first.fileid, second.fileid);
    server.kill();
    server.fsid = Some("7.8".to_owned());
    server.restart();
    let now = inside(&server).await;
    assert_eq!((now.fsid, now.fileid), ((7, 8), first.fileid));
}

#[tokio::test]
#[ignore = "make test-ceph runs it with a Ceph cluster"]
async fn after_a_late_filesystem_id_cleanup_waits_and_the_command_in_the_event_lets_it_continue() {
    let mut claims = Claims::with(Way::Nfs, json!({"onDelete": "delete"})).await;
    let (_, volume) = claims.scene.bound(claims.scene.claim("data")).await;
    let name = volume_name(&volume);
    claims.bindery.kill();
    let server = claims.server.as_mut().unwrap();
    server.kill();
    server.fsid = Some(new_fsid());
    server.restart();
    claims.scene.delete("data").await;
    claims.bindery.run().await;
    let message = claims.scene.event(name, "CleanupFailed").await;
    let cause = "the root of the share has the same file number as before and another file system id. Usually fsid= of the \
                 export was added, changed or removed.";
    assert!(message.contains(cause), "{message}");
    let command = format!("kubectl annotate pv {name} bindery.dev/directory-id- bindery.dev/share-id-");
    assert!(message.contains(&command), "{message}");
    assert!(place(&volume).exists());
    let removed = json!({"bindery.dev/directory-id": Value::Null, "bindery.dev/share-id": Value::Null});
    let patch = json!({"metadata": {"annotations": removed}});
    claims.scene.patch_volume(name, patch).await;
    claims.scene.until_gone(&volume).await;
    assert!(!place(&volume).exists());
    claims.bindery.unregister().await;
}

/// Ganesha tells its host name to Ceph. Ceph ends the sessions of an earlier client of that name at once, and otherwise only
/// when they time out: until then, calls for what the killed server had open wait.
#[tokio::test]
#[ignore = "make test-ceph runs it with a Ceph cluster"]
async fn a_killed_server_that_starts_again_with_its_host_name_serves_at_once() {
    let mut server = Ganesha::start_ceph();
    let (client, share) = (client_as(0), server.share("/export"));
    let make = async |name: &str| {
        let (made, at) = (directory(name), Instant::now() + Duration::from_secs(10));
        client
            .make(&share, &made, mode(0o777), Existing::SetAttributes, at)
            .await
    };
    assert!(make("before").await.unwrap().new);
    for round in 0..3 {
        server.kill();
        server.restart();
        assert!(make(&format!("after-{round}")).await.unwrap().new);
    }
}

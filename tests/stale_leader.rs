//! NFS calls of a paused leader that arrive late, when the path belongs to a later volume: their effect is undone.

use serde_json::json;

use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::relay::{Action, Relay};
use crate::support::scene::{Scene, annotation, volume_name};
use crate::support::wait::eventually;

/// The leader sends a RENAME and is paused. The RENAME reaches the server after another replica has cleaned up the
/// volume, and a later volume has the same path and the same inode number.
async fn a_late_rename(on_delete: &str, pattern: &str, retention: &str, end: impl AsyncFnOnce(&mut Bindery)) {
    // A server that had expired the lease of the leader would answer BADSESSION.
    let server = Ganesha::start_with_usual_lease();
    let relay = Relay::to(&server);
    let nfs_server = format!("--nfs-server={}", relay.address());
    let mut first = Bindery::start(&[&nfs_server, retention]).await;
    let parameters = json!({
        "subDir": "${pvc.metadata.namespace}-${pvc.metadata.name}",
        "existingDirectory": "adopt",
        "onDelete": on_delete,
    });
    let scene = Scene::of_with(&first.provisioner, json!({"parameters": parameters})).await;
    let leader = first.until_led().await;
    let (_, old) = scene.bound(scene.claim("data")).await;
    let path = server.export_dir().join(annotation(&old, "sub-dir").unwrap());
    let second = first.replica().await;

    relay.plan(pattern, 0, 1, Action::Hold);
    scene.delete("data").await;
    eventually("the relay holds the RENAME", async || {
        (relay.matched() == 1).then_some(())
    })
    .await;
    first.pause();
    // A file system may give the inode number of a removed directory to the next new one. To make this certain, the test
    // puts the same directory back.
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    first.until_another_leads(&leader).await;
    scene.until_gone(&old).await;
    // Without a webhook the claim is admitted, and the other replica provisions it.
    first.unregister().await;
    std::fs::rename(&aside, &path).unwrap();
    scene.create(scene.claim("data")).await.unwrap();
    let (_, new) = scene.until_bound("data").await;
    assert_eq!(volume_name(&old), volume_name(&new));
    assert_eq!(annotation(&old, "directory-id"), annotation(&new, "directory-id"));
    std::fs::write(path.join("new"), "precious").unwrap();

    relay.stop_holding();
    // The other replica may move the directory back before the test has seen that it is missing.
    eventually("the RENAME has moved the directory of the later volume", async || {
        (!path.exists() || second.log().contains("a late request had moved")).then_some(())
    })
    .await;
    end(&mut first).await;
    eventually("the directory is moved back", async || {
        path.join("new").exists().then_some(())
    })
    .await;
    drop(second);
}

#[tokio::test]
async fn a_late_rename_is_undone_by_the_paused_leader_when_it_resumes() {
    a_late_rename("delete", ".pvc-", "--retention-interval=1h", async |first| {
        first.resume();
    })
    .await;
}

#[tokio::test]
async fn a_late_rename_is_undone_by_the_new_leader_when_the_paused_one_dies() {
    a_late_rename("archive", ".pvc-", "--retention-interval=200ms", async |first| {
        first.kill();
    })
    .await;
}

/// The operations RESTOREFH and REMOVE. Only the COMPOUND that removes an empty directory ends with these two.
const RMDIR: &str = "\0\0\0\x1f\0\0\0\x1c";

/// The leader sends a REMOVE for the directory of a claim that was never created, and is paused. The REMOVE reaches the
/// server when a later volume has that directory, which is still empty.
async fn a_late_rmdir(action: Action) {
    let server = Ganesha::start_with_usual_lease();
    let relay = Relay::to(&server);
    let nfs_server = format!("--nfs-server={}", relay.address());
    let first = Bindery::start(&[&nfs_server, "--orphan-grace=1s"]).await;
    let parameters = json!({
        "subDir": "${pvc.metadata.namespace}-${pvc.metadata.name}",
        "existingDirectory": "adopt",
    });
    let scene = Scene::of_with(&first.provisioner, json!({"parameters": parameters})).await;
    let leader = first.until_led().await;
    let second = first.replica().await;
    scene.set_quota("persistentvolumeclaims", "0").await;

    relay.plan(RMDIR, 0, 1, action);
    scene.refused(scene.claim("data")).await;
    eventually("the relay holds the REMOVE", async || {
        (relay.matched() == 1).then_some(())
    })
    .await;
    first.pause();
    let old = scene.own_volumes().await.remove(0);
    let path = server.export_dir().join(annotation(&old, "sub-dir").unwrap());
    // The other replica finds nothing to remove, and the next volume gets the same directory.
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    first.until_another_leads(&leader).await;
    scene.until_gone(&old).await;
    first.unregister().await;
    std::fs::rename(&aside, &path).unwrap();
    scene.create_without_quota(scene.claim("data")).await;
    let (_, new) = scene.until_bound("data").await;
    assert_eq!(volume_name(&old), volume_name(&new));

    relay.stop_holding();
    eventually("the REMOVE has removed the directory of the later volume", async || {
        (!path.exists()).then_some(())
    })
    .await;
    first.resume();
    eventually("the directory is created again", async || path.exists().then_some(())).await;
    let ready = scene.until_bound("data").await.1;
    assert!(annotation(&ready, "directory-id").is_some());
    drop(second);
}

#[tokio::test]
async fn an_empty_directory_removed_by_a_late_call_is_recreated() {
    a_late_rmdir(Action::Hold).await;
}

#[tokio::test]
async fn an_empty_directory_removed_by_a_late_call_is_recreated_when_the_answer_is_lost() {
    a_late_rmdir(Action::HoldAndDropAnswer).await;
}

//! NFS calls of a restore that reach the server late.

use bindery::model::archive::{Archive, ArchivePhase};
use serde_json::json;

use super::{claim_of, read, until_phase, write};
use crate::support::archives::place;
use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::relay::{Action, Relay};
use crate::support::scene::{Scene, annotation};
use crate::support::wait::eventually;

/// The version and the procedure of a RENAME in `NFSv3`.
const RENAME_OF_V3: &str = "\0\0\0\x03\0\0\0\x0e";

/// Returns the beginning of the operation RENAME of `NFSv4` that moves the directory of this name.
fn rename_of(name: &str) -> String {
    let length = char::from(u8::try_from(name.len()).unwrap());
    assert!(length.is_ascii());
    format!("\0\0\0\x1d\0\0\0{length}{name}")
}

/// Archives a claim on this server.
async fn archived_on(scene: &Scene, server: &Ganesha) -> Archive {
    let (_, volume) = scene.bound(scene.claim("data")).await;
    write(
        &server.export_dir().join(annotation(&volume, "sub-dir").unwrap()),
        "data",
    );
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    scene.until_archived("data").await
}

/// The RENAME of a review gets no answer, and the claim is refused. The RENAME reaches the server after the volume is gone.
async fn a_rename_after_the_volume_is_gone(
    server: &Ganesha,
    pattern: impl Fn(&Archive) -> String,
) -> (Bindery, Scene, Archive, Relay) {
    let relay = Relay::to(server);
    let nfs_server = format!("--nfs-server={}", relay.address());
    let flags = [
        &*nfs_server,
        "--deadline=2s",
        "--orphan-grace=10s",
        "--retention-interval=300ms",
    ];
    let bindery = Bindery::start(&flags).await;
    let parameters = json!({"nfsVersion": server.version().as_str()});
    let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
    let archive = archived_on(&scene, server).await;
    scene.set_quota("persistentvolumeclaims", "0").await;
    relay.plan(&pattern(&archive), 0, 1, Action::SendLate);
    let message = scene.refused(claim_of(&scene, "again", "data")).await;
    assert!(message.contains("exceeded quota"), "{message}");
    assert_eq!(relay.matched(), 1, "the RENAME is kept");
    until_phase(&scene, &archive, ArchivePhase::Restoring).await;
    eventually("no volume is left", async || {
        scene.own_volumes().await.is_empty().then_some(())
    })
    .await;
    until_phase(&scene, &archive, ArchivePhase::Available).await;
    (bindery, scene, archive, relay)
}

#[tokio::test]
async fn a_late_rename_of_version_3_is_undone_when_no_volume_records_it() {
    let server = Ganesha::start_v3();
    let (bindery, scene, archive, relay) =
        a_rename_after_the_volume_is_gone(&server, |_| RENAME_OF_V3.to_owned()).await;
    let path = server.export_dir().join(place(&archive));
    relay.send_late_calls();
    bindery
        .until_log("a late request had moved the directory of this archive")
        .await;
    eventually("the directory is the archive again", async || {
        path.exists().then_some(())
    })
    .await;
    until_phase(&scene, &archive, ArchivePhase::Available).await;
    assert_eq!(read(&path).as_deref(), Some("data"));
    bindery.unregister().await;
}

#[tokio::test]
async fn the_directory_of_a_deleted_archive_is_removed_after_a_late_rename() {
    let server = Ganesha::start_v3();
    let (mut bindery, scene, archive, relay) =
        a_rename_after_the_volume_is_gone(&server, |_| RENAME_OF_V3.to_owned()).await;
    bindery.kill();
    let path = server.export_dir().join(place(&archive));
    relay.send_late_calls();
    eventually("the RENAME has moved the directory", async || {
        (!path.exists()).then_some(())
    })
    .await;
    scene.delete_archive(&archive).await;
    bindery.run().await;
    scene.until_archive_gone(&archive).await;
    eventually("the data is gone, as its user has asked", async || {
        let mut left = std::fs::read_dir(server.export_dir()).unwrap();
        let is_of_scene = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().contains(&scene.name);
        (!left.any(|entry| is_of_scene(entry.unwrap()))).then_some(())
    })
    .await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_late_rename_of_version_4_has_no_effect() {
    let server = Ganesha::start_with_usual_lease();
    let (bindery, scene, archive, relay) =
        a_rename_after_the_volume_is_gone(&server, |archive| rename_of(&place(archive))).await;
    relay.send_late_calls();
    assert_eq!(
        read(&server.export_dir().join(place(&archive))).as_deref(),
        Some("data")
    );
    until_phase(&scene, &archive, ArchivePhase::Available).await;
    bindery.unregister().await;
}

/// The leader sends the RENAME that puts an archive back, and is paused. The RENAME reaches the server after another replica
/// has put the archive back, and a claim has got it at the same path.
async fn a_late_put_back(end: impl AsyncFnOnce(&mut Bindery)) {
    let server = Ganesha::start_with_usual_lease();
    let relay = Relay::to(&server);
    let nfs_server = format!("--nfs-server={}", relay.address());
    let mut first = Bindery::start(&[&nfs_server, "--orphan-grace=10s", "--retention-interval=300ms"]).await;
    let parameters = json!({"subDir": "${pvc.metadata.namespace}-${pvc.metadata.name}"});
    let scene = Scene::of_with(&first.provisioner, json!({"parameters": parameters})).await;
    let leader = first.until_led().await;
    let archive = archived_on(&scene, &server).await;
    let second = first.replica().await;
    scene.set_quota("persistentvolumeclaims", "0").await;
    let name = format!("{}-again", scene.name);
    relay.plan(&rename_of(&name), 0, 1, Action::Hold);
    scene.refused(claim_of(&scene, "again", "data")).await;
    let volume = scene.own_volumes().await.remove(0);
    eventually("the relay holds the RENAME", async || {
        (relay.matched() == 1).then_some(())
    })
    .await;
    first.pause();
    first.until_another_leads(&leader).await;
    scene.until_gone(&volume).await;
    until_phase(&scene, &archive, ArchivePhase::Available).await;
    // Without a webhook the claim is admitted, and the other replica gives it the archive.
    first.unregister().await;
    scene.create_without_quota(claim_of(&scene, "again", "data")).await;
    scene.until_bound("again").await;
    let path = server.export_dir().join(&name);
    assert_eq!(read(&path).as_deref(), Some("data"));

    relay.stop_holding();
    // The other replica may move the directory back before the test has seen that it is missing.
    eventually("the RENAME has moved the directory of the claim", async || {
        (!path.exists() || second.log().contains("a late request had moved")).then_some(())
    })
    .await;
    end(&mut first).await;
    eventually("the directory is moved back", async || {
        (read(&path).as_deref() == Some("data")).then_some(())
    })
    .await;
    assert!(!server.export_dir().join(place(&archive)).exists());
    drop(second);
}

#[tokio::test]
async fn an_archive_that_is_put_back_late_is_given_again_by_the_paused_leader() {
    a_late_put_back(async |first| first.resume()).await;
}

#[tokio::test]
async fn an_archive_that_is_put_back_late_is_given_again_by_the_new_leader() {
    a_late_put_back(async |first| first.kill()).await;
}

//! An administrator sets `retain` while cleanup has already begun: the directory is kept.

use std::fs;
use std::path::{Path, PathBuf};

use bindery::failpoints::Point;
use bindery::model::directory::{ArchiveName, Directory};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::{Value, json};

use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::scene::{Scene, annotation, volume_name};
use crate::support::wait::eventually;

/// An NFS server, and a Bindery that has died at a crash point in the cleanup of a deleted claim.
struct InterruptedCleanup {
    server: Ganesha,
    bindery: Bindery,
    scene: Scene,
    volume: PersistentVolume,
}

impl InterruptedCleanup {
    async fn until(point: Point, parameters: Value) -> Self {
        let server = Ganesha::start();
        let flags = [
            format!("--nfs-server={}", server.address()),
            "--retention-interval=200ms".to_owned(),
        ];
        let mut bindery = Bindery::start(&flags.each_ref().map(String::as_str)).await;
        let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
        let (_, volume) = scene.bound(scene.claim("data")).await;
        let directory = server.export_dir().join(annotation(&volume, "sub-dir").unwrap());
        fs::create_dir(directory.join("below")).unwrap();
        fs::write(directory.join("below/precious"), "data").unwrap();
        bindery.kill();
        bindery.run_until_crash(point).await;
        scene.delete("data").await;
        bindery.until_exit().await;
        Self {
            server,
            bindery,
            scene,
            volume,
        }
    }

    fn name(&self) -> &str {
        volume_name(&self.volume)
    }

    async fn set(&self, patch: Value) {
        self.scene.patch_volume(self.name(), patch).await;
    }

    async fn until_told(&self, reason: &str, words: &str) -> String {
        eventually(&format!("{reason}: {words}"), async || {
            let message = self.scene.event(self.name(), reason).await;
            message.contains(words).then_some(message)
        })
        .await
    }

    /// Returns all names in the export: archives, the trash, and the directory if it is still at its path.
    fn names(&self) -> Vec<String> {
        names(&self.server.export_dir())
    }

    fn trash(&self) -> Vec<String> {
        names(&self.server.export_dir().join(".bindery-trash"))
    }

    /// Waits until the volume is gone, and returns the path of its archive.
    async fn archive(&self) -> PathBuf {
        self.scene.until_gone(&self.volume).await;
        let mut names = self.names();
        names.retain(|name| name.starts_with("archived-"));
        let [archive] = names.as_slice() else {
            panic!("{names:?}")
        };
        self.server.export_dir().join(archive)
    }

    /// Waits for two rounds of trash removal. Each round removes a directory that this function creates, so the second
    /// round has begun after the call.
    async fn two_rounds(&self) {
        for round in ["one", "two"] {
            let over = Directory::in_trash_without_uid(&self.bindery.name, round);
            let over = self.server.export_dir().join(over.as_str());
            fs::create_dir_all(&over).unwrap();
            eventually("a round of trash removal is over", async || {
                (!over.exists()).then_some(())
            })
            .await;
        }
    }

    /// Asserts that the next rounds of trash removal remove nothing of the archive.
    async fn assert_lasts(self, archive: &Path) {
        assert!(!archive.to_string_lossy().contains("-until-"), "{}", archive.display());
        self.two_rounds().await;
        assert_eq!(fs::read_to_string(archive.join("below/precious")).unwrap(), "data");
        assert_eq!(self.trash(), Vec::<String>::new());
        self.bindery.unregister().await;
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn retain() -> Value {
    json!({"metadata": {"annotations": {"bindery.dev/on-delete": "retain"}}})
}

fn reclaim_retain() -> Value {
    json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
}

#[tokio::test]
async fn a_moved_directory_without_recorded_ids_is_found_by_its_path() {
    let mut cleanup = InterruptedCleanup::until(Point::Renamed, json!({"onDelete": "archive"})).await;
    let forgotten = json!({"bindery.dev/directory-id": null, "bindery.dev/share-id": null});
    cleanup.set(json!({"metadata": {"annotations": forgotten}})).await;
    cleanup.bindery.run().await;
    let archive = cleanup.archive().await;
    cleanup.assert_lasts(&archive).await;
}

/// Follows the advice of the Event while the NFS server is down, and asserts that the directory is kept.
async fn assert_kept_although_the_server_was_down(point: Point, keep: Value) {
    let mut cleanup = InterruptedCleanup::until(point, json!({"onDelete": "delete"})).await;
    cleanup.server.kill();
    cleanup.bindery.run().await;
    let name = cleanup.name().to_owned();
    let advice = format!("To keep the directory: kubectl annotate pv --overwrite {name} bindery.dev/on-delete=retain.");
    let message = cleanup.until_told("CleanupFailed", &advice).await;
    assert!(message.contains(".bindery-trash/"), "it names the place: {message}");
    cleanup.set(keep).await;
    cleanup.until_told("CleanupFailed", "The directory is kept").await;
    assert!(cleanup.scene.volumes().get_opt(&name).await.unwrap().is_some());
    cleanup.server.restart();
    let archive = cleanup.archive().await;
    let place = archive.file_name().unwrap().to_str().unwrap().to_owned();
    cleanup
        .until_told("DirectoryRetained", &format!("It is kept as {place}"))
        .await;
    cleanup.assert_lasts(&archive).await;
}

#[tokio::test]
async fn retain_set_after_the_move_keeps_the_directory_although_the_server_was_down() {
    assert_kept_although_the_server_was_down(Point::Renamed, retain()).await;
}

#[tokio::test]
async fn retain_set_in_the_trash_keeps_the_directory_although_the_server_was_down() {
    assert_kept_although_the_server_was_down(Point::DirectoryDone, retain()).await;
}

#[tokio::test]
async fn reclaim_policy_retain_set_in_the_trash_keeps_the_directory_although_the_server_was_down() {
    assert_kept_although_the_server_was_down(Point::DirectoryDone, reclaim_retain()).await;
}

#[tokio::test]
async fn retain_set_before_the_move_leaves_the_directory_in_place() {
    let mut cleanup = InterruptedCleanup::until(Point::TargetRecorded, json!({"onDelete": "delete"})).await;
    cleanup.set(retain()).await;
    cleanup.bindery.run().await;
    cleanup.scene.until_gone(&cleanup.volume).await;
    let directory = cleanup
        .server
        .export_dir()
        .join(annotation(&cleanup.volume, "sub-dir").unwrap());
    cleanup.until_told("DirectoryRetained", "is kept as it is").await;
    assert!(directory.join("below/precious").exists());
    cleanup.bindery.unregister().await;
}

#[tokio::test]
async fn retain_set_on_an_expiring_archive_keeps_it_for_ever() {
    let parameters = json!({"onDelete": "archive", "archiveRetention": "1s"});
    let mut cleanup = InterruptedCleanup::until(Point::DirectoryDone, parameters).await;
    cleanup.server.kill();
    cleanup.set(retain()).await;
    cleanup.bindery.run().await;
    cleanup.until_told("CleanupFailed", "The directory is kept").await;
    cleanup.server.restart();
    let archive = cleanup.archive().await;
    cleanup.assert_lasts(&archive).await;
}

#[tokio::test]
async fn an_expired_archive_is_kept_while_its_volume_waits_for_cleanup() {
    let parameters = json!({"onDelete": "archive", "archiveRetention": "1s"});
    let mut cleanup = InterruptedCleanup::until(Point::DirectoryDone, parameters).await;
    // The annotation is invalid, so cleanup waits.
    let broken = json!({"metadata": {"annotations": {"bindery.dev/directory": "broken"}}});
    cleanup.set(broken).await;
    cleanup.bindery.run().await;
    cleanup
        .until_told("CleanupFailed", "Bindery cannot handle this volume")
        .await;
    let mut names = cleanup.names();
    names.retain(|name| name.starts_with("archived-"));
    let archive = names.pop().unwrap();
    let until = ArchiveName::read(&archive, &cleanup.bindery.name)
        .unwrap()
        .until
        .unwrap();
    eventually("the archive has expired", async || {
        (Timestamp::now() > until).then_some(())
    })
    .await;
    cleanup.two_rounds().await;
    let kept = cleanup.server.export_dir().join(&archive);
    assert!(kept.join("below/precious").exists());
    let mut mended = retain();
    mended["metadata"]["annotations"]["bindery.dev/directory"] = json!("new");
    cleanup.set(mended).await;
    let archive = cleanup.archive().await;
    cleanup.assert_lasts(&archive).await;
}

#[tokio::test]
async fn an_on_delete_change_during_cleanup_takes_effect() {
    let to = |policy: &str| json!({"metadata": {"annotations": {"bindery.dev/on-delete": policy}}});
    for point in [Point::TargetRecorded, Point::Renamed, Point::DirectoryDone] {
        let mut cleanup = InterruptedCleanup::until(point, json!({"onDelete": "delete"})).await;
        cleanup.set(to("archive")).await;
        cleanup.bindery.run().await;
        let archive = cleanup.archive().await;
        cleanup.assert_lasts(&archive).await;

        let mut cleanup = InterruptedCleanup::until(point, json!({"onDelete": "archive"})).await;
        cleanup.set(to("delete")).await;
        cleanup.bindery.run().await;
        cleanup.scene.until_gone(&cleanup.volume).await;
        eventually("nothing of the directory is left", async || {
            (cleanup.names() == [".bindery-trash"] && cleanup.trash().is_empty()).then_some(())
        })
        .await;
        cleanup.bindery.unregister().await;
    }
}

#[tokio::test]
async fn a_directory_moved_aside_for_a_deleted_volume_becomes_an_archive() {
    let server = Ganesha::start();
    let flags = [
        format!("--nfs-server={}", server.address()),
        "--retention-interval=200ms".to_owned(),
    ];
    let bindery = Bindery::start(&flags.each_ref().map(String::as_str)).await;
    let scene = Scene::of(&bindery.provisioner).await;
    scene.bound(scene.claim("data")).await;
    let aside = Directory::aside(&bindery.name, "pvc-gone", "0c3f4a52-1b7e-4f0c-9f58-2f6f2f1f9f10");
    let aside = server.export_dir().join(aside.as_str());
    fs::create_dir_all(&aside).unwrap();
    fs::write(aside.join("precious"), "data").unwrap();
    let kept = eventually("the directory is an archive", async || {
        let mut names = names(&server.export_dir());
        names.retain(|name| name.starts_with("archived-pvc-gone-"));
        names.pop()
    })
    .await;
    assert!(!kept.contains("-until-"), "{kept}");
    assert!(server.export_dir().join(kept).join("precious").exists());
    assert!(!aside.exists());
    bindery.unregister().await;
}

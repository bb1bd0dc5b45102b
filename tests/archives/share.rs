//! Objects follow the share: archives without an object get one, and objects whose archive is gone become `Missing`.

use bindery::model::archive::{Archive, ArchivePhase};
use bindery::model::directory::Directory;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;

use super::{archive_a_claim, content};
use crate::support::archives::{phase, place};
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::scene::{Scene, annotation};
use crate::support::wait::eventually;

#[tokio::test]
async fn an_archive_without_an_object_gets_one() {
    let mut bindery = Bindery::start(&["--retention-interval=200ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    bindery.kill();
    // As after the restore of an old backup of the API server.
    let tag = Directory::archive_tag(&bindery.name, "pvc-gone");
    let made: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
    let directory = Directory::parse(&format!("{}-data", scene.name)).unwrap();
    let archive = directory.archive(made, &tag, Some(50_000), None);
    let path = Bed::get().export.join(archive.as_str());
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("precious"), "data").unwrap();
    bindery.run().await;
    let object = scene.until_archived(directory.as_str()).await;
    assert_eq!(object.namespace().as_deref(), Some("bindery"));
    assert!(
        object.name_any().starts_with(&format!("{directory}-20260131t120000z-")),
        "{}",
        object.name_any()
    );
    let spec = json!(object.spec);
    assert_eq!(
        (spec["gid"].clone(), spec["archivedAt"].clone()),
        (json!(50_000), json!("2026-01-31T12:00:00Z"))
    );
    assert_eq!(
        (spec["claimUid"].clone(), spec["volumeName"].clone()),
        (json!(null), json!(null))
    );
    assert!(spec["shareId"].is_string(), "{spec}");
    assert_eq!(
        (phase(&object), place(&object)),
        (Some(ArchivePhase::Available), archive.to_string())
    );
    scene.delete_archive(&object).await;
    scene.until_archive_gone(&object).await;
    assert!(!path.exists());
    bindery.unregister().await;
}

#[tokio::test]
async fn an_object_whose_directory_is_gone_becomes_missing_and_goes_after_a_day() {
    let bindery = Bindery::start(&["--retention-interval=200ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    archive_a_claim(&scene, "data").await;
    let archive = scene.until_archived("data").await;
    let path = Bed::get().export.join(place(&archive));
    let aside = Bed::get().export.join(format!("aside-{}", scene.name));
    let until = async |wanted| {
        scene
            .until_archive("it has this phase", |archive| phase(archive) == Some(wanted))
            .await
    };
    std::fs::rename(&path, &aside).unwrap();
    let missing = until(ArchivePhase::Missing).await;
    let message = scene.event(&archive.name_any(), "ArchiveMissing").await;
    let expected = format!(
        "directory {} of share {}:{} was not found; this Archive is deleted after a day if it does not return",
        place(&archive),
        Bed::get().server,
        Bed::get().share
    );
    assert_eq!(message, expected);
    assert_eq!(place(&missing), place(&archive));
    // It returns.
    std::fs::rename(&aside, &path).unwrap();
    let found = until(ArchivePhase::Available).await;
    assert_eq!(found.status.unwrap().conditions[0].status, "True");
    std::fs::remove_dir_all(&path).unwrap();
    scene.until_missing_for_a_day(&archive).await;
    scene.until_archive_gone(&archive).await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_deleted_archive_whose_directory_is_missing_is_removed_if_it_returns() {
    let bindery = Bindery::start(&["--retention-interval=200ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let mut archives = Vec::new();
    for name in ["returns", "stays"] {
        archive_a_claim(&scene, name).await;
        let archive = scene.until_archived(name).await;
        let path = Bed::get().export.join(place(&archive));
        let aside = Bed::get().export.join(format!("aside-{name}-{}", scene.name));
        std::fs::rename(&path, &aside).unwrap();
        scene.delete_archive(&archive).await;
        let message = scene.event(&archive.name_any(), "ArchiveMissing").await;
        let expected = format!(
            "this Archive was deleted, and directory {} of share {}:{} was not found. If it returns within a day, it is \
             removed; after that, the object goes. If the data is gone, an administrator of the cluster can remove the \
             finalizer bindery.dev/archive",
            place(&archive),
            Bed::get().server,
            Bed::get().share
        );
        assert_eq!(message, expected);
        archives.push((archive, path, aside));
    }
    let [(returns, path, aside), (stays, _, kept)] = &archives[..] else {
        unreachable!()
    };
    std::fs::rename(aside, path).unwrap();
    scene.until_archive_gone(returns).await;
    assert!(!path.exists());
    scene.until_missing_for_a_day(stays).await;
    scene.until_archive_gone(stays).await;
    assert!(kept.exists(), "only what is an archive is removed");
    bindery.unregister().await;
}

#[tokio::test]
async fn a_directory_that_replaces_an_archive_gets_another_object_after_a_day() {
    let bindery = Bindery::start(&["--retention-interval=200ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    archive_a_claim(&scene, "data").await;
    let archive = scene.until_archived("data").await;
    let path = Bed::get().export.join(place(&archive));
    std::fs::rename(&path, Bed::get().export.join(format!("aside-{}", scene.name))).unwrap();
    scene
        .until_archive("it is missing", |one| phase(one) == Some(ArchivePhase::Missing))
        .await;
    // As if an administrator had restored it from a backup of the server.
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("precious"), "restored").unwrap();
    scene
        .until_archive("it is replaced", |one| {
            let status = one.status.as_ref();
            status.is_some_and(|status| status.conditions[0].reason == "Replaced")
        })
        .await;
    scene.until_missing_for_a_day(&archive).await;
    let other = scene
        .until_archive("it has another object", |one| {
            one.uid() != archive.uid() && phase(one) == Some(ArchivePhase::Available)
        })
        .await;
    assert_eq!(place(&other), place(&archive));
    assert_ne!(other.spec.directory_id, archive.spec.directory_id);
    assert_eq!(content(&place(&other)).as_deref(), Some("restored"));
    bindery.unregister().await;
}

#[tokio::test]
async fn an_object_of_another_file_system_does_not_stop_the_others() {
    let mut bindery = Bindery::start(&["--retention-interval=200ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    archive_a_claim(&scene, "elsewhere").await;
    archive_a_claim(&scene, "data").await;
    let elsewhere = scene.until_archived("elsewhere").await;
    let archive = scene.until_archived("data").await;
    bindery.kill();
    scene.delete_archive_object(&elsewhere).await;
    let changes = json!({"spec": {"directoryId": "ffff.ffff:1", "shareId": null}});
    scene.forge(&scene.name, &elsewhere, changes).await.unwrap();
    std::fs::remove_dir_all(Bed::get().export.join(place(&archive))).unwrap();
    bindery.run().await;
    bindery
        .until_log("the object of an archive of this share is not changed")
        .await;
    scene
        .until_archive("the other one is missing", |one| {
            one.uid() == archive.uid() && phase(one) == Some(ArchivePhase::Missing)
        })
        .await;
    assert_eq!(content(&place(&elsewhere)).as_deref(), Some("elsewhere"));
    bindery.unregister().await;
}

#[tokio::test]
async fn a_name_that_was_changed_on_the_server_appears_in_the_status() {
    let bindery = Bindery::start(&["--retention-interval=200ms"]).await;
    let parameters = json!({"archiveRetention": "30d"});
    let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
    archive_a_claim(&scene, "data").await;
    let archive = scene.until_archived("data").await;
    let before = place(&archive);
    let (without, _) = before.split_once("-until-").unwrap();
    let export = &Bed::get().export;
    std::fs::rename(export.join(&before), export.join(without)).unwrap();
    let now = scene
        .until_archive("the status follows", |archive| place(archive) == without)
        .await;
    let status = now.status.unwrap();
    assert_eq!((status.phase, status.expires_at), (ArchivePhase::Available, None));
    assert_eq!(content(without).as_deref(), Some("data"));
    bindery.unregister().await;
}

/// A server with a disk of its own, and an archive on it.
struct OnDisk {
    server: Ganesha,
    bindery: Bindery,
    scene: Scene,
    archive: Archive,
}

impl OnDisk {
    async fn start() -> Self {
        let mut server = Ganesha::start_v3();
        server.kill();
        let disk = server.dir_of("disk");
        std::fs::create_dir(&disk).unwrap();
        server.mount(&disk);
        server.bind(&disk, &server.export_dir());
        server.restart();
        let flags = [
            &*format!("--nfs-server={}", server.address()),
            "--retention-interval=200ms",
        ];
        let bindery = Bindery::start(&flags).await;
        let scene = Scene::of(&bindery.provisioner).await;
        let (_, volume) = scene.bound(scene.claim("data")).await;
        let export = server.through_proc(&server.export_dir());
        std::fs::write(
            export.join(annotation(&volume, "sub-dir").unwrap()).join("precious"),
            "data",
        )
        .unwrap();
        scene.delete("data").await;
        scene.until_gone(&volume).await;
        let archive = scene.until_archived("data").await;
        Self {
            server,
            bindery,
            scene,
            archive,
        }
    }

    fn has_data(&self) -> bool {
        let export = self.server.through_proc(&self.server.export_dir());
        export.join(place(&self.archive)).join("precious").exists()
    }
}

#[tokio::test]
async fn a_share_that_shows_another_file_system_or_nothing_changes_no_object() {
    let mut disk = OnDisk::start().await;
    disk.server.kill();
    disk.bindery
        .until_log("could not check the archives, the trash and the directories of a share")
        .await;
    disk.server.unmount(&disk.server.export_dir());
    disk.server.restart();
    disk.bindery
        .until_log("the object of an archive of this share is not changed")
        .await;
    let now = disk.scene.until_archived("data").await;
    assert_eq!(now.status, disk.archive.status);
    // A deleted object waits, too.
    disk.scene.delete_archive(&disk.archive).await;
    let message = disk.scene.event(&disk.archive.name_any(), "ArchiveFailed").await;
    assert!(
        message.contains("shows another file system than before. Nothing is changed."),
        "{message}"
    );
    assert_eq!(disk.scene.own_archives().await.len(), 1);
    disk.server.kill();
    disk.server.bind(&disk.server.dir_of("disk"), &disk.server.export_dir());
    disk.server.restart();
    disk.scene.until_archive_gone(&disk.archive).await;
    eventually("the data is removed", async || (!disk.has_data()).then_some(())).await;
    disk.bindery.unregister().await;
}

#[tokio::test]
async fn an_archive_that_is_deleted_while_its_server_is_down_is_removed_when_it_returns() {
    let mut disk = OnDisk::start().await;
    disk.server.kill();
    disk.scene.delete_archive(&disk.archive).await;
    disk.scene.event(&disk.archive.name_any(), "ArchiveFailed").await;
    let waiting = disk.scene.until_archived("data").await;
    assert!(waiting.metadata.deletion_timestamp.is_some());
    disk.server.restart();
    disk.scene.until_archive_gone(&disk.archive).await;
    eventually("the data is removed", async || (!disk.has_data()).then_some(())).await;
    disk.bindery.unregister().await;
}

//! Cleanup of a directory after its claim is deleted.

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, volume_name};
use crate::support::wait::eventually;

async fn scene(on_delete: &str) -> Scene {
    Scene::with_class(json!({"parameters": {"onDelete": on_delete}})).await
}

/// Creates a bound claim with a file in its directory.
async fn with_a_file(scene: &Scene, name: &str) -> PersistentVolume {
    let (_, volume) = scene.bound(scene.claim(name)).await;
    std::fs::write(directory(&volume).join("precious"), name).unwrap();
    volume
}

fn archives(scene: &Scene) -> Vec<String> {
    let mut names = scene.own_directories();
    names.retain(|name| name.starts_with("archived-"));
    names
}

fn trash() -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(Bed::get().export.join(".bindery-trash"));
    entries
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name())
        .collect()
}

#[tokio::test]
async fn on_delete_delete_removes_the_directory_and_its_content() {
    let scene = scene("delete").await;
    let volume = with_a_file(&scene, "data").await;
    std::fs::create_dir_all(directory(&volume).join("a/b/c")).unwrap();
    let (_, neighbour) = scene.bound(scene.claim("neighbour")).await;
    std::fs::write(directory(&neighbour).join("precious"), "").unwrap();
    std::os::unix::fs::symlink(directory(&neighbour), directory(&volume).join("a/link")).unwrap();
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    assert!(!directory(&volume).exists());
    eventually("nothing of the directory is in the trash", async || {
        let is_of_it = |name: &std::ffi::OsString| name.to_string_lossy().contains(volume_name(&volume));
        (!trash().iter().any(is_of_it)).then_some(())
    })
    .await;
    assert!(directory(&neighbour).join("precious").exists(), "a link was followed");
    let message = scene.event(volume_name(&volume), "DirectoryDeleted").await;
    let sub_dir = annotation(&volume, "sub-dir").unwrap();
    assert_eq!(
        message,
        format!(
            "directory {sub_dir} of share {}:/export was moved to the trash; its files are being removed",
            Bed::get().server
        )
    );
}

#[tokio::test]
async fn on_delete_archive_renames_the_directory() {
    let scene = scene("archive").await;
    let volume = with_a_file(&scene, "data").await;
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    assert!(!directory(&volume).exists());
    let archives = archives(&scene);
    let [archive] = archives.as_slice() else {
        panic!("{archives:?}")
    };
    let kept = std::fs::read_to_string(Bed::get().export.join(archive).join("precious"));
    assert_eq!(kept.unwrap(), "data");
    let message = scene.event(volume_name(&volume), "DirectoryArchived").await;
    let object = scene.until_archived("data").await;
    let expected = format!(
        "is archived as {archive}; its object is Archive {}/{}",
        scene.name,
        object.metadata.name.unwrap()
    );
    assert!(message.ends_with(&expected), "{message}");
}

#[tokio::test]
async fn archives_of_claims_with_the_same_name_never_collide() {
    let scene = scene("archive").await;
    for content in ["first", "second"] {
        let (_, volume) = scene.bound(scene.claim("data")).await;
        std::fs::write(directory(&volume).join("precious"), content).unwrap();
        scene.delete("data").await;
        scene.until_gone(&volume).await;
    }
    let read = |archive: &String| std::fs::read_to_string(Bed::get().export.join(archive).join("precious")).unwrap();
    let mut kept: Vec<String> = archives(&scene).iter().map(read).collect();
    kept.sort();
    assert_eq!(kept, ["first", "second"]);
}

#[tokio::test]
async fn on_delete_retain_leaves_the_directory_in_place() {
    let scene = scene("retain").await;
    let volume = with_a_file(&scene, "data").await;
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    assert!(directory(&volume).join("precious").exists());
    let message = scene.event(volume_name(&volume), "DirectoryRetained").await;
    assert!(message.ends_with("is kept as it is"), "{message}");
}

#[tokio::test]
async fn reclaim_policy_retain_keeps_volume_and_directory_with_every_on_delete() {
    let scene = Scene::with_class(json!({"parameters": {"onDelete": "delete"}, "reclaimPolicy": "Retain"})).await;
    let volume = with_a_file(&scene, "data").await;
    scene.delete("data").await;
    let name = volume_name(&volume);
    scene.until_released(&volume).await;
    assert!(directory(&volume).join("precious").exists());

    // If an administrator deletes the volume, Bindery only removes its finalizer.
    scene.volumes().delete(name, &DeleteParams::default()).await.unwrap();
    scene.until_gone(&volume).await;
    assert!(directory(&volume).join("precious").exists());
}

#[tokio::test]
async fn the_policy_on_the_volume_applies_after_its_class_is_deleted() {
    let scene = scene("delete").await;
    let volume = with_a_file(&scene, "data").await;
    let classes: Api<StorageClass> = Api::all(scene.client.clone());
    classes.delete(&scene.name, &DeleteParams::default()).await.unwrap();
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    assert_eq!(scene.own_directories(), Vec::<String>::new());
}

#[tokio::test]
async fn an_administrator_can_change_on_delete_on_the_volume() {
    let scene = scene("delete").await;
    let volume = with_a_file(&scene, "data").await;
    let retain = json!({"metadata": {"annotations": {"bindery.dev/on-delete": "retain"}}});
    scene.patch_volume(volume_name(&volume), retain).await;
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    assert!(directory(&volume).join("precious").exists());
}

#[tokio::test]
async fn annotations_that_name_another_directory_are_ignored_and_reported() {
    let scene = scene("delete").await;
    let other = with_a_file(&scene, "other").await;
    let volume = with_a_file(&scene, "data").await;
    let elsewhere = json!({"metadata": {"annotations": {"bindery.dev/sub-dir": annotation(&other, "sub-dir")}}});
    scene.patch_volume(volume_name(&volume), elsewhere).await;
    scene.delete("data").await;
    let message = scene.event(volume_name(&volume), "CleanupFailed").await;
    assert!(
        message.contains("annotations bindery.dev/share and bindery.dev/sub-dir say"),
        "{message}"
    );
    assert!(directory(&volume).join("precious").exists());
    assert!(directory(&other).join("precious").exists());
    scene.event_again(volume_name(&volume), "CleanupFailed").await;

    // When the annotation is corrected, cleanup completes.
    let back = json!({"metadata": {"annotations": {"bindery.dev/sub-dir": annotation(&volume, "sub-dir")}}});
    scene.patch_volume(volume_name(&volume), back).await;
    scene.until_gone(&volume).await;
    assert!(!directory(&volume).exists());
    assert!(directory(&other).join("precious").exists());
}

#[tokio::test]
async fn a_replaced_directory_is_left_in_place() {
    let scene = scene("delete").await;
    let volume = with_a_file(&scene, "data").await;
    let path = directory(&volume);
    std::fs::rename(&path, path.with_extension("moved")).unwrap();
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("somebody-else's"), "").unwrap();
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    assert!(path.join("somebody-else's").exists());
    let message = scene.event(volume_name(&volume), "DirectoryReplaced").await;
    assert!(
        message.ends_with("is not the directory that this volume was given: it is left as it is"),
        "{message}"
    );
}

#[tokio::test]
async fn a_missing_directory_does_not_block_the_deletion_of_its_volume() {
    let scene = scene("archive").await;
    let volume = with_a_file(&scene, "data").await;
    std::fs::remove_dir_all(directory(&volume)).unwrap();
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    let message = scene.event(volume_name(&volume), "DirectoryMissing").await;
    assert!(
        message.ends_with("does not exist: an earlier attempt or someone else has moved or removed it"),
        "{message}"
    );
}

#[tokio::test]
async fn a_volume_deleted_while_bound_is_cleaned_up_after_its_claim() {
    let scene = scene("archive").await;
    let volume = with_a_file(&scene, "data").await;
    let name = volume_name(&volume);
    scene.volumes().delete(name, &DeleteParams::default()).await.unwrap();
    // When another volume has been created and removed, the controller has also reconciled this volume.
    let other = with_a_file(&scene, "other").await;
    scene.delete("other").await;
    scene.until_gone(&other).await;
    assert!(directory(&volume).join("precious").exists());
    assert!(scene.is_being_deleted(&volume).await);

    scene.delete("data").await;
    scene.until_gone(&volume).await;
    assert!(!directory(&volume).exists());
    assert_eq!(archives(&scene).len(), 2);
}

#[tokio::test]
async fn a_namespace_deleted_with_five_claims_leaves_five_archives_and_no_volume() {
    let scene = scene("archive").await;
    let mut volumes = Vec::new();
    for claim in 0..5 {
        volumes.push(with_a_file(&scene, &format!("data-{claim}")).await);
    }
    let namespaces: Api<Namespace> = Api::all(scene.client.clone());
    namespaces.delete(&scene.name, &DeleteParams::default()).await.unwrap();
    for volume in &volumes {
        scene.until_gone(volume).await;
    }
    assert_eq!(archives(&scene).len(), 5);
    assert_eq!(scene.own_directories().len(), 5);
}

#[tokio::test]
async fn a_volume_of_another_instance_is_never_changed() {
    let other = Bindery::start(&[]).await;
    let scene = Scene::of(&other.provisioner).await;
    let volume = with_a_file(&scene, "data").await;
    let name = volume_name(&volume);
    // Both installations serve one provisioner name, as two clusters on one export would. They have different instances.
    let provisioner = json!({"metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": Bed::get().provisioner}}});
    scene.patch_volume(name, provisioner).await;
    scene.delete("data").await;
    scene.until_released(&volume).await;
    let own = self::scene("delete").await;
    let own_volume = with_a_file(&own, "data").await;
    own.delete("data").await;
    own.until_gone(&own_volume).await;
    assert!(
        scene
            .volumes()
            .get(name)
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_none()
    );
    assert!(directory(&volume).join("precious").exists());
    other.unregister().await;
}

#[tokio::test]
async fn cleanup_stops_if_the_share_is_on_another_file_system_than_before() {
    let scene = scene("delete").await;
    let volume = with_a_file(&scene, "data").await;
    let name = volume_name(&volume);
    // This simulates that the disk is not mounted, and the server exports the empty mount point.
    let other_disk = json!({"metadata": {"annotations": {"bindery.dev/directory-id": "1.2:3"}}});
    scene.patch_volume(name, other_disk).await;
    scene.delete("data").await;
    let message = scene.event(name, "CleanupFailed").await;
    assert!(
        message.contains("Check that the server has mounted the file system that it exports."),
        "{message}"
    );
    let way_out = format!("kubectl annotate pv --overwrite {name} bindery.dev/on-delete=retain");
    assert!(message.ends_with(&way_out), "{message}");
    assert!(scene.volumes().get_opt(name).await.unwrap().is_some());

    let give_up = json!({"metadata": {"annotations": {"bindery.dev/on-delete": "retain"}}});
    scene.patch_volume(name, give_up).await;
    scene.until_gone(&volume).await;
    assert!(directory(&volume).join("precious").exists());
}

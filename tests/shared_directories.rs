//! Several volumes of one directory are deleted at the same time: the policy of the last one applies, and only once.

use std::fs;

use bindery::model::directory::NfsVersion;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::server_aliases::{AliasedServer, copy_of};
use crate::support::bed::Bed;
use crate::support::mount::Mount;
use crate::support::scene::{Scene, annotation, directory, volume_name};
use crate::support::wait::eventually;

/// Creates a volume of a claim, and a second volume of the same directory with these fields. Deletes both while Bindery
/// does not run.
async fn two_deleted_volumes(fields: Value) -> (AliasedServer, PersistentVolume, String) {
    let parameters = json!({"subDir": "shared-${pvc.metadata.namespace}", "onDelete": "delete"});
    let mut two = AliasedServer::with(NfsVersion::V4, parameters).await;
    let (_, volume) = two.scene.bound(two.scene.claim("one")).await;
    std::fs::write(two.place(annotation(&volume, "sub-dir").unwrap()).join("precious"), "").unwrap();
    two.bindery.kill();
    let name = format!("second-{}", two.scene.name);
    let mut second = copy_of(&volume, &name, two.alias());
    json_patch::merge(&mut second, &fields);
    two.scene.volumes_create(second).await;
    two.scene.delete("one").await;
    two.scene.until_released(&volume).await;
    for name in [volume_name(&volume), &name] {
        let deleted = two.scene.volumes().delete(name, &DeleteParams::default()).await;
        deleted.expect("volume deleted");
    }
    (two, volume, name)
}

async fn until_both_are_gone(two: &AliasedServer, volume: &PersistentVolume, second: &str) {
    two.scene.until_gone(volume).await;
    eventually("the second volume is gone", async || {
        let second = two.scene.volumes().get_opt(second).await.expect("volumes");
        second.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_last_volume_of_a_shared_directory_deletes_it() {
    let (mut two, volume, second) = two_deleted_volumes(json!({})).await;
    let directory = two.place(annotation(&volume, "sub-dir").unwrap());
    two.bindery.run().await;
    until_both_are_gone(&two, &volume, &second).await;
    eventually("the directory is gone", async || (!directory.exists()).then_some(())).await;
    two.bindery.unregister().await;
}

#[tokio::test]
async fn a_shared_directory_is_kept_if_one_volume_retains_it() {
    let retain = json!({"metadata": {"annotations": {"bindery.dev/on-delete": "retain"}}});
    let (mut two, volume, second) = two_deleted_volumes(retain).await;
    let directory = two.place(annotation(&volume, "sub-dir").unwrap());
    // The volume with `retain` waits for the other volume, even if it is reconciled first.
    two.bindery.run().await;
    two.scene.until_gone(&volume).await;
    until_both_are_gone(&two, &volume, &second).await;
    assert!(directory.join("precious").exists());
    two.bindery.unregister().await;
}

#[tokio::test]
async fn a_remaining_volume_inherits_the_policy_that_keeps_more() {
    for (policy, kept_as) in [("archive", "archived-"), ("retain", "shared-")] {
        let parameters = json!({"subDir": "shared-${pvc.metadata.namespace}", "onDelete": "delete"});
        let two = AliasedServer::with(NfsVersion::V4, parameters).await;
        let (_, volume) = two.scene.bound(two.scene.claim("one")).await;
        let directory = two.place(annotation(&volume, "sub-dir").unwrap());
        std::fs::write(directory.join("precious"), "").unwrap();
        let name = format!("second-{}", two.scene.name);
        let mut second = copy_of(&volume, &name, two.alias());
        second["metadata"]["annotations"]["bindery.dev/on-delete"] = json!(policy);
        two.scene.volumes_create(second).await;
        let deleted = two.scene.volumes().delete(&name, &DeleteParams::default()).await;
        deleted.expect("volume deleted");
        eventually("the second volume is gone", async || {
            let second = two.scene.volumes().get_opt(&name).await.expect("volumes");
            second.is_none().then_some(())
        })
        .await;
        let message = two.scene.event(volume_name(&volume), "DirectoryRetained").await;
        let begins = format!("onDelete of this volume is now {policy}");
        assert!(message.contains(&name) && message.starts_with(&begins), "{message}");
        two.scene.delete("one").await;
        two.scene.until_gone(&volume).await;
        let kept = std::fs::read_dir(two.server.export_dir()).unwrap().find(|entry| {
            let entry = entry.as_ref().unwrap();
            entry.file_name().to_string_lossy().starts_with(kept_as) && entry.path().join("precious").exists()
        });
        assert!(kept.is_some(), "the file is lost");
        two.bindery.unregister().await;
    }
}

#[tokio::test]
async fn a_cleaned_up_volume_held_by_another_finalizer_does_not_keep_the_directory() {
    let held = json!({"metadata": {"finalizers": ["example.com/backup"]}});
    let (mut two, volume, second) = two_deleted_volumes(held).await;
    let directory = two.place(annotation(&volume, "sub-dir").unwrap());
    two.bindery.run().await;
    two.scene.until_gone(&volume).await;
    eventually("the directory is gone", async || (!directory.exists()).then_some(())).await;
    two.scene
        .patch_volume(&second, json!({"metadata": {"finalizers": null}}))
        .await;
    two.bindery.unregister().await;
}

#[tokio::test]
async fn nested_directories_are_removed_inner_one_first() {
    let parameters = json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}", "onDelete": "delete"});
    let mut two = AliasedServer::with(NfsVersion::V4, parameters).await;
    let (_, outer) = two.scene.bound(two.scene.claim("outer")).await;
    two.bindery.kill();
    let name = format!("inner-{}", two.scene.name);
    let mut inner = copy_of(&outer, &name, two.server.address());
    let inside = format!("{}/inner", annotation(&outer, "sub-dir").unwrap());
    inner["metadata"]["annotations"]["bindery.dev/sub-dir"] = json!(inside);
    inner["metadata"]["annotations"]["bindery.dev/directory-id"] = json!(null);
    inner["spec"]["nfs"]["path"] = json!(format!("/export/{inside}"));
    inner["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove("bindery.dev/directory-id");
    std::fs::create_dir(two.place(&inside)).unwrap();
    std::fs::write(two.place(&inside).join("precious"), "").unwrap();
    two.scene.volumes_create(inner).await;
    two.scene.delete("outer").await;
    two.scene.until_released(&outer).await;
    for name in [volume_name(&outer), &name] {
        let deleted = two.scene.volumes().delete(name, &DeleteParams::default()).await;
        deleted.expect("volume deleted");
    }
    two.bindery.run().await;
    until_both_are_gone(&two, &outer, &name).await;
    let directory = two.place(annotation(&outer, "sub-dir").unwrap());
    eventually("both directories are gone", async || {
        (!directory.exists()).then_some(())
    })
    .await;
    two.bindery.unregister().await;
}

/// Bindery does not detect such an overlap when the second volume is created, because the last names differ.
#[tokio::test]
async fn a_directory_that_a_bind_mount_shows_to_another_volume_becomes_an_archive_and_is_not_emptied() {
    let layout = json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}", "onDelete": "delete"});
    let scene = Scene::with_class(json!({"parameters": layout})).await;
    let (_, volume) = scene.bound(scene.claim("one")).await;
    let (one, two) = (directory(&volume), directory(&volume).with_file_name("two"));
    fs::write(one.join("precious"), "").unwrap();
    fs::create_dir(&two).unwrap();
    let _mount = Mount::bind(&one, &two);
    let (_, second) = scene.bound(scene.claim("two")).await;
    assert_eq!(annotation(&second, "directory-id"), annotation(&volume, "directory-id"));
    scene.delete("one").await;
    scene.until_gone(&volume).await;
    eventually("the directory is an archive", async || {
        let archive = format!("archived-{}-two-", scene.name);
        let mut entries = fs::read_dir(&Bed::get().export).unwrap();
        entries
            .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with(&archive))
            .then_some(())
    })
    .await;
    assert!(two.join("precious").exists());
}

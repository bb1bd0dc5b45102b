//! Directories of claims in use that do not exist any more.

use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::{Value, json};

use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, volume_name};
use crate::support::wait::eventually;

/// A Bindery that looks for lost directories all the time, and the volumes of two claims.
async fn with_two_claims() -> (Bindery, Scene, PersistentVolume, PersistentVolume) {
    let bindery = Bindery::start(&["--retention-interval=200ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, lost) = scene.bound(scene.claim("lost")).await;
    let (_, other) = scene.bound(scene.claim("other")).await;
    (bindery, scene, lost, other)
}

/// Removes the annotation `ready`, as the Event advises.
async fn remove_ready(scene: &Scene, volume: &PersistentVolume) {
    let none = json!({"metadata": {"annotations": {"bindery.dev/ready": Value::Null}}});
    scene.patch_volume(volume_name(volume), none).await;
}

#[tokio::test]
async fn a_lost_directory_is_reported_on_claim_and_volume_and_created_again_on_request() {
    let (bindery, scene, lost, _) = with_two_claims().await;
    std::fs::remove_dir(directory(&lost)).unwrap();
    let name = volume_name(&lost);
    let message = scene.event(name, "DirectoryLost").await;
    let share = format!(
        "{}:{}",
        crate::support::bed::Bed::get().server,
        annotation(&lost, "share").unwrap()
    );
    assert_eq!(
        message,
        format!(
            "directory {} of share {share} of volume {name} does not exist any more: the server has lost it (with the \
             export option async, or on btrfs, a crash undoes the last changes), or somebody has moved or removed it. Pods cannot \
             mount it. If it had data, restore it from a backup. Then let Bindery record it, or create it again without \
             files: kubectl annotate pv {name} bindery.dev/ready-",
            annotation(&lost, "sub-dir").unwrap(),
        )
    );
    assert_eq!(scene.event("lost", "DirectoryLost").await, message);
    assert!(
        bindery
            .metrics()
            .await
            .contains(r#"bindery_volume_steps_total{outcome="directory_lost"}"#)
    );
    // Bindery does not create it again by itself: an empty directory would hide from pods that data is missing.
    scene.event_again(name, "DirectoryLost").await;
    assert!(!directory(&lost).exists());

    remove_ready(&scene, &lost).await;
    scene.until_bound("lost").await;
    assert!(directory(&lost).exists());
    bindery.unregister().await;
}

#[tokio::test]
async fn if_all_directories_are_lost_each_is_created_again_only_on_a_request_of_its_own() {
    let (bindery, scene, lost, other) = with_two_claims().await;
    for volume in [&lost, &other] {
        std::fs::remove_dir(directory(volume)).unwrap();
    }
    for volume in [&lost, &other] {
        let name = volume_name(volume);
        let message = scene.event(name, "DirectoryLost").await;
        let cause = "the directories of other volumes in use are missing there, too";
        assert!(message.contains(cause), "{message}");
        let way_out = format!("kubectl annotate pv {name} bindery.dev/directory-id- bindery.dev/ready-");
        assert!(message.ends_with(&way_out), "{message}");
    }
    // The disk may not be mounted.
    remove_ready(&scene, &lost).await;
    let message = scene.event(volume_name(&lost), "ProvisioningFailed").await;
    assert!(
        message.contains("the directories of other volumes in use are missing there, too"),
        "{message}"
    );
    assert!(!directory(&lost).exists());

    for volume in [&lost, &other] {
        let none = json!({"metadata": {"annotations": {
            "bindery.dev/directory-id": Value::Null,
            "bindery.dev/ready": Value::Null,
        }}});
        scene.patch_volume(volume_name(volume), none).await;
        eventually("the directory is there again", async || {
            directory(volume).exists().then_some(())
        })
        .await;
    }
    bindery.unregister().await;
}

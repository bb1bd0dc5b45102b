//! Classes and volumes of nfs-subdir-external-provisioner, with a Bindery that uses its provisioner name.

mod new_claims;
pub mod volume;

use kube::api::{Patch, PatchParams};
use serde_json::json;
use uuid::Uuid;

use self::volume::{LegacyVolume, bindery, create_volume, delete_class, legacy_scene, provisioner_name, replace_class};
use crate::support::bed::Bed;
use crate::support::scene::{annotation, directory};

#[tokio::test]
async fn a_bound_legacy_volume_gets_finalizer_and_policy_and_is_archived_without_its_class() {
    let provisioner = provisioner_name();
    let scene = legacy_scene(&provisioner, json!({"archiveOnDelete": "true"})).await;
    let old = LegacyVolume::make(&scene, "data", None).await;
    let bindery = bindery(&provisioner, &[]).await;
    let volume = old.until_taken_over(&scene).await;
    let finalizers = volume.metadata.finalizers.as_ref().unwrap();
    assert_eq!(finalizers, &["kubernetes.io/pv-protection", "bindery.dev/cleanup"]);
    assert_eq!(annotation(&volume, "on-delete"), Some("archive"));
    assert_eq!(annotation(&volume, "directory"), Some("adopted"));
    assert_eq!(directory(&volume), old.directory);
    assert_eq!(volume.status.as_ref().unwrap().phase.as_deref(), Some("Bound"));

    delete_class(&scene).await;
    old.end(&scene, "data").await;
    let archive = old.archive(annotation(&volume, "sub-dir").unwrap());
    assert_eq!(std::fs::read_to_string(archive.join("precious")).unwrap(), "data");
    bindery.unregister().await;
}

#[tokio::test]
async fn archive_on_delete_and_on_delete_keep_their_legacy_meaning() {
    let provisioner = provisioner_name();
    let deleting = legacy_scene(&provisioner, json!({"archiveOnDelete": "f"})).await;
    let retaining = legacy_scene(&provisioner, json!({"onDelete": "retain", "archiveOnDelete": "false"})).await;
    let (gone, kept) = (
        LegacyVolume::make(&deleting, "data", None).await,
        LegacyVolume::make(&retaining, "data", None).await,
    );
    let bindery = bindery(&provisioner, &[]).await;
    gone.until_taken_over(&deleting).await;
    kept.until_taken_over(&retaining).await;
    gone.end(&deleting, "data").await;
    assert_eq!(deleting.own_directories(), Vec::<String>::new());
    kept.end(&retaining, "data").await;
    assert!(kept.directory.join("precious").exists());
    bindery.unregister().await;
}

#[tokio::test]
async fn released_and_failed_legacy_volumes_are_cleaned_up_at_start() {
    let provisioner = provisioner_name();
    let scene = legacy_scene(&provisioner, json!({"onDelete": "delete"})).await;
    let released = LegacyVolume::make(&scene, "released", None).await;
    let failed = LegacyVolume::make(&scene, "failed", None).await;
    let without_class = legacy_scene(&provisioner, json!({"onDelete": "delete"})).await;
    let archived = LegacyVolume::make(&without_class, "data", None).await;
    delete_class(&without_class).await;
    let mut volumes = Vec::new();
    for (scene, old, claim) in [
        (&scene, &released, "released"),
        (&scene, &failed, "failed"),
        (&without_class, &archived, "data"),
    ] {
        let volume = old.volume(scene).await;
        scene.delete(claim).await;
        scene.until_released(&volume).await;
        volumes.push(volume);
    }
    let fail = Patch::Merge(json!({"status": {"phase": "Failed"}}));
    let patched = scene
        .volumes()
        .patch_status(&failed.name, &PatchParams::default(), &fail)
        .await;
    patched.expect("status patched");

    let bindery = bindery(&provisioner, &[]).await;
    for volume in &volumes {
        scene.until_gone(volume).await;
    }
    assert_eq!(scene.own_directories(), Vec::<String>::new());
    let sub_dir = format!("{}-data-{}", without_class.name, archived.name);
    assert!(archived.archive(&sub_dir).join("precious").exists());
    bindery.unregister().await;
}

#[tokio::test]
async fn a_nested_directory_is_archived_instead_of_deleted_unless_the_flag_is_set() {
    let provisioner = provisioner_name();
    let pattern = json!({"onDelete": "delete", "pathPattern": "${.PVC.namespace}/${.PVC.name}"});
    let scene = legacy_scene(&provisioner, pattern.clone()).await;
    let sub_dir = format!("{}/data", scene.name);
    let old = LegacyVolume::make(&scene, "data", Some(&sub_dir)).await;
    let careful = bindery(&provisioner, &[]).await;
    let volume = old.until_taken_over(&scene).await;
    assert_eq!(annotation(&volume, "on-delete"), Some("archive"));
    old.end(&scene, "data").await;
    assert!(old.archive(&sub_dir).join("precious").exists());
    careful.unregister().await;
    drop(careful);

    let provisioner = provisioner_name();
    let scene = legacy_scene(&provisioner, pattern).await;
    let old = LegacyVolume::make(&scene, "data", Some(&format!("{}/data", scene.name))).await;
    let bold = bindery(&provisioner, &["--takeover-delete-nested"]).await;
    old.until_taken_over(&scene).await;
    old.end(&scene, "data").await;
    assert!(!old.directory.exists());
    // The parent directory does not belong to the volume.
    assert_eq!(scene.own_directories().concat(), scene.name);
    bold.unregister().await;
}

#[tokio::test]
async fn a_legacy_volume_outside_the_share_is_left_unchanged_and_reported() {
    let provisioner = provisioner_name();
    let scene = legacy_scene(&provisioner, json!({"onDelete": "delete"})).await;
    let volumes = ["/elsewhere/data", "/export"].map(|path| (format!("pvc-{}", Uuid::new_v4()), path));
    for (name, path) in &volumes {
        let volume = json!({
            "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": provisioner}},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "capacity": {"storage": "1Gi"},
                "claimRef": {"namespace": scene.name, "name": "long-gone", "uid": Uuid::new_v4().to_string()},
                "nfs": {"server": Bed::get().server, "path": path},
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": scene.name,
            },
        });
        create_volume(&scene, volume).await;
        scene.until_released(&scene.volumes().get(name).await.unwrap()).await;
    }
    let bindery = bindery(&provisioner, &[]).await;
    for (name, path) in &volumes {
        let server = &Bed::get().server;
        let message = scene.event(name, "NotTakenOver").await;
        let expected = format!(
            "Bindery does not take this volume over, and does not touch its directory when its claim is deleted: \
             {server}:{path} is not below {server}:/export"
        );
        assert!(message.starts_with(&expected), "{message}");
        let volume = scene.volumes().get(name).await.unwrap();
        assert_eq!(annotation(&volume, "instance"), None);
        assert_eq!(volume.metadata.finalizers.unwrap(), ["kubernetes.io/pv-protection"]);
        assert_eq!(volume.metadata.deletion_timestamp, None);
    }
    bindery.unregister().await;
}

#[tokio::test]
async fn legacy_volumes_of_other_provisioners_or_instances_and_unbound_ones_are_never_changed() {
    let (provisioner, another) = (provisioner_name(), provisioner_name());
    let scene = legacy_scene(&provisioner, json!({"onDelete": "delete"})).await;
    let foreign = legacy_scene(&another, json!({"onDelete": "delete"})).await;
    let anothers = LegacyVolume::make(&foreign, "data", None).await;
    let other_instance = LegacyVolume::make(&scene, "data", None).await;
    let theirs = json!({"metadata": {"annotations": {"bindery.dev/instance": "green"}}});
    scene.patch_volume(&other_instance.name, theirs).await;
    let own = LegacyVolume::make(&scene, "own", None).await;
    // This volume is created last, because kube-controller-manager would bind it to the next claim.
    let unbound = format!("pvc-{}", Uuid::new_v4());
    let by_hand = json!({
        "metadata": {"name": unbound, "annotations": {"pv.kubernetes.io/provisioned-by": provisioner}},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "1Gi"},
            "nfs": {"server": Bed::get().server, "path": "/export/by-hand"},
            "storageClassName": scene.name,
        },
    });
    create_volume(&scene, by_hand).await;
    let mut before = Vec::new();
    for name in [&anothers.name, &other_instance.name, &unbound] {
        before.push(scene.volumes().get(name).await.unwrap().metadata);
    }
    let bindery = bindery(&provisioner, &[]).await;
    // When this volume has been taken over and removed, the controller has also reconciled the other volumes.
    own.until_taken_over(&scene).await;
    own.end(&scene, "own").await;
    for metadata in before {
        let now = scene.volumes().get(metadata.name.as_ref().unwrap()).await.unwrap();
        assert_eq!(
            (now.metadata.annotations, now.metadata.finalizers),
            (metadata.annotations, metadata.finalizers)
        );
    }
    bindery.unregister().await;
}

#[tokio::test]
async fn a_volume_with_an_invalid_class_is_taken_over_when_the_class_is_corrected() {
    let provisioner = provisioner_name();
    let scene = legacy_scene(&provisioner, json!({"onDelete": "delete", "uid": "root"})).await;
    let old = LegacyVolume::make(&scene, "data", None).await;
    let bindery = bindery(&provisioner, &[]).await;
    let message = scene.event(&old.name, "NotTakenOver").await;
    assert!(message.contains("uid is \"root\""), "{message}");
    replace_class(&scene, json!({"onDelete": "delete"})).await;
    // The next change of the volume triggers a reconcile.
    old.end(&scene, "data").await;
    assert!(!old.directory.exists());
    bindery.unregister().await;
}

#[tokio::test]
async fn a_directory_shared_by_two_legacy_volumes_is_cleaned_up_with_the_last() {
    let provisioner = provisioner_name();
    let scene = legacy_scene(&provisioner, json!({"pathPattern": "${.PVC.namespace}"})).await;
    let one = LegacyVolume::make(&scene, "one", Some(&scene.name)).await;
    let two = LegacyVolume::make(&scene, "two", Some(&scene.name)).await;
    let bindery = bindery(&provisioner, &[]).await;
    one.until_taken_over(&scene).await;
    two.until_taken_over(&scene).await;
    one.end(&scene, "one").await;
    assert!(two.directory.join("precious").exists());
    two.end(&scene, "two").await;
    assert!(two.archive(&scene.name).join("precious").exists());
    bindery.unregister().await;
}

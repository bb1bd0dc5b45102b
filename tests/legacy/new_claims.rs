//! New claims of classes that were written for nfs-subdir-external-provisioner.

use serde_json::json;

use super::volume::{LegacyVolume, bindery, legacy_scene, provisioner_name};
use crate::support::scene::{annotation, directory};

#[tokio::test]
async fn legacy_classes_serve_new_claims() {
    let provisioner = provisioner_name();
    let bindery = bindery(&provisioner, &[]).await;
    let pattern = "${.PVC.namespace}-${.PVC.labels.zone}";
    let parameters = json!({"archiveOnDelete": "F", "pathPattern": pattern, "color": "blue"});
    let scene = legacy_scene(&provisioner, parameters).await;

    let warnings = scene.create_with_warnings(scene.claim("data")).await;
    let missing = format!("label zone of the claim is not set and is left empty in {pattern}");
    assert!(warnings.contains(&missing), "{warnings:?}");
    // A problem that all claims of the class have is reported on the class.
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let message = scene.event(&scene.name, "ClassWarnings").await;
    let unknown = format!("StorageClass {}: parameter color is not known:", scene.name);
    assert!(message.starts_with(&unknown), "{message}");
    let (_, volume) = scene.until_bound("data").await;
    assert_eq!(
        annotation(&volume, "sub-dir"),
        Some(format!("{}-", scene.name).as_str())
    );
    assert_eq!(annotation(&volume, "on-delete"), Some("delete"));

    let second = scene.refused(scene.claim("second")).await;
    assert!(second.contains("belongs to volume"), "{second}");
    let labelled = json!({"metadata": {"labels": {"zone": "a"}}});
    scene.bound(scene.claim_with("third", labelled)).await;
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    assert!(!directory(&volume).exists());
    bindery.unregister().await;
}

#[tokio::test]
async fn a_path_out_of_the_share_is_refused_in_legacy_classes() {
    let provisioner = provisioner_name();
    let bindery = bindery(&provisioner, &[]).await;
    let scene = legacy_scene(
        &provisioner,
        json!({"pathPattern": "./${.PVC.annotations.nfs.io/storage-path}"}),
    )
    .await;
    // Without the annotation, the path is the share itself.
    let share = scene.refused(scene.claim("data")).await;
    assert!(
        share.contains("which means the directory itself") || share.contains("empty segment"),
        "{share}"
    );
    let up = json!({"metadata": {"annotations": {"nfs.io/storage-path": "../etc"}}});
    let up = scene.refused(scene.claim_with("data", up)).await;
    assert!(
        up.contains("has the segment \"..\", which means the directory above; write the path without it"),
        "{up}"
    );
    scene.assert_nothing_made().await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_new_claim_never_gets_the_directory_of_a_legacy_volume() {
    let provisioner = provisioner_name();
    let scene = legacy_scene(
        &provisioner,
        json!({"pathPattern": "${.PVC.namespace}/${.PVC.labels.app}"}),
    )
    .await;
    let sub_dir = format!("{}/db", scene.name);
    let old = LegacyVolume::make(&scene, "data", Some(&sub_dir)).await;
    let refused = LegacyVolume::make(&scene, "refused", Some(&format!("{}/other", scene.name))).await;
    let typo = json!({"metadata": {"annotations": {"bindery.dev/on-delete": "keep"}}});
    scene.patch_volume(&refused.name, typo).await;
    let bindery = bindery(&provisioner, &[]).await;
    old.until_taken_over(&scene).await;
    scene.event(&refused.name, "NotTakenOver").await;
    let other = json!({"metadata": {"labels": {"app": "other"}}});
    let message = scene.refused(scene.claim_with("second", other)).await;
    assert!(
        message.contains(&format!("is the same as that of volume {}", refused.name)),
        "{message}"
    );
    let same = json!({"metadata": {"labels": {"app": "db"}}});
    let refused = scene.refused(scene.claim_with("second", same)).await;
    assert!(
        refused.contains(&format!("is the same as directory {sub_dir} of volume {}", old.name)),
        "{refused}"
    );
    bindery.unregister().await;
}

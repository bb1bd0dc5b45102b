//! Names that NFS servers use for snapshots, and for deleted files that are still open, are never part of a volume's
//! path.

use std::fs;

use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::scene::{Scene, annotation, directory, volume_name};

/// Returns a claim that sets its directory by an annotation.
fn claim(scene: &Scene, name: &str, directory: &str) -> Value {
    let annotations = json!({"directory": directory});
    scene.claim_with(name, json!({"metadata": {"annotations": annotations}}))
}

#[tokio::test]
async fn a_claim_for_a_directory_among_snapshots_or_deleted_files_is_refused() {
    let template = "${pvc.metadata.namespace}/${pvc.metadata.annotations['directory']}";
    let scene = Scene::with_class(json!({"parameters": {"subDir": template}})).await;
    let message = scene.refused(claim(&scene, "one", "x/.snap/evil")).await;
    let expected = "annotation directory of the claim is \"x/.snap/evil\", which has the segment \".snap\": servers show a \
                    directory's snapshots under that name, so a volume's path cannot contain it; correct the annotation";
    assert!(message.contains(expected), "{message}");
    for name in [
        ".SNAP",
        ".snapshot/a",
        ".snapshots",
        "a/.zfs/snapshot",
        "~snapshot",
        ".ckpt",
    ] {
        let message = scene.refused(claim(&scene, "one", name)).await;
        assert!(
            message.contains("servers show a directory's snapshots under that name"),
            "{message}"
        );
    }
    let message = scene.refused(claim(&scene, "one", ".nfs000000000001")).await;
    assert!(
        message.contains("NFS clients give names that begin with .nfs to deleted files"),
        "{message}"
    );
    scene.assert_nothing_made().await;
    let (_, volume) = scene.bound(claim(&scene, "one", "x/snap")).await;
    assert!(directory(&volume).ends_with("x/snap"));
}

#[tokio::test]
async fn a_volume_among_snapshots_is_left_unchanged_with_an_event() {
    let scene = Scene::with_class(json!({"parameters": {"onDelete": "delete"}})).await;
    let (_, model) = scene.bound(scene.claim("model")).await;
    let path = format!("{}/.snap/evil", annotation(&model, "sub-dir").unwrap());
    let evil = Bed::get().export.join(&path);
    fs::create_dir_all(&evil).unwrap();
    fs::write(evil.join("precious"), "kept").unwrap();

    // An earlier version of Bindery would have created such a volume. Its claim is deleted.
    let mut volume = json!(model);
    let name = format!("{}-among-snapshots", scene.name);
    volume["metadata"] = json!({
        "name": name,
        "annotations": volume["metadata"]["annotations"],
        "finalizers": ["bindery.dev/cleanup"],
    });
    volume["metadata"]["annotations"]["bindery.dev/sub-dir"] = json!(path);
    volume["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove("bindery.dev/directory-id");
    volume["spec"]["nfs"]["path"] = json!(format!("{}/{path}", Bed::get().share));
    volume["spec"]["claimRef"] = json!({"namespace": scene.name, "name": "gone", "uid": "0", "kind": "PersistentVolumeClaim",
        "apiVersion": "v1"});
    scene.volumes_create(volume).await;
    let message = scene.event(&name, "CleanupFailed").await;
    assert!(
        message.contains("has the segment \".snap\": servers show a directory's snapshots under that name"),
        "{message}"
    );
    assert!(
        message.contains(
            "remove the finalizer bindery.dev/cleanup: the volume is then deleted, and a directory at its path stays"
        ),
        "{message}"
    );
    let volume = scene.volumes().get(&name).await.unwrap();
    assert_eq!(volume.metadata.deletion_timestamp, None);
    assert_eq!(fs::read_to_string(evil.join("precious")).unwrap(), "kept");
    // Cleanup of the volume whose directory contains the snapshot also keeps that data.
    scene.delete("model").await;
    let message = scene.event(volume_name(&model), "DirectoryRetained").await;
    assert!(message.contains(&name), "{message}");
    assert_eq!(fs::read_to_string(evil.join("precious")).unwrap(), "kept");
    scene
        .patch_volume(&name, json!({"metadata": {"finalizers": null}}))
        .await;
    scene
        .volumes()
        .delete(&name, &kube::api::DeleteParams::default())
        .await
        .unwrap();
}

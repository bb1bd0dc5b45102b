//! Overlapping directories. No claim gets a directory above or inside the directory of another volume, and no cleanup
//! removes such a directory.

use kube::api::PostParams;
use serde_json::json;

use crate::layouts::{DENIED, place, scene};
use crate::support::bed::Bed;
use crate::support::scene::{annotation, directory, volume_name};
use crate::support::wait::eventually;

#[tokio::test]
async fn a_directory_above_or_inside_that_of_another_volume_is_refused() {
    let template = "${.PVC.namespace}/${.PVC.annotations.example.com/path}";
    let scene = scene(json!({"pathPattern": template})).await;
    let claim = |name: &str, path: &str| {
        scene.claim_with(name, json!({"metadata": {"annotations": {"example.com/path": path}}}))
    };
    let (_, volume) = scene.bound(claim("middle", "a/b")).await;
    for (name, path) in [("above", "a"), ("below", "a/b/c")] {
        let refused = scene.refused(claim(name, path)).await;
        let message = format!(
            "{DENIED}directory {0}/{path} of share {1}:/export overlaps with directory {0}/a/b of volume {2}, which \
             claim {0}/middle uses; choose another directory for this claim",
            scene.name,
            Bed::get().server,
            volume_name(&volume),
        );
        assert_eq!(refused, message);
        let undone = async || (scene.own_volumes().await.len() == 1).then_some(());
        eventually("volume and directory are removed again", undone).await;
    }
    assert!(!place(&scene, "a/b/c").exists());
    scene.bound(claim("beside", "a/bb")).await;
}

#[tokio::test]
async fn no_message_advises_to_move_a_directory_that_contains_another_volume() {
    let template = "x-${.PVC.namespace}/${.PVC.annotations.example.com/path}";
    let scene = scene(json!({"pathPattern": template})).await;
    let claim = |name: &str, path: &str| {
        scene.claim_with(name, json!({"metadata": {"annotations": {"example.com/path": path}}}))
    };
    // The parent directory exists, and existing directories are not adopted. The message must name the other volume instead.
    let (_, volume) = scene.bound(claim("inner", "a/b")).await;
    let message = format!(
        "{DENIED}directory x-{0}/a of share {1}:/export overlaps with directory x-{0}/a/b of volume {2}, which claim \
         {0}/inner uses; choose another directory for this claim",
        scene.name,
        Bed::get().server,
        volume_name(&volume),
    );
    assert_eq!(scene.refused(claim("outer", "a")).await, message);
    assert_eq!(scene.own_volumes().await, [volume]);
}

#[tokio::test]
async fn a_directory_that_contains_another_volume_is_kept_after_its_claim() {
    let scene = scene(json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}", "onDelete": "delete"})).await;
    let (_, outer) = scene.bound(scene.claim("outer")).await;
    // The test creates the volume itself, because the webhook would refuse the claim.
    let (_, inner) = scene.bound(scene.claim("inner")).await;
    let (sub_dir, path) = (
        format!("{}/inner", annotation(&outer, "sub-dir").unwrap()),
        directory(&outer).join("inner"),
    );
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("precious"), "").unwrap();
    let mut by_hand = inner.clone();
    by_hand.metadata = serde_json::from_value(json!({
        "name": format!("by-hand-{}", scene.name),
        "labels": outer.metadata.labels,
        "annotations": inner.metadata.annotations,
    }))
    .unwrap();
    by_hand
        .metadata
        .annotations
        .as_mut()
        .unwrap()
        .insert("bindery.dev/sub-dir".to_owned(), sub_dir.clone());
    let spec = by_hand.spec.as_mut().unwrap();
    spec.claim_ref = None;
    spec.nfs.as_mut().unwrap().path = format!("{}/{sub_dir}", Bed::get().share);
    scene.volumes().create(&PostParams::default(), &by_hand).await.unwrap();

    scene.delete("outer").await;
    scene.until_gone(&outer).await;
    assert!(path.join("precious").exists());
    let message = scene.event(volume_name(&outer), "DirectoryRetained").await;
    assert!(
        message.ends_with(&format!(
            "the directory of volume by-hand-{} contains it or is inside it",
            scene.name
        )),
        "{message}"
    );
}

#[tokio::test]
async fn overlaps_across_nested_exports_are_found() {
    let scene = scene(json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"})).await;
    let (_, outer) = scene.bound(scene.claim("outer")).await;
    let inside = format!("{}-inside", scene.name);
    let share = format!("/export/{}/outer", scene.name);
    scene
        .class(&inside, json!({"parameters": {"share": share, "subDir": "x/y"}}))
        .await;
    let claim = scene.claim_with("inner", json!({"spec": {"storageClassName": inside}}));
    assert_eq!(
        scene.refused(claim).await,
        format!(
            "{DENIED}directory x/y of share {0}:{share} overlaps with directory {1}/outer of volume {2}, which claim \
             {1}/outer uses; choose another directory for this claim",
            Bed::get().server,
            scene.name,
            volume_name(&outer),
        )
    );
    assert!(!directory(&outer).join("x").exists());
}

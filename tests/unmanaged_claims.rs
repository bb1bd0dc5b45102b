//! Claims that Bindery does not manage are admitted unchanged.

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::scene::{Scene, from};
use crate::support::wait::eventually;

async fn assert_admitted_unchanged(scene: &Scene, claim: Value) {
    let created = scene.create(claim).await.unwrap();
    assert_eq!(created.spec.unwrap().volume_name, None);
    scene.assert_nothing_made().await;
}

#[tokio::test]
async fn a_claim_of_another_class_is_admitted_unchanged() {
    let scene = Scene::of("example.com/other").await;
    assert_admitted_unchanged(&scene, scene.claim("data")).await;
}

#[tokio::test]
async fn a_claim_without_class_is_admitted_unchanged() {
    let scene = Scene::new().await;
    assert_admitted_unchanged(
        &scene,
        scene.claim_with("data", json!({"spec": {"storageClassName": ""}})),
    )
    .await;
}

#[tokio::test]
async fn a_claim_of_a_missing_class_is_admitted_unchanged() {
    let scene = Scene::new().await;
    assert_admitted_unchanged(
        &scene,
        scene.claim_with("data", json!({"spec": {"storageClassName": "by-hand"}})),
    )
    .await;
}

#[tokio::test]
async fn a_claim_in_a_disabled_namespace_is_admitted_unchanged() {
    let scene = Scene::with_namespace(json!({"bindery.dev/enabled": "false"})).await;
    assert_admitted_unchanged(&scene, scene.claim("data")).await;
}

#[tokio::test]
async fn a_claim_that_names_a_static_volume_is_bound_to_it() {
    let scene = Scene::new().await;
    let name = format!("static-{}", scene.name);
    let volume: PersistentVolume = from(json!({
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "1Gi"},
            "nfs": {"server": Bed::get().server, "path": "/export"},
            "storageClassName": scene.name,
        },
    }));
    scene.volumes().create(&PostParams::default(), &volume).await.unwrap();
    scene
        .create(scene.claim_with("data", json!({"spec": {"volumeName": name}})))
        .await
        .unwrap();
    eventually("the static volume is bound", async || {
        let claim = scene.claims().get("data").await.unwrap();
        (claim.status?.phase? == "Bound" && claim.spec?.volume_name? == name).then_some(())
    })
    .await;
    assert_eq!(scene.own_directories(), Vec::<String>::new());
}

#[tokio::test]
async fn a_volume_name_written_by_a_user_creates_no_volume() {
    let scene = Scene::new().await;
    let name = "pvc-00000000-0000-0000-0000-00000000beef";
    let created = scene
        .create(scene.claim_with("data", json!({"spec": {"volumeName": name}})))
        .await
        .unwrap();
    assert_eq!(created.spec.unwrap().volume_name.as_deref(), Some(name));
    scene.assert_nothing_made().await;
    assert!(scene.volumes().get_opt(name).await.unwrap().is_none());
}

//! Claims that are none of Bindery's business pass untouched.

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::scene::{Scene, from};
use crate::support::wait::eventually;

async fn passes_untouched(scene: &Scene, claim: Value) {
    let created = scene.create(claim).await.unwrap();
    assert_eq!(created.spec.unwrap().volume_name, None);
    scene.assert_nothing_made().await;
}

#[tokio::test]
async fn a_claim_of_another_class_passes_untouched() {
    let scene = Scene::of("example.com/other").await;
    passes_untouched(&scene, scene.claim("data")).await;
}

#[tokio::test]
async fn a_claim_without_class_passes_untouched() {
    let scene = Scene::new().await;
    passes_untouched(
        &scene,
        scene.claim_with("data", json!({"spec": {"storageClassName": ""}})),
    )
    .await;
}

#[tokio::test]
async fn a_claim_of_a_class_that_does_not_exist_passes_untouched() {
    let scene = Scene::new().await;
    passes_untouched(
        &scene,
        scene.claim_with("data", json!({"spec": {"storageClassName": "by-hand"}})),
    )
    .await;
}

#[tokio::test]
async fn a_claim_in_a_disabled_namespace_passes_untouched() {
    let scene = Scene::with_namespace(json!({"bindery.dev/enabled": "false"})).await;
    passes_untouched(&scene, scene.claim("data")).await;
}

#[tokio::test]
async fn a_claim_that_names_a_volume_keeps_it_and_a_static_volume_still_binds() {
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
async fn a_user_who_writes_a_volume_name_never_makes_bindery_create_that_volume() {
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

//! Claims that the selectors of the webhook configuration exempt. They get no volume later, either.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::bindery::Bindery;
use crate::support::scene::Scene;

/// Creates claim `data` while Bindery does not run, and asserts that Bindery does not provision it after the restart. When
/// Bindery has provisioned a newer claim in another namespace, it has also reconciled all older claims.
async fn assert_exempt(bindery: &mut Bindery, scene: &Scene, claim: Value) {
    bindery.kill();
    scene.create(claim).await.unwrap();
    bindery.run().await;
    let other = Scene::of(&bindery.provisioner).await;
    bindery.kill();
    other.create(other.claim("younger")).await.unwrap();
    bindery.run().await;
    other.until_bound("younger").await;
    let claim = scene.claims().get("data").await.unwrap();
    assert_eq!(claim.spec.unwrap().volume_name, None);
}

#[tokio::test]
async fn a_claim_in_an_exempt_namespace_gets_no_volume_until_the_namespace_labels_change() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    scene.label_namespace(json!({"storage": "by-hand"})).await;
    let served = json!([{"key": "storage", "operator": "NotIn", "values": ["by-hand"]}]);
    bindery
        .change_webhook(json!({"namespaceSelector": {"matchExpressions": served}}))
        .await;
    assert_exempt(&mut bindery, &scene, scene.claim("data")).await;
    scene.assert_nothing_made().await;
    scene.label_namespace(json!({"storage": null})).await;
    scene.until_bound("data").await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_claim_exempt_by_the_object_selector_gets_no_volume_until_its_labels_change() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let served = json!([{"key": "by-hand", "operator": "DoesNotExist"}]);
    bindery
        .change_webhook(json!({"objectSelector": {"matchExpressions": served}}))
        .await;
    let labelled = scene.claim_with("data", json!({"metadata": {"labels": {"by-hand": "yes"}}}));
    assert_exempt(&mut bindery, &scene, labelled).await;
    let free = Patch::Merge(json!({"metadata": {"labels": null}}));
    let freed = scene.claims().patch("data", &PatchParams::default(), &free).await;
    freed.unwrap();
    scene.until_bound("data").await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_changed_selector_provisions_exempt_claims_and_removes_no_volume() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, before) = scene.bound(scene.claim("before")).await;
    let served = json!([{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [scene.name]}]);
    bindery
        .change_webhook(json!({"namespaceSelector": {"matchExpressions": served}}))
        .await;
    assert_exempt(&mut bindery, &scene, scene.claim("data")).await;
    assert_eq!(scene.own_volumes().await, [before]);
    bindery.change_webhook(json!({"namespaceSelector": null})).await;
    scene.until_bound("data").await;
    bindery.unregister().await;
}

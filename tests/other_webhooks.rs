//! Webhooks that run after Bindery's and change the claim.

use serde_json::json;

use crate::support::bindery::Bindery;
use crate::support::other_webhook::OtherWebhook;
use crate::support::scene::{Scene, annotation};
use crate::support::wait::eventually;

/// Starts a webhook that runs after Bindery's and sets another class on every claim of this scene.
async fn changes_the_class(scene: &Scene, to: &str) -> OtherWebhook {
    let to = to.to_owned();
    OtherWebhook::after_bindery(&scene.name, move |review| {
        let from = &review["request"]["object"]["spec"]["storageClassName"];
        let patch = json!([{"op": "replace", "path": "/spec/storageClassName", "value": to}]);
        (*from != json!(to)).then_some(patch)
    })
    .await
}

#[tokio::test]
async fn a_claim_whose_class_a_later_webhook_changes_gets_no_volume_from_bindery() {
    let scene = Scene::new().await;
    let other = Scene::of("example.com/other").await;
    let webhook = changes_the_class(&scene, &other.name).await;
    let claim = scene.create(scene.claim("data")).await.unwrap().spec.unwrap();
    assert_eq!(
        (claim.storage_class_name.as_ref(), claim.volume_name),
        (Some(&other.name), None)
    );
    eventually("volume and directory are removed again", async || {
        (scene.own_volumes().await.is_empty() && scene.own_directories().is_empty()).then_some(())
    })
    .await;
    webhook.unregister().await;
}

#[tokio::test]
async fn a_change_by_a_later_webhook_without_reinvocation_is_detected_and_reported() {
    let bindery = Bindery::start_with(&[], json!({"reinvocationPolicy": "Never"})).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let other = Scene::of("example.com/other").await;
    let webhook = changes_the_class(&scene, &other.name).await;
    let claim = scene.create(scene.claim("data")).await.unwrap();
    let volume = claim.spec.unwrap().volume_name.expect("Bindery did not know better");
    let message = scene.event("data", "ClaimChanged").await;
    assert_eq!(
        message,
        format!(
            "volume {volume} was created for this claim, and then something changed the claim: its class is \"{}\", \
             the volume's is \"{}\". Delete the claim and create it again. \
             Check which admission webhook changes claims after Bindery's",
            other.name, scene.name
        )
    );
    scene.delete("data").await;
    eventually("volume and directory are removed again", async || {
        // If the claim was bound for a moment, an archive may be left.
        let live = scene
            .own_directories()
            .iter()
            .any(|name| !name.starts_with("archived-"));
        (scene.own_volumes().await.is_empty() && !live).then_some(())
    })
    .await;
    webhook.unregister().await;
    bindery.unregister().await;
}

#[tokio::test]
async fn an_unrelated_change_by_a_later_webhook_leads_to_one_volume() {
    let scene = Scene::new().await;
    let webhook = OtherWebhook::after_bindery(&scene.name, |review| {
        let labelled = review["request"]["object"]["metadata"]["labels"].is_object();
        (!labelled).then(|| json!([{"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}]))
    })
    .await;
    let (claim, volume) = scene.bound(scene.claim("data")).await;
    assert_eq!(claim.metadata.labels.unwrap()["seen"], "yes");
    assert!(annotation(&volume, "touched").is_some(), "Bindery was not asked again");
    assert_eq!(scene.own_volumes().await, [volume]);
    assert_eq!(scene.own_directories().len(), 1);
    webhook.unregister().await;
}

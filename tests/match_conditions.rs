//! The match condition of the webhook. The API server sends all claims of Bindery's classes to the webhook, also the first
//! claim of a new class. It sends no claims of other classes that Bindery has listed.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::bed::is_class_reviewed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, from};
use crate::support::wait::eventually;

const DENIED: &str = "admission webhook \"claims.bindery.dev\" denied the request: ";

fn of_class(scene: &Scene, name: &str, class: &str) -> Value {
    scene.claim_with(name, json!({"spec": {"storageClassName": class}}))
}

/// Returns the match condition that Bindery maintains.
fn condition(webhook: &Value) -> &str {
    let conditions = webhook["matchConditions"].as_array().expect("conditions");
    let ours = conditions.iter().find(|condition| condition["name"] == "may-be-ours");
    ours.expect("Bindery's condition")["expression"].as_str().expect("CEL")
}

/// Returns how many reviews this Bindery has answered.
async fn reviews(bindery: &Bindery) -> u64 {
    let metrics = bindery.metrics().await;
    let counts = metrics
        .lines()
        .filter(|line| line.starts_with("bindery_review_duration_seconds_count{"));
    counts
        .map(|line| {
            line.rsplit(' ')
                .next()
                .expect("a value")
                .parse::<u64>()
                .expect("a number")
        })
        .sum()
}

/// Returns whether the API server sends a claim of this class to Bindery. Claims of other tests may be counted, too.
async fn is_reviewed(bindery: &Bindery, scene: &Scene, class: &str) -> bool {
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let before = reviews(bindery).await;
    let claim = from(of_class(scene, "probe", class));
    scene.claims().create(&dry, &claim).await.unwrap();
    reviews(bindery).await > before
}

#[tokio::test]
async fn a_claim_applied_together_with_its_class_gets_its_volume_in_the_request() {
    let scene = Scene::new().await;
    for turn in 0..20 {
        let (class, name) = (format!("{}-{turn}", scene.name), format!("data-{turn}"));
        scene.class_at_once(&class, json!({})).await;
        let claim = scene.create(of_class(&scene, &name, &class)).await.unwrap();
        assert!(claim.spec.unwrap().volume_name.is_some(), "turn {turn}");
        scene.until_bound(&name).await;
    }
}

#[tokio::test]
async fn the_first_claim_of_a_new_class_can_be_refused_in_the_request() {
    let scene = Scene::new().await;
    for turn in 0..5 {
        let class = format!("{}-{turn}", scene.name);
        scene
            .class_at_once(&class, json!({"parameters": {"onDelet": "retain"}}))
            .await;
        let refused = scene.refused(of_class(&scene, "data", &class)).await;
        assert!(
            refused.starts_with(&format!("{DENIED}StorageClass {class}: parameter onDelet is not known")),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_claim_of_another_known_class_or_of_none_never_reaches_bindery() {
    let bindery = Bindery::start(&[]).await;
    let other = Scene::of("example.com/other").await;
    // After this change, only claims of this test are counted.
    bindery
        .change_webhook(json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": other.name}}}))
        .await;
    eventually("the API server calls the webhook for this namespace only", async || {
        (!is_class_reviewed(&other.client, &bindery.name).await).then_some(())
    })
    .await;
    eventually("Bindery has listed the class", async || {
        let webhook = bindery.registered_webhook().await;
        condition(&webhook)
            .contains(&json!(other.name).to_string())
            .then_some(())
    })
    .await;
    eventually("the API server has read the list", async || {
        (!is_reviewed(&bindery, &other, &other.name).await).then_some(())
    })
    .await;
    assert!(
        is_reviewed(&bindery, &other, "nobody-knows-it").await,
        "a claim of a class that is not listed is not reviewed"
    );
    let before = reviews(&bindery).await;
    for turn in 0..20 {
        other
            .create(of_class(&other, &format!("theirs-{turn}"), &other.name))
            .await
            .unwrap();
        other
            .create(of_class(&other, &format!("none-{turn}"), ""))
            .await
            .unwrap();
    }
    assert_eq!(reviews(&bindery).await, before);
    bindery.unregister().await;
}

#[tokio::test]
async fn with_failure_policy_fail_claims_of_other_classes_are_admitted_while_bindery_is_down() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let other = Scene::of("example.com/other").await;
    bindery.set_failure_policy_fail().await;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    bindery.kill();
    // Wait until the API server has read the change. It reads the list and the policy together.
    let refused = eventually("a claim of this class is refused", async || {
        let claim = from(scene.claim("data"));
        scene
            .claims()
            .create(&dry, &claim)
            .await
            .err()
            .map(|error| error.to_string())
    })
    .await;
    assert!(refused.contains("failed calling webhook"), "{refused}");
    for turn in 0..5 {
        let class = format!("{}-{turn}", other.name);
        other.class_at_once(&class, json!({})).await;
        other
            .create(of_class(&other, &format!("data-{turn}"), &class))
            .await
            .unwrap();
    }
    bindery.unregister().await;
}

#[tokio::test]
async fn a_class_recreated_for_bindery_is_reviewed() {
    let bindery = Bindery::start(&[]).await;
    let scene = Scene::of("example.com/other").await;
    // Without this wait, the list with this class may reach the API server after the class was created again.
    eventually(
        "the API server has read that the class is another provisioner's",
        async || (!is_reviewed(&bindery, &scene, &scene.name).await).then_some(()),
    )
    .await;
    let classes: Api<k8s_openapi::api::storage::v1::StorageClass> = Api::all(scene.client.clone());
    classes.delete(&scene.name, &DeleteParams::default()).await.unwrap();
    let class = json!({"metadata": {"name": scene.name}, "provisioner": bindery.provisioner});
    classes.create(&PostParams::default(), &from(class)).await.unwrap();
    eventually("the API server calls the webhook for the class", async || {
        is_class_reviewed(&scene.client, &scene.name).await.then_some(())
    })
    .await;
    let claim = scene.create(scene.claim("data")).await.unwrap();
    assert!(claim.spec.unwrap().volume_name.is_some());
    bindery.unregister().await;
}

#[tokio::test]
async fn the_match_condition_of_an_earlier_version_is_replaced() {
    let mut bindery = Bindery::start(&[]).await;
    bindery.kill();
    let webhook = bindery.registered_webhook().await;
    let (client_config, shipped) = (&webhook["clientConfig"], &webhook["matchConditions"][0]);
    bindery.change_webhook(json!({"matchConditions": [shipped]})).await;
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(Scene::new().await.client);
    let old = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": bindery.name},
        "webhooks": [{
            "name": "claims.bindery.dev",
            "clientConfig": client_config,
            "matchConditions": [{"name": "of-our-classes", "expression": "false"}],
        }],
    });
    let as_before = PatchParams::apply("bindery-registration").force();
    let applied = configurations
        .patch(&bindery.name, &as_before, &Patch::Apply(old))
        .await;
    applied.unwrap();
    bindery.run().await;
    let webhook = bindery.registered_webhook().await;
    let conditions = webhook["matchConditions"].as_array().unwrap();
    let names: Vec<&Value> = conditions.iter().map(|condition| &condition["name"]).collect();
    assert_eq!(names, ["names-a-class", "may-be-ours"]);
    bindery.unregister().await;
}

#[tokio::test]
async fn the_api_server_accepts_the_longest_list_of_other_classes() {
    let bindery = Bindery::start(&[]).await;
    let scene = Scene::of("example.com/other").await;
    let webhook = bindery.registered_webhook().await;
    // This is the longest list that Bindery writes, with this class at the end.
    let mut listed: Vec<String> = (0..1_800)
        .map(|number| format!("a-class-of-others-{number:05}"))
        .collect();
    listed.push(scene.name.clone());
    let list = json!(listed).to_string();
    assert!((45_000..50_000).contains(&list.len()), "{}", list.len());
    let expression = condition(&webhook).replacen("[\"\"", list.trim_end_matches(']'), 1);
    let name = format!("{}-long", bindery.name);
    let long = json!({
        "metadata": {"name": name},
        "webhooks": [{
            "name": "long.bindery.dev",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            // No webhook answers. An expression that cannot be evaluated would also refuse the claim.
            "failurePolicy": "Fail",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.name}},
            "matchConditions": [{"name": "may-be-ours", "expression": expression}],
            "rules": [{
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": ["persistentvolumeclaims"],
                "operations": ["CREATE"],
            }],
        }],
    });
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(scene.client.clone());
    configurations
        .create(&PostParams::default(), &from(long))
        .await
        .unwrap();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    eventually("the API server has read the configuration", async || {
        let claim = from(of_class(&scene, "probe", "not-listed"));
        scene.claims().create(&dry, &claim).await.err()
    })
    .await;
    let created = scene.create(scene.claim("data")).await;
    configurations.delete(&name, &DeleteParams::default()).await.unwrap();
    created.unwrap();
    bindery.unregister().await;
}

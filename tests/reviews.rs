//! The recorded admission reviews are what the API server sends.
//!
//! `webhook/reviews/*.json` are recorded from a real API server. The test records them again and compares. After a
//! change of Kubernetes, `RECORD=1 make test ARGS=reviews` writes new files.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::other_webhook::OtherWebhook;
use crate::support::scene::{Scene, from};
use crate::support::wait::eventually;

/// Replaces the values that differ from run to run.
fn settle(review: &mut Value, scene: &str) {
    fn walk(value: &mut Value, scene: &str) {
        match value {
            Value::Object(fields) => {
                // API servers before Kubernetes 1.34 write the field also if it has no value.
                fields.retain(|key, value| key != "creationTimestamp" || !value.is_null());
                for (key, value) in fields.iter_mut() {
                    match key.as_str() {
                        "uid" => *value = json!("00000000-0000-0000-0000-000000000000"),
                        "creationTimestamp" | "time" if value.is_string() => *value = json!("2026-01-01T00:00:00Z"),
                        "extra" => *value = json!({}),
                        "manager" => *value = json!("kubectl"),
                        _ => walk(value, scene),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, scene)),
            Value::String(text) => *text = text.replace(scene, "scene"),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    walk(review, scene);
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("webhook/reviews")
        .join(format!("{name}.json"))
}

#[tokio::test]
async fn the_recorded_reviews_are_what_the_api_server_sends() {
    let scene = Scene::of("example.com/other").await;
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let webhook = OtherWebhook::after_bindery(&scene.name, {
        let seen = seen.clone();
        move |review| {
            seen.lock().unwrap().push(review.clone());
            None
        }
    })
    .await;
    let compare = async |name: &str| {
        let mut review = eventually("the webhook has received the review", async || {
            let mut seen = seen.lock().unwrap();
            let about = |review: &Value| review["request"]["object"]["metadata"]["labels"]["case"] == name;
            let place = seen.iter().position(about)?;
            Some(seen.remove(place))
        })
        .await;
        settle(&mut review, &scene.name);
        let text = serde_json::to_string_pretty(&review).unwrap() + "\n";
        if std::env::var_os("RECORD").is_some() {
            std::fs::create_dir_all(golden(name).parent().unwrap()).unwrap();
            std::fs::write(golden(name), &text).unwrap();
        }
        let recorded = std::fs::read_to_string(golden(name)).expect("RECORD=1 make test ARGS=reviews writes it");
        assert_eq!(text, recorded, "{name}");
    };
    let labelled = |name: &str, case: &str| scene.claim_with(name, json!({"metadata": {"labels": {"case": case}}}));

    scene.create(labelled("created", "create")).await.unwrap();
    compare("create").await;

    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    scene
        .claims()
        .create(&dry, &from(labelled("dry", "dry-run")))
        .await
        .unwrap();
    compare("dry-run").await;

    let mut generated = labelled("", "generate-name");
    generated["metadata"]["name"] = Value::Null;
    generated["metadata"]["generateName"] = json!("scratch-");
    scene.create(generated).await.unwrap();
    compare("generate-name").await;

    let apply = Patch::Apply(labelled("applied", "server-side-apply"));
    let claims: &Api<PersistentVolumeClaim> = &scene.claims();
    claims
        .patch("applied", &PatchParams::apply("kubectl"), &apply)
        .await
        .unwrap();
    compare("server-side-apply").await;

    let template = labelled("data", "stateful-set");
    let set: StatefulSet = from(json!({
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": {"containers": [{"name": "db", "image": "db"}]},
            },
            "volumeClaimTemplates": [{"metadata": template["metadata"], "spec": template["spec"]}],
        },
    }));
    let sets: Api<StatefulSet> = Api::namespaced(scene.client.clone(), &scene.name);
    sets.create(&PostParams::default(), &set).await.unwrap();
    compare("stateful-set").await;
    webhook.unregister().await;
}

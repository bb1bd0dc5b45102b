//! The class parameters `provision: afterCreate` (the request is only validated, and the volume is created after the
//! claim) and `volumeLabels`.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};

use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, from};
use crate::support::wait::eventually;

const FORBIDDEN: &str = "a claim must not name a volume";

/// Creates a `ValidatingAdmissionPolicy`: in the namespace of this scene, no claim may name a volume.
async fn forbid_volume_names(scene: &Scene) {
    let policy = json!({
        "metadata": {"name": scene.name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.name}},
                "resourceRules": [{
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["persistentvolumeclaims"],
                }],
            },
            "validations": [{"expression": "!has(object.spec.volumeName)", "message": FORBIDDEN}],
        },
    });
    scene.deny_by(policy).await;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let probe = scene.claim_with(
        "probe",
        json!({"spec": {"volumeName": "static", "storageClassName": ""}}),
    );
    eventually("the policy is in force", async || {
        scene.claims().create(&dry, &from(probe.clone())).await.err()
    })
    .await;
}

async fn allow_volume_names(scene: &Scene) {
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(scene.client.clone());
    bindings.delete(&scene.name, &DeleteParams::default()).await.unwrap();
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(scene.client.clone());
    policies.delete(&scene.name, &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn if_claims_must_not_name_volumes_after_create_works_and_on_create_leaves_nothing() {
    let bindery = Bindery::start(&["--orphan-grace=4s"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    forbid_volume_names(&scene).await;
    let refused = scene.refused(scene.claim("data")).await;
    assert!(refused.contains(FORBIDDEN), "{refused}");
    eventually("volume and directory are removed again", async || {
        (scene.own_volumes().await.is_empty() && scene.own_directories().is_empty()).then_some(())
    })
    .await;

    let later = format!("{}-later", scene.name);
    scene
        .class(&later, json!({"parameters": {"provision": "afterCreate"}}))
        .await;
    let claim = scene.claim_with("data", json!({"spec": {"storageClassName": later}}));
    let created = scene.create(claim).await.unwrap();
    let annotations = created.metadata.annotations.unwrap_or_default();
    assert!(
        !annotations.contains_key("volume.kubernetes.io/storage-provisioner"),
        "{annotations:?}"
    );
    let (_, volume) = scene.until_bound("data").await;
    assert!(directory(&volume).is_dir());
    allow_volume_names(&scene).await;
    bindery.unregister().await;
}

#[tokio::test]
async fn an_after_create_claim_is_not_bound_to_a_volume_left_by_a_refused_request() {
    let bindery = Bindery::start(&["--orphan-grace=1h"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let later = format!("{}-later", scene.name);
    scene
        .class(&later, json!({"parameters": {"provision": "afterCreate"}}))
        .await;
    forbid_volume_names(&scene).await;
    let refused = scene.refused(scene.claim("data")).await;
    assert!(refused.contains(FORBIDDEN), "{refused}");
    let left = scene.own_volumes().await;
    let [left] = left.as_slice() else { panic!("{left:?}") };
    let spec = left.spec.as_ref().unwrap();
    assert_eq!(spec.claim_ref.as_ref().unwrap().uid, None);
    assert_eq!(spec.storage_class_name.as_deref(), Some(scene.name.as_str()));

    let claim = scene.claim_with("data", json!({"spec": {"storageClassName": later}}));
    scene.create(claim).await.unwrap();
    let (_, volume) = scene.until_bound("data").await;
    assert_eq!(volume.spec.as_ref().unwrap().storage_class_name, Some(later));
    assert!(directory(&volume).is_dir());
    allow_volume_names(&scene).await;
    bindery.unregister().await;
}

#[tokio::test]
async fn after_create_refuses_with_the_same_message_as_on_create_and_creates_nothing() {
    let scene = Scene::new().await;
    let layout = "${pvc.metadata.namespace}/${pvc.metadata.labels['app']}";
    let [now, later] = ["now", "later"].map(|name| format!("{}-{name}", scene.name));
    let parameters = json!({"subDir": layout, "existingDirectory": "deny"});
    scene.class(&now, json!({"parameters": parameters})).await;
    let mut parameters = parameters;
    parameters["provision"] = json!("afterCreate");
    scene.class(&later, json!({"parameters": parameters})).await;
    let claim = |name: &str, class: &str, app: &str| {
        let fields = json!({"metadata": {"labels": {"app": app}}, "spec": {"storageClassName": class}});
        scene.claim_with(name, fields)
    };
    let (_, taken) = scene.bound(claim("first", &now, "db")).await;
    std::fs::create_dir(directory(&taken).with_file_name("there")).unwrap();
    let refused: [fn(&mut Value); 5] = [
        |claim| claim["spec"]["volumeMode"] = json!("Block"),
        |claim| claim["metadata"]["annotations"] = json!({"bindery.dev/on-delet": "retain"}),
        |claim| claim["metadata"]["labels"] = json!({}),
        // One path is the directory of another claim's volume. The other one is an existing directory.
        |_| (),
        |claim| claim["metadata"]["labels"] = json!({"app": "there"}),
    ];
    for change in refused {
        let sentence = async |class: &str| {
            let mut claim = claim("data", class, "db");
            change(&mut claim);
            scene.refused(claim).await.replace(class, "CLASS")
        };
        assert_eq!(sentence(&later).await, sentence(&now).await);
    }
    let nested = json!({"parameters": {"subDir": format!("{layout}/below"), "provision": "afterCreate"}});
    let below = format!("{}-below", scene.name);
    scene.class(&below, nested).await;
    let message = scene.refused(claim("data", &below, "db")).await;
    assert!(message.contains("denied the request"), "{message}");
    let ours = |volumes: Vec<PersistentVolume>| {
        let of = |class: &String| [&later, &below].contains(&class);
        volumes
            .iter()
            .filter(|volume| {
                volume
                    .spec
                    .as_ref()
                    .unwrap()
                    .storage_class_name
                    .as_ref()
                    .is_some_and(of)
            })
            .count()
    };
    let all = scene.volumes().list(&ListParams::default()).await.unwrap();
    assert_eq!(ours(all.items), 0);
}

#[tokio::test]
async fn a_claim_that_the_nfs_server_refuses_is_retried_with_growing_pauses() {
    let parameters = json!({"provision": "afterCreate", "share": "/readonly"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    let volumes = watcher(scene.volumes(), watcher::Config::default()).default_backoff();
    let uids = volumes.touched_objects().filter_map(async |volume| {
        let PersistentVolume { metadata, spec, .. } = volume.ok()?;
        let is_own = spec?.storage_class_name.as_ref() == Some(&scene.name);
        metadata.uid.filter(|_| is_own)
    });
    scene.create(scene.claim("data")).await.unwrap();
    let mut uids = pin!(uids);
    let (mut tried, mut first) = (BTreeSet::new(), None);
    while tried.len() < 5 {
        tried.insert(uids.next().await.expect("the watch does not end"));
        first.get_or_insert_with(Instant::now);
    }
    // The pauses are 0.25, 0.5, 1 and 2 seconds. A slow machine only makes them longer.
    let passed = first.unwrap().elapsed();
    assert!(passed > Duration::from_secs(3), "5 attempts in {passed:?}");
}

#[tokio::test]
async fn after_create_with_wait_for_first_consumer_waits_for_the_pod() {
    let parameters = json!({"provision": "afterCreate"});
    let class = json!({"volumeBindingMode": "WaitForFirstConsumer", "parameters": parameters});
    let scene = Scene::with_class(class).await;
    let at_once = format!("{}-at-once", scene.name);
    scene.class(&at_once, json!({"parameters": parameters})).await;
    scene.create(scene.claim("waits")).await.unwrap();
    scene
        .bound(scene.claim_with("younger", json!({"spec": {"storageClassName": at_once}})))
        .await;
    assert_eq!(
        scene.claims().get("waits").await.unwrap().spec.unwrap().volume_name,
        None
    );
    scene.create_pod("waits").await;
    scene.until_bound("waits").await;
}

#[tokio::test]
async fn a_claim_cannot_change_the_volume_labels_of_its_class() {
    for provision in ["onCreate", "afterCreate"] {
        let parameters = json!({"volumeLabels": "team=storage,example.com/tier=gold", "provision": provision});
        let scene = Scene::with_class(json!({"parameters": parameters})).await;
        let own = json!({"metadata": {"annotations": {"bindery.dev/volume-labels": "team=mine"}}});
        let warnings = scene.create_with_warnings(scene.claim_with("data", own)).await;
        assert_eq!(
            warnings,
            ["bindery.dev/volume-labels on the claim is ignored: only a StorageClass may set volumeLabels; remove it"]
        );
        let (_, volume) = scene.until_bound("data").await;
        let labels = volume.metadata.labels.as_ref().unwrap();
        assert_eq!(
            (labels["team"].as_str(), labels["example.com/tier"].as_str()),
            ("storage", "gold")
        );
        assert!(labels.contains_key("bindery.dev/area") && annotation(&volume, "ready") == Some("true"));
    }
}

#[tokio::test]
async fn an_invalid_volume_label_makes_the_class_invalid() {
    let scene = Scene::with_class(json!({"parameters": {"volumeLabels": "team=a b,bindery.dev/area=x"}})).await;
    let message = scene.event(&scene.name, "ClassHasMistakes").await;
    let refused = scene.refused(scene.claim("data")).await;
    for message in [message, refused] {
        assert!(message.contains("label team: value \"a b\" is not valid"), "{message}");
        assert!(
            message.contains("label bindery.dev/area (value \"x\") cannot be set"),
            "{message}"
        );
    }
    scene.assert_nothing_made().await;
}

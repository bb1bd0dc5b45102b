//! Replicas whose watches are behind: their API server has not seen yet what was written through another one.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::Client;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use crate::support::api_relay::ApiRelay;
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, from, volume_name};
use crate::support::wait::eventually;

/// Two replicas. The second one leads nothing, answers the reviews of the user `late`, and its watches can be held back.
struct Replicas {
    first: Bindery,
    _second: Bindery,
    relay: ApiRelay,
    late: Client,
}

impl Replicas {
    async fn start(flags: &[&str]) -> Self {
        let relay = ApiRelay::start().await;
        let first = Bindery::start(flags).await;
        first.until_led().await;
        let second = first.replica_with(relay.kubeconfig.path()).await;
        first.split_reviews_with(&second, "late").await;
        Self {
            first,
            _second: second,
            relay,
            late: Bed::get().admin_as("late").await,
        }
    }

    /// Creates a claim whose review the replica with the held watches answers.
    async fn create_late(&self, scene: &Scene, claim: Value) -> Result<PersistentVolumeClaim, String> {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.late.clone(), &scene.name);
        let created = claims.create(&PostParams::default(), &from(claim)).await;
        created.map_err(|error| match error {
            kube::Error::Api(status) => status.message.clone(),
            other => panic!("{other}"),
        })
    }
}

fn named(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.volume_name.as_deref()
}

#[tokio::test]
async fn a_late_replica_finds_an_overlap_across_nested_exports() {
    let replicas = Replicas::start(&[]).await;
    let layout = json!({"parameters": {"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"}});
    let scene = Scene::of_with(&replicas.first.provisioner, layout).await;
    let inside = format!("{}-inside", scene.name);
    let share = format!("/export/{}/outer", scene.name);
    scene
        .class(&inside, json!({"parameters": {"share": share, "subDir": "x/y"}}))
        .await;
    replicas.relay.hold("persistentvolumes");
    let (_, outer) = scene.bound(scene.claim("outer")).await;
    let claim = scene.claim_with("inner", json!({"spec": {"storageClassName": inside}}));
    let refused = replicas.create_late(&scene, claim).await.unwrap_err();
    let (_, message) = refused.split_once("denied the request: ").expect("by a webhook");
    assert_eq!(
        message,
        format!(
            "directory x/y of share {0}:{share} overlaps with directory {1}/outer of volume {2}, which claim \
             {1}/outer uses; choose another directory for this claim",
            Bed::get().server,
            scene.name,
            volume_name(&outer),
        )
    );
    replicas.first.unregister().await;
}

#[tokio::test]
async fn a_late_replica_uses_the_annotations_that_the_namespace_has_now() {
    let replicas = Replicas::start(&[]).await;
    let delete = json!({"parameters": {"onDelete": "delete"}});
    let scene = Scene::of_with(&replicas.first.provisioner, delete).await;
    replicas.relay.hold("namespaces");
    scene
        .annotate_namespace(json!({"bindery.dev/on-delete": "retain"}))
        .await;
    let claim = replicas.create_late(&scene, scene.claim("data")).await.unwrap();
    assert!(named(&claim).is_some());
    let (_, volume) = scene.until_bound("data").await;
    assert_eq!(annotation(&volume, "on-delete"), Some("retain"));
    replicas.first.unregister().await;
}

#[tokio::test]
async fn a_late_replica_uses_the_parameters_that_the_class_has_now() {
    let replicas = Replicas::start(&[]).await;
    let scene = Scene::of_with(
        &replicas.first.provisioner,
        json!({"parameters": {"onDelete": "delete"}}),
    )
    .await;
    replicas.relay.hold("storageclasses");
    let classes: Api<StorageClass> = Api::all(scene.client.clone());
    classes.delete(&scene.name, &DeleteParams::default()).await.unwrap();
    scene
        .class_at_once(&scene.name, json!({"parameters": {"onDelete": "retain"}}))
        .await;
    let claim = replicas.create_late(&scene, scene.claim("data")).await.unwrap();
    assert!(named(&claim).is_some());
    let (_, volume) = scene.until_bound("data").await;
    assert_eq!(annotation(&volume, "on-delete"), Some("retain"));
    replicas.first.unregister().await;
}

#[tokio::test]
async fn a_late_replica_does_not_refuse_a_claim_for_an_annotation_that_was_corrected() {
    let replicas = Replicas::start(&[]).await;
    let scene = Scene::of(&replicas.first.provisioner).await;
    let wrong = json!({"bindery.dev/on-delete": "wrong"});
    scene.annotate_namespace(wrong).await;
    let refused = replicas.create_late(&scene, scene.claim("data")).await.unwrap_err();
    assert!(refused.contains("wrong"), "{refused}");
    replicas.relay.hold("namespaces");
    scene.annotate_namespace(json!({"bindery.dev/on-delete": null})).await;
    let claim = replicas.create_late(&scene, scene.claim("data")).await.unwrap();
    assert!(named(&claim).is_some());
    replicas.first.unregister().await;
}

#[tokio::test]
async fn a_late_replica_leaves_a_claim_to_the_new_volume_that_it_names() {
    let replicas = Replicas::start(&[]).await;
    let scene = Scene::of(&replicas.first.provisioner).await;
    replicas.relay.hold("persistentvolumes");
    let reserved = format!("{}-restored", scene.name);
    scene
        .volumes_create(json!({
            "metadata": {"name": reserved},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "capacity": {"storage": "1Gi"},
                "storageClassName": scene.name,
                "claimRef": {"namespace": scene.name, "name": "data"},
                "nfs": {"server": Bed::get().server, "path": format!("/export/{reserved}")},
            },
        }))
        .await;
    let claim = scene.claim_with("data", json!({"spec": {"volumeName": reserved}}));
    replicas.create_late(&scene, claim).await.unwrap();
    eventually("the claim is bound", async || {
        let claim = scene.claims().get("data").await.unwrap();
        (claim.status?.phase? == "Bound").then_some(())
    })
    .await;
    assert_eq!(scene.own_volumes().await.len(), 1, "only the reserved volume");
    replicas.first.unregister().await;
}

#[tokio::test]
async fn a_late_replica_does_not_leave_the_volume_of_an_earlier_request_to_a_claim_of_another_class() {
    let replicas = Replicas::start(&["--orphan-grace=5s"]).await;
    let scene = Scene::of_with(
        &replicas.first.provisioner,
        json!({"parameters": {"onDelete": "delete"}}),
    )
    .await;
    let other = format!("{}-kept", scene.name);
    let later = json!({"parameters": {"onDelete": "retain", "provision": "afterCreate"}});
    scene.class(&other, later).await;
    replicas.relay.hold("persistentvolumes");
    // Kubernetes refuses the claim after the webhook has created its volume.
    scene.set_quota("requests.storage", "512Mi").await;
    scene.create(scene.claim("data")).await.unwrap_err();
    let earlier = scene.own_volumes().await;
    assert_eq!(earlier.len(), 1, "the volume of the refused request");
    let claim = scene.claim_with(
        "data",
        json!({"spec": {"storageClassName": other, "resources": {"requests": {"storage": "256Mi"}}}}),
    );
    replicas.create_late(&scene, claim).await.unwrap();
    let (_, volume) = scene.until_bound("data").await;
    assert_eq!(annotation(&volume, "on-delete"), Some("retain"));
    assert!(directory(&volume).is_dir());
    eventually("the claim has the only volume", async || {
        let all = scene.volumes().list(&ListParams::default()).await.ok()?.items;
        let ours = all.iter().filter(|volume| {
            let class = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
            class == Some(&*scene.name) || class == Some(&*other)
        });
        (ours.count() == 1).then_some(())
    })
    .await;
    replicas.first.unregister().await;
}

//! What happens to a claim inside the request that creates it.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::scene::{Scene, directory, from, volume_name};
use crate::support::wait::eventually;

const DENIED: &str = "admission webhook \"claims.bindery.dev\" denied the request: ";

#[tokio::test]
async fn a_claim_rejected_by_the_api_server_leaves_no_volume_and_no_directory() {
    let scene = Scene::new().await;
    let refused = scene.refused(scene.claim("../../x")).await;
    assert!(
        refused.contains("metadata.name: Invalid value: \"../../x\""),
        "{refused}"
    );
    let refused = scene
        .refused(scene.claim_with("data", json!({"spec": {"accessModes": null}})))
        .await;
    assert!(refused.contains("spec.accessModes: Required value"), "{refused}");
    let size = json!({"spec": {"resources": {"requests": {"storage": "0"}}}});
    let refused = scene.refused(scene.claim_with("data", size)).await;
    assert!(refused.contains("must be greater than zero"), "{refused}");
    scene.assert_nothing_made().await;
}

#[tokio::test]
async fn creating_an_existing_claim_again_leaves_no_second_volume() {
    let scene = Scene::new().await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let refused = scene.refused(scene.claim("data")).await;
    assert_eq!(refused, "persistentvolumeclaims \"data\" already exists");
    assert_eq!(scene.own_volumes().await, vec![volume]);
    assert_eq!(scene.own_directories().len(), 1);
}

#[tokio::test]
async fn a_dry_run_is_validated_and_creates_nothing() {
    let scene = Scene::new().await;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let create = async |claim: Value| scene.claims().create(&dry, &from(claim)).await;
    assert_eq!(
        create(scene.claim("data")).await.unwrap().spec.unwrap().volume_name,
        None
    );
    let block = scene.claim_with("data", json!({"spec": {"volumeMode": "Block"}}));
    assert!(
        create(block)
            .await
            .unwrap_err()
            .to_string()
            .contains("cannot provide volumeMode Block")
    );
    scene.assert_nothing_made().await;
}

#[tokio::test]
async fn a_generated_claim_name_appears_in_the_directory_name() {
    let scene = Scene::new().await;
    let generate = json!({"metadata": {"name": null, "generateName": "scratch-"}});
    let claim = scene.create(scene.claim_with("", generate)).await.unwrap();
    let name = claim.metadata.name.unwrap();
    assert!(
        name.starts_with("scratch-") && name.len() == "scratch-".len() + 5,
        "{name}"
    );
    let (_, volume) = scene.until_bound(&name).await;
    let directory = format!("{}-{name}-{}", scene.name, volume.metadata.name.unwrap());
    assert_eq!(scene.own_directories(), [directory]);
}

#[tokio::test]
async fn server_side_apply_twice_creates_one_volume() {
    let scene = Scene::new().await;
    let apply = async || {
        let as_user = PatchParams::apply("a-user");
        let claim: PersistentVolumeClaim = from(scene.claim("data"));
        let mut claim = json!(claim);
        claim["apiVersion"] = json!("v1");
        claim["kind"] = json!("PersistentVolumeClaim");
        scene
            .claims()
            .patch("data", &as_user, &Patch::Apply(claim))
            .await
            .unwrap()
    };
    let first = apply().await;
    scene.until_bound("data").await;
    let second = apply().await;
    assert_eq!(first.spec.unwrap().volume_name, second.spec.unwrap().volume_name);
    assert_eq!(scene.own_volumes().await.len(), 1);
    assert_eq!(scene.own_directories().len(), 1);
}

#[tokio::test]
async fn features_that_nfs_lacks_are_refused_with_a_reason() {
    let scene = Scene::new().await;
    let refused = async |fields: Value| scene.refused(scene.claim_with("data", json!({"spec": fields}))).await;
    let message = |what: &str| {
        format!(
            "{DENIED}StorageClass {} cannot provide {what}; change the claim or choose another class",
            scene.name
        )
    };
    assert_eq!(
        refused(json!({"volumeMode": "Block"})).await,
        message("volumeMode Block")
    );
    let attributes = json!({"volumeAttributesClassName": "gold"});
    assert_eq!(refused(attributes).await, message("a volume attributes class"));
    scene.assert_nothing_made().await;
}

#[tokio::test]
async fn an_invalid_class_refuses_the_claim_and_lists_all_mistakes() {
    let parameters = json!({"archiveOnDelet": "true", "onDelete": "shred"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    assert_eq!(
        scene.refused(scene.claim("data")).await,
        format!(
            "{DENIED}StorageClass {}: parameter archiveOnDelet is not known: \
             did you mean archiveOnDelete?; \
             onDelete is \"shred\": allowed are delete, retain or archive; an administrator must delete the class and \
             create it again, because class parameters cannot be edited",
            scene.name
        )
    );
    scene.assert_nothing_made().await;
}

#[tokio::test]
async fn an_invalid_annotation_refuses_the_claim_and_creates_nothing() {
    let scene = Scene::with_namespace(json!({"bindery.dev/on-delete": "shred"})).await;
    let annotated = json!({"metadata": {"annotations": {"bindery.dev/on-delet": "retain"}}});
    assert_eq!(
        scene.refused(scene.claim_with("data", annotated)).await,
        format!(
            "{DENIED}namespace {}: bindery.dev/on-delete is \"shred\": allowed are delete, retain or archive; an \
             administrator must correct it; the claim: annotation bindery.dev/on-delet is not known: did you mean \
             bindery.dev/on-delete?; correct it",
            scene.name
        )
    );
    scene.assert_nothing_made().await;
}

#[tokio::test]
async fn a_refusal_by_the_nfs_server_reaches_the_user_and_leaves_no_volume() {
    let share = |share: &str| json!({"parameters": {"share": share}});
    let scene = Scene::with_class(share("/readonly")).await;
    let refused = scene.refused(scene.claim("data")).await;
    assert!(
        refused.starts_with(DENIED) && refused.contains("read-only"),
        "{refused}"
    );
    eventually("the volume is deleted again", async || {
        scene.own_volumes().await.is_empty().then_some(())
    })
    .await;

    let scene = Scene::with_class(share("/nowhere")).await;
    let refused = scene.refused(scene.claim("data")).await;
    assert!(refused.starts_with(DENIED) && refused.contains("/nowhere"), "{refused}");
    scene.assert_nothing_made().await;
}

#[tokio::test]
async fn a_new_class_is_served_at_once() {
    let scene = Scene::new().await;
    for turn in 0..10 {
        let class = format!("{}-{turn}", scene.name);
        scene.class(&class, json!({})).await;
        let claim = scene.claim_with(&format!("data-{turn}"), json!({"spec": {"storageClassName": class}}));
        assert!(
            scene.create(claim).await.unwrap().spec.unwrap().volume_name.is_some(),
            "turn {turn}"
        );
    }
}

#[tokio::test]
async fn a_stateful_set_gets_a_volume_for_each_replica_and_its_pods_run() {
    let scene = Scene::new().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(scene.client.clone(), &scene.name);
    eventually("the namespace has its ServiceAccount", async || {
        accounts.get_opt("default").await.unwrap()
    })
    .await;
    let claim = scene.claim("data");
    let set: StatefulSet = from(json!({
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "replicas": 3,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": {
                    "containers": [{"name": "db", "image": "db", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
                    "tolerations": [{"operator": "Exists"}],
                },
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim["spec"]}],
        },
    }));
    let sets: Api<StatefulSet> = Api::namespaced(scene.client.clone(), &scene.name);
    sets.create(&PostParams::default(), &set).await.unwrap();
    eventually("all replicas are ready", async || {
        (sets.get("db").await.unwrap().status?.ready_replicas? == 3).then_some(())
    })
    .await;
    for replica in 0..3 {
        scene.until_bound(&format!("data-db-{replica}")).await;
    }
    assert_eq!(scene.own_volumes().await.len(), 3);
}

#[tokio::test]
async fn a_retained_volume_reused_for_a_new_claim_keeps_its_data() {
    let scene = Scene::with_class(json!({"parameters": {"onDelete": "delete"}, "reclaimPolicy": "Retain"})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let name = volume_name(&volume);
    std::fs::write(directory(&volume).join("precious"), "").unwrap();
    scene.delete("data").await;
    scene.until_released(&volume).await;
    // The patch lets another claim use the volume, and sets Delete. The data must not be deleted because of it.
    let freed = json!({"spec": {
        "claimRef": {"uid": null, "resourceVersion": null},
        "persistentVolumeReclaimPolicy": "Delete",
    }});
    scene.patch_volume(name, freed).await;
    // If Bindery had just created this volume, it would refuse the claim for its size.
    let larger = json!({"spec": {"volumeName": name, "resources": {"requests": {"storage": "2Gi"}}}});
    scene.create(scene.claim_with("data", larger)).await.unwrap();
    eventually("the claim is bound", async || {
        (scene.claims().get("data").await.unwrap().status?.phase? == "Bound").then_some(())
    })
    .await;
    assert!(directory(&volume).join("precious").exists());
    assert!(!scene.is_being_deleted(&volume).await);
}

#[tokio::test]
async fn a_claim_is_refused_while_a_claim_of_the_same_name_is_being_deleted() {
    let scene = Scene::new().await;
    let held = json!({"metadata": {"finalizers": ["example.com/held"]}});
    let (_, volume) = scene.bound(scene.claim_with("data", held)).await;
    scene.delete("data").await;
    let refused = scene.refused(scene.claim("data")).await;
    assert_eq!(
        refused,
        format!("{DENIED}a claim of this name is still being deleted; try again in a few seconds")
    );
    assert_eq!(scene.own_volumes().await.len(), 1);

    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    scene
        .claims()
        .patch("data", &PatchParams::default(), &free)
        .await
        .unwrap();
    scene.until_gone(&volume).await;
    scene.bound(scene.claim("data")).await;
}

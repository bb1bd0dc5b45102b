//! Claims for which a volume exists, claims with a selector, and claims with a data source that nobody provides: Kubernetes
//! comes before Bindery.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::layouts::DENIED;
use crate::support::bed::Bed;
use crate::support::scene::{Scene, annotation, directory, from, volume_name};
use crate::support::wait::eventually;

/// Creates a volume of 2Gi by hand.
async fn create_volume(scene: &Scene, fields: Value) -> String {
    let name = format!("static-{}", scene.name);
    let mut volume = json!({
        "metadata": {"name": name, "labels": {"tier": "gold"}},
        "spec": {
            "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
            "capacity": {"storage": "2Gi"},
            "nfs": {"server": Bed::get().server, "path": format!("/elsewhere/{name}")},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": scene.name,
        },
    });
    json_patch::merge(&mut volume, &fields);
    scene.volumes_create(volume).await;
    eventually("the volume is available", async || {
        let volume = scene.volumes().get(&name).await.unwrap();
        (volume.status?.phase? != "Pending").then_some(())
    })
    .await;
    name
}

/// Waits until the webhook leaves a claim named `data` to Kubernetes. Until then it refuses the data source of the claim.
async fn until_known(scene: &Scene) {
    let source = json!({"spec": {"dataSource": {"kind": "PersistentVolumeClaim", "name": "other"}}});
    let claim: PersistentVolumeClaim = from(scene.claim_with("data", source));
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    eventually("the webhook knows the volume", async || {
        scene.claims().create(&dry_run, &claim).await.ok()
    })
    .await;
}

/// Waits until the claim is bound, and returns the name of its volume.
async fn volume_of(scene: &Scene, claim: &str) -> String {
    eventually("the claim is bound", async || {
        let claim = scene.claims().get(claim).await.unwrap();
        let bound = claim.status?.phase.as_deref() == Some("Bound");
        claim.spec?.volume_name.filter(|_| bound)
    })
    .await
}

/// Asserts that this volume is the only one of the class, and that there is no directory.
async fn assert_is_alone(scene: &Scene, volume: &str) {
    let volumes = scene.own_volumes().await;
    assert_eq!(volumes.iter().map(volume_name).collect::<Vec<_>>(), [volume]);
    assert_eq!(scene.own_directories(), Vec::<String>::new());
}

fn reserved(scene: &Scene) -> Value {
    json!({"spec": {"claimRef": {"namespace": scene.name, "name": "data"}, "storageClassName": ""}})
}

#[tokio::test]
async fn a_claim_gets_the_volume_that_is_reserved_for_it() {
    let scene = Scene::new().await;
    let volume = create_volume(&scene, reserved(&scene)).await;
    until_known(&scene).await;
    assert_eq!(
        scene.create_with_warnings(scene.claim("data")).await,
        Vec::<String>::new()
    );
    assert_eq!(volume_of(&scene, "data").await, volume);
    scene.assert_nothing_made().await;
}

#[tokio::test]
async fn a_reserved_volume_that_is_too_small_is_named_in_a_warning() {
    let scene = Scene::new().await;
    let volume = create_volume(&scene, reserved(&scene)).await;
    until_known(&scene).await;
    let large = json!({"spec": {"resources": {"requests": {"storage": "3Gi"}}}});
    let expected = format!(
        "PersistentVolume {volume} is reserved for this claim, but Kubernetes does not bind it: the claim asks for 3Gi, the \
         volume has 2Gi"
    );
    let warnings = scene.create_with_warnings(scene.claim_with("data", large)).await;
    assert_eq!(warnings, [expected]);
    assert_ne!(volume_of(&scene, "data").await, volume);
    assert_eq!(scene.own_volumes().await.len(), 1);
}

#[tokio::test]
async fn a_retained_volume_that_was_freed_is_given_to_the_next_claim_of_the_name() {
    let scene = Scene::with_class(json!({"reclaimPolicy": "Retain"})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    std::fs::write(directory(&volume).join("precious"), "").unwrap();
    scene.delete("data").await;
    scene.until_released(&volume).await;
    let freed = json!({"spec": {"claimRef": {"uid": null, "resourceVersion": null}}});
    scene.patch_volume(volume_name(&volume), freed).await;
    until_known(&scene).await;
    let (_, again) = scene.bound(scene.claim("data")).await;
    assert_eq!(volume_name(&again), volume_name(&volume));
    assert!(directory(&again).join("precious").exists());
    assert_eq!(scene.own_volumes().await.len(), 1);
}

#[tokio::test]
async fn one_of_two_claims_gets_an_available_volume_and_the_other_one_a_new_volume() {
    let scene = Scene::new().await;
    let volume = create_volume(&scene, json!({})).await;
    until_known(&scene).await;
    // When the second claim is created, Kubernetes has not bound the first one yet.
    let (first, second) = tokio::join!(scene.create(scene.claim("data")), scene.create(scene.claim("logs")));
    assert!(first.is_ok() && second.is_ok());
    let mut volumes = vec![volume_of(&scene, "data").await, volume_of(&scene, "logs").await];
    volumes.retain(|name| *name != volume);
    assert_eq!(volumes.len(), 1);
    let new = scene.volumes().get(&volumes[0]).await.unwrap();
    assert!(annotation(&new, "instance").is_some());
}

#[tokio::test]
async fn a_claim_that_waits_for_its_pod_gets_an_available_volume() {
    let scene = Scene::with_class(json!({"volumeBindingMode": "WaitForFirstConsumer"})).await;
    let volume = create_volume(&scene, json!({})).await;
    until_known(&scene).await;
    scene.create(scene.claim("data")).await.unwrap();
    scene.create_pod("data").await;
    assert_eq!(volume_of(&scene, "data").await, volume);
    assert_is_alone(&scene, &volume).await;
}

#[tokio::test]
async fn a_claim_with_a_selector_waits_for_a_volume_with_matching_labels() {
    let scene = Scene::new().await;
    let selector = json!({"spec": {"selector": {"matchLabels": {"tier": "gold"}}}});
    let warnings = scene.create_with_warnings(scene.claim_with("data", selector)).await;
    let expected = format!(
        "the claim has a selector, so it waits for an existing PersistentVolume of StorageClass {} with matching labels; \
         for a new volume, create the claim without spec.selector",
        scene.name
    );
    assert_eq!(warnings, [expected]);
    let volume = create_volume(&scene, json!({})).await;
    assert_eq!(volume_of(&scene, "data").await, volume);
    assert_is_alone(&scene, &volume).await;
}

#[tokio::test]
async fn a_data_source_that_nobody_provides_is_refused_with_what_to_do() {
    let scene = Scene::new().await;
    let refused = async |fields: Value| scene.refused(scene.claim_with("data", json!({"spec": fields}))).await;
    let image = json!({"apiGroup": "example.com", "kind": "Image", "name": "linux"});
    let mut elsewhere = image.clone();
    elsewhere["namespace"] = json!("default");
    let table = [
        (
            json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "other"}}),
            "Bindery cannot clone claim other: create the claim without a data source, and copy the files with a pod that \
             mounts both claims",
        ),
        (
            json!({"dataSourceRef": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "monday"}}),
            "Bindery cannot restore VolumeSnapshot monday: create the claim without a data source, and restore the files \
             with the backup tool that made the copy",
        ),
        (
            json!({"dataSource": image}),
            "Kubernetes ignores a dataSource of kind Image.example.com, so the volume would be empty: name the object in \
             spec.dataSourceRef",
        ),
        (
            json!({"dataSourceRef": elsewhere}),
            "dataSourceRef names an object of kind Image.example.com in another namespace, which Kubernetes ignores without \
             its feature gate CrossNamespaceVolumeDataSource, so the volume would be empty: create the claim in the \
             namespace of that object, without dataSourceRef.namespace",
        ),
    ];
    for (fields, expected) in table {
        assert_eq!(refused(fields).await, format!("{DENIED}{expected}"));
    }
    scene.assert_nothing_made().await;
}

#[tokio::test]
async fn a_volume_can_be_for_one_pod_only() {
    let scene = Scene::new().await;
    let one_pod = json!({"spec": {"accessModes": ["ReadWriteOncePod"]}});
    let (_, volume) = scene.bound(scene.claim_with("data", one_pod)).await;
    assert_eq!(volume.spec.unwrap().access_modes.unwrap(), ["ReadWriteOncePod"]);
}

#[tokio::test]
async fn the_volume_has_the_topologies_and_the_group_of_its_class() {
    let labels = json!([{"key": "topology.kubernetes.io/zone", "values": ["a", "b"]}]);
    let scene = Scene::with_class(json!({
        "allowedTopologies": [{"matchLabelExpressions": labels}],
        "parameters": {"gid": "40000"},
    }))
    .await;
    let (_, volume): (_, PersistentVolume) = scene.bound(scene.claim("data")).await;
    assert_eq!(
        volume.metadata.annotations.as_ref().unwrap()["pv.beta.kubernetes.io/gid"],
        "40000"
    );
    let zones = json!([{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a", "b"]}]);
    assert_eq!(
        json!(volume.spec.unwrap().node_affinity),
        json!({"required": {"nodeSelectorTerms": [{"matchExpressions": zones}]}})
    );
}

//! Claims that exist without a volume: they get one later, or an Event that says why not. Also volumes without a claim.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use serde_json::{Value, json};

use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::scene::{Scene, annotation, directory, volume_name};
use crate::support::wait::eventually;

fn volume_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref().expect("a spec").volume_name.as_deref()
}

#[tokio::test]
async fn a_claim_created_while_bindery_is_down_gets_its_volume_after_the_restart() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    bindery.kill();
    let claim = scene.create(scene.claim("data")).await.unwrap();
    assert_eq!(volume_of(&claim), None);
    bindery.run().await;
    let (claim, volume) = scene.until_bound("data").await;
    assert_eq!(volume_name(&volume), format!("pvc-{}", claim.metadata.uid.unwrap()));
    assert!(directory(&volume).is_dir() && annotation(&volume, "directory-id").is_some());
    bindery.unregister().await;
}

#[tokio::test]
async fn a_refusal_after_creation_is_an_event_with_the_same_message() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    bindery.kill();
    let block = scene.claim_with("disk", json!({"spec": {"volumeMode": "Block"}}));
    scene.create(block.clone()).await.unwrap();
    bindery.run().await;
    let message = scene.event("disk", "ProvisioningRefused").await;
    let mut again = block;
    again["metadata"]["name"] = json!("again");
    let refused = eventually("the API server calls the webhook again", async || {
        scene.create(again.clone()).await.err().map(|error| error.to_string())
    });
    assert!(refused.await.contains(&message), "{message}");
    assert_eq!(scene.own_volumes().await, []);
    bindery.unregister().await;
}

#[tokio::test]
async fn a_waiting_claim_is_provisioned_when_its_namespace_is_enabled() {
    let scene = Scene::with_namespace(json!({"bindery.dev/enabled": "false"})).await;
    assert_eq!(volume_of(&scene.create(scene.claim("data")).await.unwrap()), None);
    scene
        .annotate_namespace(json!({"bindery.dev/enabled": null, "bindery.dev/on-delete": "retain"}))
        .await;
    let (_, volume) = scene.until_bound("data").await;
    assert_eq!(annotation(&volume, "on-delete"), Some("retain"));
}

#[tokio::test]
async fn a_waiting_claim_is_provisioned_when_its_class_is_created() {
    let scene = Scene::new().await;
    let class = format!("{}-late", scene.name);
    let claim = scene.claim_with("data", json!({"spec": {"storageClassName": class}}));
    scene.create(claim).await.unwrap();
    scene.class(&class, json!({})).await;
    scene.until_bound("data").await;
}

#[tokio::test]
async fn a_claim_waits_for_its_nfs_server_and_is_bound_when_it_answers() {
    let mut server = Ganesha::start();
    let bindery = Bindery::start(&[&format!("--nfs-server={}", server.address())]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    server.kill();
    let warnings = scene.create_with_warnings(scene.claim("data")).await;
    let expected = "the volume is not provisioned yet; Bindery retries until it is: ";
    assert!(warnings.len() == 1 && warnings[0].starts_with(expected), "{warnings:?}");
    assert!(warnings[0].contains(&server.address().to_string()), "{warnings:?}");
    let message = scene.event("data", "ProvisioningFailed").await;
    assert!(message.contains(&server.address().to_string()), "{message}");
    assert_eq!(
        scene.own_volumes().await,
        [],
        "a volume exists whose directory was not created"
    );
    server.restart();
    let (_, volume) = scene.until_bound("data").await;
    assert!(
        server
            .export_dir()
            .join(annotation(&volume, "sub-dir").unwrap())
            .is_dir()
    );
    bindery.unregister().await;
}

#[tokio::test]
async fn a_claim_gets_one_volume_and_one_directory_after_its_nfs_server_hung() {
    let server = Ganesha::start();
    let flags = [
        &*format!("--nfs-server={}", server.address()),
        "--deadline=1s",
        "--orphan-grace=4s",
    ];
    let bindery = Bindery::start(&flags).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, first) = scene.bound(scene.claim("first")).await;
    server.freeze();
    let creates = (0..6).map(|turn| scene.create_with_warnings(scene.claim(&format!("data-{turn}"))));
    for warnings in futures::future::join_all(creates).await {
        assert!(
            warnings[0].starts_with("the volume is not provisioned yet"),
            "{warnings:?}"
        );
    }
    server.thaw();
    let mut directories = vec![annotation(&first, "sub-dir").unwrap().to_owned()];
    for turn in 0..6 {
        let (_, volume) = scene.until_bound(&format!("data-{turn}")).await;
        directories.push(annotation(&volume, "sub-dir").unwrap().to_owned());
    }
    directories.sort();
    eventually("seven volumes and their directories are left", async || {
        let mut there: Vec<String> = std::fs::read_dir(server.export_dir())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with(".bindery-"))
            .collect();
        there.sort();
        (scene.own_volumes().await.len() == 7 && there == directories).then_some(())
    })
    .await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_claim_waits_until_the_previous_volume_of_its_directory_is_cleaned_up() {
    let parameters = json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}", "onDelete": "delete"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    for turn in 0..5 {
        let (_, volume) = scene.bound(scene.claim("data")).await;
        assert_eq!(std::fs::read_dir(directory(&volume)).unwrap().count(), 0, "turn {turn}");
        std::fs::write(directory(&volume).join("old"), "").unwrap();
        scene.delete("data").await;
        eventually("the claim is gone", async || {
            scene.claims().get_opt("data").await.unwrap().is_none().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_wait_for_first_consumer_claim_is_provisioned_when_its_pod_has_a_node() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of_with(
        &bindery.provisioner,
        json!({"volumeBindingMode": "WaitForFirstConsumer"}),
    )
    .await;
    scene.class(&format!("{}-now", scene.name), json!({})).await;
    bindery.kill();
    scene.create(scene.claim("waits")).await.unwrap();
    let now = json!({"spec": {"storageClassName": format!("{}-now", scene.name)}});
    scene.create(scene.claim_with("now", now)).await.unwrap();
    bindery.run().await;
    scene.until_bound("now").await;
    assert_eq!(volume_of(&scene.claims().get("waits").await.unwrap()), None);
    scene.create_pod("waits").await;
    scene.until_bound("waits").await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_claim_that_names_a_missing_volume_gets_an_event_and_no_volume() {
    let scene = Scene::new().await;
    let named = scene.claim_with(
        "data",
        json!({"spec": {"volumeName": "pvc-00000000-0000-0000-0000-00000000beef"}}),
    );
    scene.create(named).await.unwrap();
    let message = scene.event("data", "VolumeMissing").await;
    assert_eq!(
        message,
        "volume pvc-00000000-0000-0000-0000-00000000beef, which this claim names, does not exist; delete the claim and \
         create it again without spec.volumeName"
    );
    scene.assert_nothing_made().await;
}

#[tokio::test]
async fn a_lost_volume_with_a_directory_template_is_recreated_for_its_claim() {
    let parameters = json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"});
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
    let (_, volume) = scene.bound(scene.claim("first")).await;
    scene.delete("first").await;
    scene.until_gone(&volume).await;
    bindery.kill();
    // This simulates that the volume was deleted after the answer of the webhook and before the claim existed.
    let named = json!({"spec": {"volumeName": volume_name(&volume)}});
    scene.create(scene.claim_with("first", named)).await.unwrap();
    bindery.run().await;
    let (_, again) = scene.until_bound("first").await;
    assert_eq!(volume_name(&again), volume_name(&volume));
    bindery.unregister().await;
}

#[tokio::test]
async fn a_claim_over_quota_leaves_no_volume_and_no_directory() {
    let bindery = Bindery::start(&["--orphan-grace=4s"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let claims = format!("{}.storageclass.storage.k8s.io/persistentvolumeclaims", scene.name);
    scene.set_quota(&claims, "1").await;
    let (_, first) = scene.bound(scene.claim("first")).await;
    let refused = scene.refused(scene.claim("second")).await;
    assert!(refused.contains("exceeded quota"), "{refused}");
    eventually("only the first claim's volume and directory are left", async || {
        let volumes = scene.own_volumes().await;
        (volumes.len() == 1 && scene.own_directories().len() == 1).then_some(())
    })
    .await;
    assert!(directory(&first).is_dir());
    bindery.unregister().await;
}

#[tokio::test]
async fn the_policy_of_its_own_class_applies_to_a_claim_bound_to_a_volume_of_another_class() {
    let (bindery, scene, volume) = bound_to_volume_of_another_claim("archive").await;
    std::fs::write(directory(&volume).join("precious"), "").unwrap();
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    let left = scene.own_directories();
    assert!(left.len() == 1 && left[0].starts_with("archived-"), "{left:?}");
    bindery.unregister().await;
}

#[tokio::test]
async fn an_empty_directory_created_for_another_claim_is_removed_under_every_policy() {
    for policy in ["retain", "archive"] {
        let (bindery, scene, volume) = bound_to_volume_of_another_claim(policy).await;
        scene.delete("data").await;
        scene.until_gone(&volume).await;
        assert_eq!(scene.own_directories(), Vec::<String>::new(), "{policy}");
        bindery.unregister().await;
    }
}

/// Returns a volume that was created for a refused claim of a class with `onDelete: delete`. Kubernetes has bound it to
/// a claim of the same name in a class with `policy`.
async fn bound_to_volume_of_another_claim(policy: &str) -> (Bindery, Scene, PersistentVolume) {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": {"onDelete": "delete"}})).await;
    let other = format!("{}-{policy}", scene.name);
    scene.class(&other, json!({"parameters": {"onDelete": policy}})).await;
    let claims = format!("{}.storageclass.storage.k8s.io/persistentvolumeclaims", scene.name);
    scene.set_quota(&claims, "0").await;
    scene.refused(scene.claim("data")).await;
    bindery.kill();
    // A claim of the same name is created while no webhook answers.
    let claim = scene.claim_with("data", json!({"spec": {"storageClassName": other}}));
    scene.create(claim).await.unwrap();
    eventually("the controller manager has bound claim and volume", async || {
        volume_of(&scene.claims().get("data").await.unwrap()).map(drop)
    })
    .await;
    bindery.run().await;
    let (_, volume) = scene.until_bound("data").await;
    assert_eq!(annotation(&volume, "on-delete"), Some(policy));
    assert_eq!(annotation(&volume, "made-for"), Some(&*scene.name));
    assert_eq!(volume.spec.as_ref().unwrap().storage_class_name.as_ref(), Some(&other));
    (bindery, scene, volume)
}

#[tokio::test]
async fn volumes_that_this_installation_did_not_create_are_not_orphans() {
    let bindery = Bindery::start(&["--orphan-grace=4s"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, model) = scene.bound(scene.claim("model")).await;
    let made = |name: &str, change: fn(&mut Value)| {
        let mut volume = json!(model);
        volume["metadata"] = json!({
            "name": format!("{}-{name}", scene.name),
            "annotations": volume["metadata"]["annotations"],
            "finalizers": ["bindery.dev/cleanup"],
        });
        for annotation in ["bindery.dev/ready", "bindery.dev/directory-id"] {
            volume["metadata"]["annotations"]
                .as_object_mut()
                .unwrap()
                .remove(annotation);
        }
        volume["spec"]["claimRef"] = json!({"namespace": scene.name, "name": name});
        change(&mut volume);
        scene.volumes_create(volume)
    };
    made("other-instance", |volume| {
        volume["metadata"]["annotations"]["bindery.dev/instance"] = json!("green");
    })
    .await;
    made("by-hand", |volume| volume["metadata"]["annotations"] = Value::Null).await;
    made("unclaimed", |volume| volume["spec"]["claimRef"] = Value::Null).await;
    // When Bindery has deleted its own orphan, it has also reconciled the other volumes.
    made("orphan", |_| ()).await;
    eventually("the orphan is gone", async || {
        (scene.own_volumes().await.len() == 4).then_some(())
    })
    .await;
    let names: Vec<String> = scene
        .own_volumes()
        .await
        .iter()
        .map(|volume| volume_name(volume).to_owned())
        .collect();
    assert!(!names.contains(&format!("{}-orphan", scene.name)), "{names:?}");
    assert!(
        directory(&model).is_dir(),
        "a directory that another volume is in is not the orphan's"
    );
    bindery.unregister().await;
}

#[tokio::test]
async fn an_invalid_class_gets_an_event_before_its_first_claim() {
    let scene = Scene::with_class(json!({"parameters": {"onDelet": "retain", "nfsVersion": "5"}})).await;
    let message = scene.event(&scene.name, "ClassHasMistakes").await;
    assert_eq!(
        message,
        format!(
            "StorageClass {}: parameter onDelet is not known: did you mean onDelete?; nfsVersion is \"5\": allowed are 4 \
             (4.2, else 4.1) or 3; the version that pods use is set in mountOptions; an administrator must delete the \
             class and create it again, because class parameters cannot be edited; until then its claims are refused",
            scene.name
        )
    );
}

#[tokio::test]
async fn an_ignored_annotation_is_reported_on_its_object() {
    let scene = Scene::with_namespace(json!({"bindery.dev/uid": "0"})).await;
    let claim = scene.claim_with("data", json!({"metadata": {"annotations": {"bindery.dev/gid": "0"}}}));
    assert_eq!(scene.create_with_warnings(claim).await.len(), 2);
    scene.until_bound("data").await;
    let of_claim = scene.event("data", "AnnotationIgnored").await;
    assert!(
        of_claim.starts_with("bindery.dev/gid on the claim is ignored"),
        "{of_claim}"
    );
    let of_namespace = scene.event(&scene.name, "AnnotationIgnored").await;
    assert!(
        of_namespace.starts_with("bindery.dev/uid on the namespace is ignored"),
        "{of_namespace}"
    );
}

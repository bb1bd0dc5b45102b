//! Classes that give each volume a group of its own: `gid: auto`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::directories::mode_of;
use crate::support::scene::{Scene, annotation, directory, from};

/// Returns the parameters of a class with this number of groups, which no class of another test has.
fn groups(size: u32, more: Value) -> Value {
    let first = 1_000_000 + Uuid::new_v4().as_fields().0 / 1000 * 500;
    let mut parameters = json!({"gid": "auto", "gidRange": format!("{first}-{}", first + size - 1)});
    json_patch::merge(&mut parameters, &more);
    json!({"parameters": parameters})
}

/// Returns the group of a volume. Asserts that the directory and the pods have the same group.
fn group(volume: &PersistentVolume) -> u32 {
    let gid = annotation(volume, "gid").expect("a group");
    let of_pods = &volume.metadata.annotations.as_ref().unwrap()["pv.beta.kubernetes.io/gid"];
    assert_eq!(of_pods, gid);
    let gid = gid.parse().unwrap();
    assert_eq!(fs::metadata(directory(volume)).unwrap().gid(), gid);
    gid
}

#[tokio::test]
async fn each_volume_has_a_group_of_its_own() {
    let class = groups(3, json!({}));
    let scene = Scene::with_class(class.clone()).await;
    let mut given = BTreeSet::new();
    for name in ["a", "b", "c"] {
        let (_, volume) = scene.bound(scene.claim(name)).await;
        assert_eq!(mode_of(&directory(&volume)), 0o2770);
        assert!(given.insert(group(&volume)), "{given:?}");
    }
    let range = class["parameters"]["gidRange"].as_str().unwrap();
    let (first, last) = range.split_once('-').unwrap();
    assert_eq!(given.first().unwrap().to_string(), first);
    assert_eq!(given.last().unwrap().to_string(), last);

    let all_used = format!(
        "no group is free for this claim: volumes and archives have all 3 groups of gidRange {range} of StorageClass {}; \
         an administrator must delete volumes or archives, or create a class with other groups",
        scene.name
    );
    assert!(scene.refused(scene.claim("d")).await.contains(&all_used));

    // An archive keeps its group until it is removed.
    let (_, volume) = scene.until_bound("b").await;
    let gid = group(&volume);
    scene.delete("b").await;
    scene.until_gone(&volume).await;
    assert!(scene.refused(scene.claim("d")).await.contains(&all_used));
    let archived = |name: &String| name.starts_with("archived-");
    let archive = scene.own_directories().into_iter().find(archived).unwrap();
    assert!(archive.ends_with(&format!("-gid-{gid}")), "{archive}");
    fs::remove_dir_all(Bed::get().export.join(archive)).unwrap();
    let (_, volume) = scene.bound(scene.claim("d")).await;
    assert_eq!(group(&volume), gid);
}

#[tokio::test]
async fn the_group_of_a_deleted_directory_is_free_again() {
    let scene = Scene::with_class(groups(1, json!({"onDelete": "delete", "mountPermissions": "0750"}))).await;
    for _ in 0..2 {
        let (_, volume) = scene.bound(scene.claim("data")).await;
        group(&volume);
        assert_eq!(mode_of(&directory(&volume)), 0o750);
        scene.delete("data").await;
        scene.until_gone(&volume).await;
    }
}

#[tokio::test]
async fn an_archive_keeps_its_group_until_it_expires() {
    let scene = Scene::with_class(groups(1, json!({"archiveRetention": "30d"}))).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let gid = group(&volume);
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    let names = scene.own_directories();
    assert!(names[0].contains(&format!("-gid-{gid}-until-")), "{names:?}");
    assert!(scene.refused(scene.claim("data")).await.contains("no group is free"));
}

#[tokio::test]
async fn an_adopted_directory_keeps_its_group_if_that_is_in_the_range() {
    let class = groups(100, json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"}));
    let scene = Scene::with_class(class.clone()).await;
    let range = class["parameters"]["gidRange"].as_str().unwrap();
    let last: u32 = range.split_once('-').unwrap().1.parse().unwrap();
    let path = Bed::get().export.join(&scene.name).join("data");
    fs::create_dir_all(&path).unwrap();
    chown(&path, None, Some(last)).unwrap();
    let (_, volume) = scene.bound(scene.claim("data")).await;
    assert_eq!(annotation(&volume, "directory"), Some("adopted"));
    assert_eq!(group(&volume), last);
}

#[tokio::test]
async fn a_class_with_groups_of_another_class_is_refused() {
    let class = groups(10, json!({}));
    let scene = Scene::with_class(class.clone()).await;
    let range = class["parameters"]["gidRange"].as_str().unwrap();
    let first = range.split_once('-').unwrap().0;
    for (name, parameters) in [("same", class["parameters"].clone()), ("fixed", json!({"gid": first}))] {
        let name = format!("{}-z-{name}", scene.name);
        scene.class(&name, json!({"parameters": parameters})).await;
        let key = if parameters["gid"] == "auto" { "gidRange" } else { "gid" };
        let value = parameters[key].as_str().unwrap();
        let expected = format!(
            "StorageClass {name}: {key} is {value:?}: StorageClass {} has gidRange: {range:?}, and a group of a range is \
             for one volume only; choose other groups; an administrator must delete the class and create it again, because \
             class parameters cannot be edited",
            scene.name
        );
        let claim = scene.claim_with("data", json!({"spec": {"storageClassName": name}}));
        let message = scene.refused(claim).await;
        assert!(message.contains(&expected), "{message}");
        let event = scene.event(&name, "ClassHasMistakes").await;
        assert!(event.contains(&expected), "{event}");
    }
    scene.assert_nothing_made().await;
    scene.bound(scene.claim("data")).await;
}

#[tokio::test]
async fn two_replicas_never_choose_the_same_group() {
    const CLAIMS: u32 = 24;
    let first = Bindery::start(&[]).await;
    let second = first.replica().await;
    first.split_reviews_with(&second, "second").await;
    let scene = Scene::of_with(&first.provisioner, groups(CLAIMS + 2, json!({}))).await;
    let clients = [scene.client.clone(), Bed::get().admin_as("second").await];
    let creates = (0..CLAIMS).map(|number| {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(clients[number as usize % 2].clone(), &scene.name);
        let claim = from(scene.claim(&format!("data-{number}")));
        async move { claims.create(&PostParams::default(), &claim).await }
    });
    for created in futures::future::join_all(creates).await {
        created.unwrap();
    }
    let mut given = BTreeSet::new();
    for number in 0..CLAIMS {
        let (_, volume) = scene.until_bound(&format!("data-{number}")).await;
        assert!(given.insert(group(&volume)), "{given:?}");
    }
    first.unregister().await;
}

#[tokio::test]
async fn a_claim_without_the_webhook_gets_a_group_too() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of_with(&bindery.provisioner, groups(1, json!({"onDelete": "delete"}))).await;
    bindery.kill();
    scene.create(scene.claim("data")).await.unwrap();
    bindery.run().await;
    let (_, volume) = scene.until_bound("data").await;
    let gid = group(&volume);
    // No group is free for another claim, so it gets an Event, and waits for the end of the first volume.
    bindery.kill();
    scene.create(scene.claim("late")).await.unwrap();
    bindery.run().await;
    let event = scene.event("late", "ProvisioningRefused").await;
    assert!(event.contains("no group is free for this claim"), "{event}");
    scene.delete("data").await;
    let (_, volume) = scene.until_bound("late").await;
    assert_eq!(group(&volume), gid);
    bindery.unregister().await;
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn after_a_crash_a_volume_with_the_group_of_another_volume_gets_another_group() {
    use crate::support::scene::volume_name;
    use crate::support::wait::eventually;

    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of_with(&bindery.provisioner, groups(2, json!({}))).await;
    let (_, first) = scene.bound(scene.claim("first")).await;
    bindery.kill();
    bindery.run_until_crash(bindery::failpoints::Point::VolumeCreated).await;
    scene.create(scene.claim("second")).await.unwrap();
    bindery.until_exit().await;
    eventually("kube-controller-manager has bound the claim", async || {
        let claim = scene.claims().get("second").await.ok()?;
        (claim.status?.phase? == "Bound").then_some(())
    })
    .await;
    // As if another replica had chosen the same group at the same time.
    let all = scene.own_volumes().await;
    let second = all
        .iter()
        .find(|volume| volume_name(volume) != volume_name(&first))
        .unwrap();
    let gid = annotation(&first, "gid");
    let annotations = json!({"bindery.dev/gid": gid, "pv.beta.kubernetes.io/gid": gid});
    let same_group = json!({"metadata": {"annotations": annotations}});
    scene.patch_volume(volume_name(second), same_group).await;
    bindery.run().await;
    let (_, second) = scene.until_bound("second").await;
    assert_ne!(group(&second), group(&first));
    bindery.unregister().await;
}

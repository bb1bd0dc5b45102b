//! The classes in deploy/examples do what their comments say.

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, ResourceQuota};
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::support::bed::{Bed, is_class_reviewed};
use crate::support::csi::install;
use crate::support::scene::{Scene, annotation, directory, volume_name};
use crate::support::wait::eventually;

/// Applies an example, with another server address, and returns the volume of a claim of it.
async fn bound(scene: &Scene, example: &str, fields: Value) -> PersistentVolume {
    apply(scene, example);
    eventually("the API server calls the webhook for the class", async || {
        is_class_reviewed(&scene.client, example).await.then_some(())
    })
    .await;
    let mut claim = scene.claim_with(example, fields);
    claim["spec"]["storageClassName"] = json!(example);
    scene.bound(claim).await.1
}

/// Returns a claim of the class of an example.
fn claim_of_class(scene: &Scene, name: &str, class: &str) -> Value {
    scene.claim_with(name, json!({"spec": {"storageClassName": class}}))
}

/// Applies an example with other names and server addresses.
fn apply(scene: &Scene, example: &str) {
    let file = format!("{}/deploy/examples/{example}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(file).unwrap();
    let text = text
        .replace("nfs.example.com", &Bed::get().server)
        .replace("/export/volumes", &Bed::get().share)
        .replace("team-a", &scene.name);
    let kubectl = std::env::var("KUBECTL").unwrap();
    let mut apply = Command::new(kubectl)
        .args(["apply", "-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut apply.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(apply.wait().unwrap().success(), "{example}");
}

/// The resource that the quota counts: claims of class scratch.
const COUNTED: &str = "scratch.storageclass.storage.k8s.io/persistentvolumeclaims";

/// Applies the quota, uses it up, and returns the message for the next claim.
async fn limited(scene: &Scene) -> String {
    apply(scene, "limits");
    let quotas: Api<ResourceQuota> = Api::namespaced(scene.client.clone(), &scene.name);
    let of_class =
        |claim: &PersistentVolumeClaim| claim.spec.as_ref().unwrap().storage_class_name.as_deref() == Some("scratch");
    // At first kube-controller-manager may not count a claim that was just created.
    eventually("the quota is in force and counts the claims that exist", async || {
        let used = quotas.get("scratch").await.unwrap().status?.used?;
        let claims = scene.claims().list(&ListParams::default()).await.unwrap();
        let count = claims.iter().filter(|&claim| of_class(claim)).count();
        (used[COUNTED].0 == count.to_string()).then_some(())
    })
    .await;
    let claim = |number: usize| {
        let class = json!({"spec": {"storageClassName": "scratch"}});
        scene.claim_with(&format!("limited-{number}"), class)
    };
    // The API server enforces and counts only when its own cache has the quota.
    let large = json!({"spec": {"resources": {"requests": {"storage": "101Gi"}}}});
    let mut large_claim = claim(0);
    json_patch::merge(&mut large_claim, &large);
    scene.until_refused(large_claim, "exceeded quota: scratch").await;
    for number in 1..10 {
        scene.create(claim(number)).await.unwrap();
    }
    // kube-controller-manager may count again, without the last claims.
    eventually("the quota counts all claims", async || {
        let used = quotas.get("scratch").await.unwrap().status?.used?;
        (used[COUNTED].0 == "10").then_some(())
    })
    .await;
    let refused = scene.refused(claim(10)).await;
    refused
        .split_once("is forbidden: ")
        .expect("a quota's words")
        .1
        .to_owned()
}

#[tokio::test]
async fn every_example_is_listed_and_does_what_its_comments_say() {
    let scene = Scene::new().await;
    let none = || json!({});
    let name = &scene.name;

    let archived = bound(&scene, "keep-archives", none()).await;
    assert_eq!(annotation(&archived, "on-delete"), Some("archive"));
    let brief = bound(&scene, "expires", none()).await;
    assert_eq!(annotation(&brief, "archive-retention"), Some("30d"));
    let deleted = bound(&scene, "scratch", none()).await;
    assert_eq!(annotation(&deleted, "on-delete"), Some("delete"));
    let found = bound(&scene, "own-layout", none()).await;
    assert_eq!(
        annotation(&found, "sub-dir"),
        Some(format!("{name}/own-layout").as_str())
    );
    let owned = bound(&scene, "owned", none()).await;
    let stat = std::fs::metadata(directory(&owned)).unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.uid(), stat.gid()), (0o2770, 1000, 2000));

    let group = bound(&scene, "group-per-volume", none()).await;
    let stat = std::fs::metadata(directory(&group)).unwrap();
    assert_eq!(stat.mode() & 0o7777, 0o2770);
    assert!((50_000..=60_000).contains(&stat.gid()));

    let kept = bound(&scene, "survives-rebuild", none()).await;
    std::fs::write(directory(&kept).join("data"), "").unwrap();
    scene.delete("survives-rebuild").await;
    scene.until_gone(&kept).await;
    let again = bound(&scene, "survives-rebuild", none()).await;
    assert_eq!(
        (annotation(&again, "directory"), volume_name(&again)),
        (Some("adopted"), volume_name(&kept))
    );
    assert!(directory(&again).join("data").exists());

    let (_, lost) = scene.bound(claim_of_class(&scene, "data", "keep-archives")).await;
    std::fs::write(directory(&lost).join("data"), "").unwrap();
    scene.delete("data").await;
    scene.until_gone(&lost).await;
    scene.until_archived("data").await;
    apply(&scene, "restored");
    let (_, restored) = scene.until_bound("restored").await;
    assert!(directory(&restored).join("data").exists());

    let later = bound(&scene, "after-create", none()).await;
    let labels = later.metadata.labels.as_ref().unwrap();
    assert_eq!((labels["team"].as_str(), labels["tier"].as_str()), ("storage", "gold"));

    install("nfs.csi.k8s.io").await;
    let csi = bound(&scene, "csi", none()).await;
    assert_eq!(csi.spec.unwrap().csi.unwrap().driver, "nfs.csi.k8s.io");
    install("cephfs.csi.ceph.com").await;
    let cephfs = bound(&scene, "cephfs", none()).await.spec.unwrap().csi.unwrap();
    let attributes = cephfs.volume_attributes.unwrap();
    assert_eq!(cephfs.driver, "cephfs.csi.ceph.com");
    assert_eq!(
        (&*attributes["clusterID"], &*attributes["fsName"]),
        ("CLUSTER", "cephfs")
    );
    assert_eq!(cephfs.node_stage_secret_ref.unwrap().namespace.unwrap(), "ceph-csi");

    let own = json!({"metadata": {"annotations": {"bindery.dev/on-delete": "delete"}}});
    let decided = bound(&scene, "teams-decide", own).await;
    assert_eq!(annotation(&decided, "on-delete"), Some("delete"));

    bound(&scene, "fits", none()).await;
    let too_large = json!({"spec": {"storageClassName": "fits", "resources": {"requests": {"storage": "900Ti"}}}});
    let refused = scene.refused(scene.claim_with("too-large", too_large)).await;
    assert!(refused.contains("the claim requests 900Ti, and of "), "{refused}");

    assert_eq!(
        limited(&scene).await,
        "exceeded quota: scratch, requested: scratch.storageclass.storage.k8s.io/persistentvolumeclaims=1, used: \
         scratch.storageclass.storage.k8s.io/persistentvolumeclaims=10, limited: \
         scratch.storageclass.storage.k8s.io/persistentvolumeclaims=10"
    );

    let listed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples/README.md")).unwrap();
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples")).unwrap();
    let files: Vec<_> = folder
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let classes: Vec<_> = files
        .iter()
        .filter(|file| file.split_once('.').is_some_and(|(_, ending)| ending == "yaml"))
        .collect();
    assert_eq!(classes.len(), 14, "an example without a test: {classes:?}");
    for file in classes {
        assert!(listed.contains(&format!("({file})")), "{file} is not in the README");
    }
}

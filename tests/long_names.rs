//! Objects with the longest names that Kubernetes allows.

use serde_json::json;
use uuid::Uuid;

use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, volume_name};

/// Returns a name of 253 characters that ends with `end`.
fn longest(end: &str) -> String {
    format!(
        "{}{end}",
        "long-name.".repeat(26).get(..253 - end.len()).expect("enough")
    )
}

#[tokio::test]
async fn a_claim_with_the_longest_name_is_bound_and_archived() {
    let scene = Scene::new().await;
    let mut directories = Vec::new();
    for end in ["one", "two"] {
        let name = longest(end);
        let (_, volume) = scene.bound(scene.claim(&name)).await;
        let sub_dir = annotation(&volume, "sub-dir").unwrap().to_owned();
        assert!(
            sub_dir.len() == 255 && sub_dir.starts_with(&scene.name) && sub_dir.ends_with(volume_name(&volume)),
            "{sub_dir}"
        );
        std::fs::write(directory(&volume).join("precious"), end).unwrap();
        scene.delete(&name).await;
        scene.until_gone(&volume).await;
        assert!(!directory(&volume).exists());
        directories.push(sub_dir);
    }
    assert_ne!(directories[0], directories[1]);
    let archives = scene.own_directories();
    let kept = |archive: &String| std::fs::read_to_string(Bed::get().export.join(archive).join("precious")).unwrap();
    let mut kept: Vec<String> = archives.iter().map(kept).collect();
    kept.sort();
    assert_eq!(kept, ["one", "two"]);
}

#[tokio::test]
async fn a_claim_with_the_longest_name_is_provisioned_after_creation() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    bindery.kill();
    let name = longest("late");
    scene.create(scene.claim(&name)).await.unwrap();
    bindery.run().await;
    let (_, volume) = scene.until_bound(&name).await;
    assert!(directory(&volume).is_dir());
    bindery.unregister().await;
}

#[tokio::test]
async fn objects_with_the_longest_names_get_events() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    bindery.kill();
    // Names of Events are cut at 236 characters, and must not end with a dot or a dash there.
    for name in [
        longest("claim"),
        longest("claim")[..237].to_owned(),
        longest("")[..236].to_owned() + "x",
    ] {
        let block = scene.claim_with(&name, json!({"spec": {"volumeMode": "Block"}}));
        scene.create(block).await.unwrap();
        bindery.run().await;
        let message = scene.event(&name, "ProvisioningRefused").await;
        assert!(message.contains("cannot provide volumeMode Block"), "{message}");
        bindery.kill();
    }
    bindery.run().await;
    let class = longest(&scene.name);
    scene
        .class_at_once(&class, json!({"parameters": {"onDelet": "retain"}}))
        .await;
    let message = scene.event(&class, "ClassHasMistakes").await;
    assert!(message.contains("parameter onDelet is not known"), "{message}");
    bindery.unregister().await;

    let provisioner = format!("cluster.local/{}-nfs-subdir-external-provisioner", scene.name);
    let old = Bindery::start(&[&format!("--provisioner-name={provisioner}")]).await;
    let volume = longest(&scene.name);
    let outside = json!({
        "metadata": {"name": volume, "annotations": {"pv.kubernetes.io/provisioned-by": provisioner}},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "1Gi"},
            "claimRef": {"namespace": scene.name, "name": "long-gone", "uid": Uuid::new_v4().to_string()},
            "nfs": {"server": Bed::get().server, "path": "/elsewhere/data"},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": scene.name,
        },
    });
    scene.volumes_create(outside).await;
    scene.event(&volume, "NotTakenOver").await;
    old.unregister().await;
}

//! Archives are objects of the API: they are written when a claim is deleted, and deleting one removes the data.

mod expiry;
mod namespaces;
mod rights;
mod share;

use std::process::Command;

#[cfg(feature = "failpoints")]
use bindery::failpoints::Point;
use bindery::model::archive::ArchivePhase;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::support::archives::{phase, place};
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, volume_name};
use crate::support::wait::eventually;

/// Creates a claim with one file, deletes it, and waits until its volume is gone.
async fn archive_a_claim(scene: &Scene, name: &str) -> PersistentVolume {
    let (_, volume) = scene.bound(scene.claim(name)).await;
    std::fs::write(directory(&volume).join("precious"), name).unwrap();
    scene.delete(name).await;
    scene.until_gone(&volume).await;
    volume
}

/// Returns the content of the file in an archive; `None` if it is gone.
fn content(place: &str) -> Option<String> {
    std::fs::read_to_string(Bed::get().export.join(place).join("precious")).ok()
}

/// Returns what kubectl prints.
fn kubectl(arguments: &[&str]) -> String {
    let kubectl = std::env::var("KUBECTL").expect("run `make test`");
    let output = Command::new(kubectl).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_deleted_claim_leaves_an_archive_in_its_namespace() {
    let parameters = json!({"archiveRetention": "30d"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    let (claim, volume) = scene.bound(scene.claim("data")).await;
    std::fs::write(directory(&volume).join("precious"), "data").unwrap();
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    let archive = scene.until_archived("data").await;
    let namespaces: Api<Namespace> = Api::all(scene.client.clone());
    let namespace = namespaces.get(&scene.name).await.unwrap();
    assert_eq!(archive.namespace(), Some(scene.name.clone()));
    let made = Timestamp::from_second(archive.spec.archived_at.0.as_second()).unwrap();
    let expires = made + jiff::SignedDuration::from_hours(30 * 24);
    let directory = archive.spec.directory.clone();
    assert!(
        directory.starts_with("archived-") && content(&directory).is_some(),
        "{directory}"
    );
    assert_eq!(
        json!(archive.spec),
        json!({
            "claimName": "data",
            "claimNamespace": scene.name,
            "claimUid": claim.metadata.uid,
            "namespaceUid": namespace.metadata.uid,
            "volumeName": volume_name(&volume),
            "volumeUid": volume.metadata.uid,
            "storageClassName": scene.name,
            "server": Bed::get().server,
            "share": Bed::get().share,
            "nfsVersion": "4",
            "directory": directory,
            "originalDirectory": annotation(&volume, "sub-dir"),
            "directoryId": annotation(&volume, "directory-id"),
            "shareId": annotation(&volume, "share-id"),
            "capacity": "1Gi",
            "accessModes": ["ReadWriteMany"],
            "archivedAt": made.to_string(),
            "expiresAt": expires.to_string(),
            "provisioner": scene.provisioner,
            "instance": annotation(&volume, "instance"),
        })
    );
    assert_eq!(annotation(&volume, "namespace-uid"), namespace.metadata.uid.as_deref());
    let labels: Value = json!(archive.labels());
    assert_eq!(labels["bindery.dev/claim"], json!("data"));
    assert_eq!(labels["bindery.dev/claim-namespace"], json!(scene.name));
    assert_eq!(labels["bindery.dev/class"], json!(scene.name));
    assert_eq!(
        (phase(&archive), place(&archive)),
        (Some(ArchivePhase::Available), directory.clone())
    );
    let stamp = made.strftime("%Y%m%dt%H%M%Sz").to_string();
    assert!(
        archive.name_any().starts_with(&format!("data-{stamp}-")),
        "{}",
        archive.name_any()
    );

    let table = kubectl(&["-n", &scene.name, "get", "arch", "-o", "wide"]);
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(
        lines.next().unwrap(),
        ["NAME", "CLAIM", "SIZE", "ARCHIVED", "EXPIRES", "PHASE", "DIRECTORY"]
    );
    let row = lines.next().unwrap();
    let (name, expires) = (archive.name_any(), expires.to_string());
    let [age] = row[3..4] else { panic!("{row:?}") };
    assert_eq!(row, [&*name, "data", "1Gi", age, &expires, "Available", &directory]);
}

#[tokio::test]
async fn a_directory_that_is_not_archived_has_no_object() {
    for on_delete in ["delete", "retain"] {
        let scene = Scene::with_class(json!({"parameters": {"onDelete": on_delete}})).await;
        archive_a_claim(&scene, "data").await;
        assert!(scene.own_archives().await.is_empty(), "{on_delete}");
    }
    let scene = Scene::new().await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let delete = json!({"metadata": {"annotations": {"bindery.dev/on-delete": "delete"}}});
    scene.patch_volume(volume_name(&volume), delete).await;
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    assert!(scene.own_archives().await.is_empty());
}

#[tokio::test]
async fn deleting_an_archive_removes_its_data() {
    let scene = Scene::new().await;
    archive_a_claim(&scene, "data").await;
    archive_a_claim(&scene, "other").await;
    let archive = scene.until_archived("data").await;
    let kept = scene.until_archived("other").await;
    kubectl(&["-n", &scene.name, "delete", "archive", &archive.name_any()]);
    scene.until_archive_gone(&archive).await;
    let directory = Bed::get().export.join(place(&archive));
    assert!(!directory.exists());
    let message = scene.event(&archive.name_any(), "ArchiveRemoved").await;
    assert_eq!(
        message,
        "the directory was moved to the trash; its files are being removed"
    );
    let trash = Bed::get().export.join(".bindery-trash");
    eventually("its files are removed", async || {
        let mut left = std::fs::read_dir(&trash).into_iter().flatten().flatten();
        let is_it = |name: &str| name.contains(&place(&archive));
        (!left.any(|entry| is_it(&entry.file_name().to_string_lossy()))).then_some(())
    })
    .await;
    assert_eq!(content(&place(&kept)).as_deref(), Some("other"));
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_policy_that_changes_after_the_archive_was_made_leaves_one_object_or_none() {
    for on_delete in ["delete", "retain"] {
        let mut bindery = Bindery::start(&["--retention-interval=200ms"]).await;
        let parameters = json!({"archiveRetention": "30d"});
        let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
        let (_, volume) = scene.bound(scene.claim("data")).await;
        std::fs::write(directory(&volume).join("precious"), "data").unwrap();
        bindery.kill();
        bindery.run_until_crash(Point::ArchiveRecorded).await;
        scene.delete("data").await;
        bindery.until_exit().await;
        let before = scene.own_archives().await;
        assert_eq!(before.len(), 1);
        let changed = json!({"metadata": {"annotations": {"bindery.dev/on-delete": on_delete}}});
        scene.patch_volume(volume_name(&volume), changed).await;
        bindery.run().await;
        scene.until_gone(&volume).await;
        if on_delete == "delete" {
            assert_eq!(scene.own_archives().await, vec![]);
        } else {
            let kept = scene.until_archived("data").await;
            assert_eq!(kept.uid(), before[0].uid());
            let kept = scene
                .until_archive("it never expires", |one| {
                    one.status.as_ref().is_some_and(|status| status.expires_at.is_none())
                })
                .await;
            assert_eq!(content(&place(&kept)).as_deref(), Some("data"));
        }
        bindery.unregister().await;
    }
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn the_object_of_an_archive_that_was_removed_before_a_crash_goes_at_once() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    archive_a_claim(&scene, "data").await;
    let archive = scene.until_archived("data").await;
    bindery.kill();
    bindery.run_until_crash(Point::ArchiveInTrash).await;
    scene.delete_archive(&archive).await;
    bindery.until_exit().await;
    // As if another loop had emptied the trash first.
    let trash = std::fs::read_dir(Bed::get().export.join(".bindery-trash")).unwrap();
    let mut trash = trash.map(|entry| entry.unwrap());
    let is_it = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().contains(&place(&archive));
    std::fs::remove_dir_all(trash.find(is_it).unwrap().path()).unwrap();
    bindery.run().await;
    scene.until_archive_gone(&archive).await;
    scene.event(&archive.name_any(), "ArchiveRemoved").await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_long_name_of_a_claim_is_cut() {
    let scene = Scene::new().await;
    let claim = format!("{}.{}", "a".repeat(60), "b".repeat(60));
    archive_a_claim(&scene, &claim).await;
    let archive = scene.until_archived(&claim).await;
    let name = archive.name_any();
    assert!(
        name.len() == 63 && name.starts_with(&format!("{}-2", "a".repeat(37))),
        "{name}"
    );
    assert_eq!(archive.labels().get("bindery.dev/claim"), None, "too long for a label");
}

#[tokio::test]
async fn each_archive_has_one_object_when_the_leader_dies_at_any_time() {
    let mut first = Bindery::start(&["--retention-interval=300ms"]).await;
    let scene = Scene::of(&first.provisioner).await;
    first.until_led().await;
    let second = first.replica().await;
    let names: Vec<String> = (0..12).map(|number| format!("data-{number}")).collect();
    let mut volumes = Vec::new();
    for name in &names {
        let (_, volume) = scene.bound(scene.claim(name)).await;
        std::fs::write(directory(&volume).join("precious"), name).unwrap();
        volumes.push(volume);
    }
    for name in &names {
        scene.delete(name).await;
    }
    eventually("some archives have objects", async || {
        (scene.own_archives().await.len() > 2).then_some(())
    })
    .await;
    first.kill();
    for volume in &volumes {
        scene.until_gone(volume).await;
    }
    for name in &names {
        let archive = scene.until_archived(name).await;
        assert_eq!(content(&place(&archive)).as_ref(), Some(name));
    }
    assert_eq!(scene.own_archives().await.len(), names.len());
    drop(second);
    first.unregister().await;
}

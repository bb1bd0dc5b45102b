//! A claim, a pod or a namespace is deleted while pods run.

use std::path::PathBuf;
use std::process::Command;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use crate::node::{LATE, in_guest};
use crate::support::bed::Bed;
use crate::support::scene::{Scene, annotation, directory, volume_name};
use crate::support::wait::{eventually, eventually_within};
use crate::writer::{Writer, assert_consecutive, parse};

/// Returns the archive of a volume in the bed's export.
fn archive_of(scene: &Scene, volume: &PersistentVolume) -> PathBuf {
    let begin = format!("archived-{}-", annotation(volume, "sub-dir").unwrap());
    let mut names = scene.own_directories().into_iter();
    let name = names.find(|name| name.starts_with(&begin)).expect("an archive");
    Bed::get().export.join(name)
}

#[tokio::test]
async fn a_deleted_claim_and_its_directory_stay_until_its_pod_has_ended() {
    let scene = Scene::new().await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let writer = Writer::start(&scene, "data", directory(&volume)).await;
    scene.delete("data").await;
    writer.until_more(3).await;
    writer.assert_complete().await;
    let claim = scene.claims().get("data").await.unwrap();
    assert!(claim.metadata.deletion_timestamp.is_some());
    assert!(!scene.is_being_deleted(&volume).await);

    writer.end().await;
    scene.until_gone(&volume).await;
    let numbers = std::fs::read_to_string(archive_of(&scene, &volume).join("numbers")).unwrap();
    assert!(numbers.ends_with("\nend\n"), "{numbers}");
    assert_consecutive(&parse(&numbers));
}

#[tokio::test]
async fn a_namespace_is_deleted_and_each_pod_ends_before_its_directory_is_archived() {
    let scene = Scene::new().await;
    let mut volumes = Vec::new();
    for name in ["one", "two"] {
        let (_, volume) = scene.bound(scene.claim(name)).await;
        Writer::named(&scene, name, name, directory(&volume)).await;
        volumes.push(volume);
    }
    let namespaces: Api<Namespace> = Api::all(scene.client.clone());
    namespaces.delete(&scene.name, &DeleteParams::default()).await.unwrap();
    eventually_within(LATE, "the namespace is gone", async || {
        namespaces.get_opt(&scene.name).await.unwrap().is_none().then_some(())
    })
    .await;
    for volume in &volumes {
        scene.until_gone(volume).await;
        let numbers = std::fs::read_to_string(archive_of(&scene, volume).join("numbers")).unwrap();
        assert!(numbers.ends_with("\nend\n"), "{numbers}");
        assert_consecutive(&parse(&numbers));
    }
}

/// The node while all of it is paused, as if its network were cut. Dropping this resumes it.
struct PausedNode;

impl PausedNode {
    fn pause() -> Self {
        Self::signal("STOP");
        Self
    }

    fn signal(name: &str) {
        let folder = std::env::var("KNFSD_DIR").expect("run `make test-node`");
        let pid = std::fs::read_to_string(format!("{folder}/pid")).expect("the virtual machine runs");
        let sent = Command::new("kill").args(["-s", name, pid.trim()]).status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for PausedNode {
    fn drop(&mut self) {
        Self::signal("CONT");
    }
}

/// Returns whether the trash in the bed's export has a directory of this volume.
fn is_in_trash(volume: &PersistentVolume) -> bool {
    let entries = std::fs::read_dir(Bed::get().export.join(".bindery-trash"));
    let mut names = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").file_name());
    names.any(|name| name.to_string_lossy().contains(volume_name(volume)))
}

/// A writer whose node was lost while Bindery cleaned up its volume.
struct Lost {
    volume: PersistentVolume,
    /// The errors of its writes.
    errors: String,
}

impl Lost {
    /// Starts a writer, pauses its node, deletes pod and claim by force, waits until Bindery has cleaned up, and resumes the
    /// node. Returns when the kubelet has ended the writer and unmounted its volume.
    async fn and_found(scene: &Scene) -> Self {
        let (_, volume) = scene.bound(scene.claim("data")).await;
        let folder = format!("/tmp/{}", scene.name);
        let writer = Writer::with_errors_in(&folder, scene, "data", directory(&volume)).await;
        let paused = PausedNode::pause();
        writer.pod().force_delete().await;
        scene.delete("data").await;
        scene.until_gone(&volume).await;
        eventually("the trash is empty", async || (!is_in_trash(&volume)).then_some(())).await;
        drop(paused);
        let mounted = annotation(&volume, "sub-dir").unwrap();
        eventually_within(LATE, "the kubelet has unmounted the volume", async || {
            (!in_guest("cat /proc/mounts").contains(mounted)).then_some(())
        })
        .await;
        let errors = in_guest(&format!("cat {folder}/errors"));
        Self { volume, errors }
    }
}

#[tokio::test]
async fn a_pod_on_a_lost_node_writes_into_the_archive() {
    let scene = Scene::new().await;
    let lost = Lost::and_found(&scene).await;
    assert_eq!(lost.errors, "");
    assert!(!directory(&lost.volume).exists());
    // It wrote the last line when the kubelet ended it.
    let numbers = std::fs::read_to_string(archive_of(&scene, &lost.volume).join("numbers")).unwrap();
    assert!(numbers.ends_with("\nend\n"), "{numbers}");
    assert_consecutive(&parse(&numbers));
}

#[tokio::test]
async fn a_pod_on_a_lost_node_cannot_write_after_its_directory_was_deleted() {
    let scene = Scene::with_class(json!({"parameters": {"onDelete": "delete"}})).await;
    let lost = Lost::and_found(&scene).await;
    assert!(lost.errors.contains("Stale file handle"), "{}", lost.errors);
    assert_eq!(scene.own_directories(), Vec::<String>::new());
}

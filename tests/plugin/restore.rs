//! `kubectl bindery restore`: the claim that it prints is one that the API server takes.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{archive_a_claim, failed};
use crate::support::plugin::{Plugin, Printed};
use crate::support::scene::{Scene, directory};

/// Returns what `kubectl create` prints for a manifest.
fn create(plugin: &Plugin, arguments: &[&str], manifest: &str) -> Printed {
    let mut command = plugin.command("kubectl");
    command.args(["create", "-f", "-"]).args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

#[tokio::test]
async fn the_printed_claim_is_valid_and_has_the_settings_of_the_archive() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let namespace = scene.name.as_str();
    let archive = archive_a_claim(&scene, "data").await;
    let restore = |arguments: &[&str]| plugin.bindery(&[&["restore", "-n", namespace], arguments].concat());
    let printed = restore(&[&archive, "--as", "again"]).success();
    let expected = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "again", "namespace": namespace},
        "spec": {
            "storageClassName": namespace,
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
            "dataSourceRef": {"apiGroup": "bindery.dev", "kind": "Archive", "name": archive},
        },
    });
    assert_eq!(serde_saphyr::from_str::<Value>(&printed).unwrap(), expected);
    let created = create(&plugin, &["--dry-run=server", "-o", "json"], &printed);
    assert_eq!(created.status, Some(0), "{created:?}");
    let created: Value = serde_json::from_str(&created.out).unwrap();
    assert_eq!(created["spec"]["dataSourceRef"], expected["spec"]["dataSourceRef"]);
    assert_eq!(created["spec"]["resources"], expected["spec"]["resources"]);

    let other = restore(&[
        "data",
        "--size",
        "2Gi",
        "--class",
        "fast",
        "--access-mode",
        "ReadWriteOnce",
        "--access-mode",
        "ReadOnlyMany",
        "-o",
        "json",
    ]);
    assert_eq!(
        (other.status, other.err),
        (Some(0), format!("the newest archive of claim data is {archive}\n"))
    );
    let other: Value = serde_json::from_str(&other.out).unwrap();
    assert_eq!(other["metadata"]["name"], "data");
    assert_eq!(other["spec"]["storageClassName"], "fast");
    assert_eq!(other["spec"]["accessModes"], json!(["ReadWriteOnce", "ReadOnlyMany"]));
    assert_eq!(other["spec"]["resources"], json!({"requests": {"storage": "2Gi"}}));
}

#[tokio::test]
async fn apply_creates_the_claim_and_the_data_is_back() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let archive = archive_a_claim(&scene, "data").await;
    let restore = |arguments: &[&str]| {
        plugin.bindery(
            &[
                &["restore", "-n", &scene.name, &archive, "--as", "again", "--apply"],
                arguments,
            ]
            .concat(),
        )
    };
    let tried = restore(&["--dry-run"]);
    assert_eq!(
        (tried.status, tried.out.as_str()),
        (Some(0), "persistentvolumeclaim/again created (server dry run)\n")
    );
    assert!(scene.claims().get_opt("again").await.unwrap().is_none());
    let created = restore(&[]);
    assert_eq!(
        (created.status, created.out.as_str()),
        (Some(0), "persistentvolumeclaim/again created\n")
    );
    let claim = json!(scene.claims().get("again").await.unwrap());
    let source = json!({"apiGroup": "bindery.dev", "kind": "Archive", "name": archive});
    assert_eq!(claim["spec"]["dataSourceRef"], source);
    let (_, volume) = scene.until_bound("again").await;
    let restored = std::fs::read_to_string(directory(&volume).join("precious"));
    assert_eq!(restored.unwrap(), "data");
}

#[tokio::test]
async fn a_claim_that_cannot_be_created_is_explained() {
    let (scene, plugin) = (Scene::new().await, Plugin::install());
    let namespace = scene.name.as_str();
    let archive = archive_a_claim(&scene, "data").await;
    scene.bound(scene.claim("taken")).await;
    let restore = |arguments: &[&str]| plugin.bindery(&[&["restore", "-n", namespace], arguments].concat());
    assert_eq!(
        restore(&["nothing"]),
        failed(
            2,
            &format!(
                "kubectl bindery restore: in namespace {namespace} there is no archive nothing, and no archive of a claim of \
                 that name; the command archives lists those that there are"
            )
        )
    );
    assert_eq!(
        restore(&[&archive, "--size", "100Mi"]),
        failed(
            1,
            &format!("size 100Mi is less than 1Gi, the size of archive {archive}; set 1Gi or more")
        )
    );
    assert_eq!(
        restore(&[&archive, "--as", "taken", "--apply"]),
        failed(
            1,
            &format!("claim taken exists already in namespace {namespace}; choose another name with --as")
        )
    );
    assert_eq!(
        restore(&[&archive, "--as", "quota", "--apply", "--as-user", "outsider"]),
        failed(
            2,
            &format!(
                "kubectl bindery restore: the archives of namespace {namespace} could not be listed: the kubeconfig's user \
                 lacks the right to list archives (403)"
            )
        )
    );
    // A viewer may read the archive and may not create a claim.
    let user = format!("viewer-{namespace}");
    scene.grant(&user, "view").await;
    let right = format!(
        "kubectl bindery restore: claim again could not be created in namespace {namespace}: the kubeconfig's user lacks the \
         right to create persistentvolumeclaims (403)"
    );
    crate::support::wait::eventually("the viewer reads the archive and creates no claim", async || {
        let printed = restore(&[&archive, "--as", "again", "--apply", "--as-user", &user]);
        (printed == failed(2, &right)).then_some(())
    })
    .await;
    // Another admission plugin refuses it.
    scene.set_quota("persistentvolumeclaims", "1").await;
    let printed = restore(&[&archive, "--as", "again", "--apply"]);
    let begin =
        "the API server refused claim again: persistentvolumeclaims \"again\" is forbidden: exceeded quota: limit";
    assert!(
        printed.status == Some(1) && printed.err.starts_with(begin),
        "{printed:?}"
    );
}

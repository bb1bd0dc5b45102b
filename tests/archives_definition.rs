//! The definition of archives is deleted and installed again.
//!
//! This is a separate binary with its own test bed, since all other tests need the definition.

use std::path::PathBuf;
use std::process::Command;

use bindery::model::archive::Archive;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

#[path = "support/bed.rs"]
#[allow(dead_code)]
mod bed;
#[path = "support/wait.rs"]
#[allow(dead_code)]
mod wait;

use crate::bed::Bed;
use crate::wait::eventually;

const DEFINITION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base/archives-definition.yaml");

fn kubectl(arguments: &[&str]) {
    let output = Command::new(std::env::var("KUBECTL").expect("KUBECTL"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns Bindery's log.
fn log() -> String {
    let run = PathBuf::from(std::env::var("BINDERY_BED").expect("BINDERY_BED"));
    std::fs::read_to_string(run.join("run/bindery.log")).unwrap()
}

/// Sends a signal to Bindery.
fn signal(signal: Signal) {
    let run = PathBuf::from(std::env::var("BINDERY_BED").expect("BINDERY_BED"));
    let pid = std::fs::read_to_string(run.join("run/bindery.pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Creates a claim with a file, deletes it, and waits until it is archived. Returns the path of the archive.
async fn archive_a_claim(client: &Client, name: &str) -> PathBuf {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "default");
    let claim = json!({
        "metadata": {"name": name},
        "spec": {
            "storageClassName": "bindery",
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    });
    let claim = serde_json::from_value(claim).unwrap();
    claims.create(&PostParams::default(), &claim).await.unwrap();
    eventually("the claim is bound", async || {
        (claims.get(name).await.unwrap().status?.phase? == "Bound").then_some(())
    })
    .await;
    let export = || {
        std::fs::read_dir(&Bed::get().export)
            .unwrap()
            .flatten()
            .map(|entry| entry.path())
    };
    let is_named = |path: &PathBuf, front: &str| path.file_name().unwrap().to_string_lossy().starts_with(front);
    let directory = export()
        .find(|path| is_named(path, &format!("default-{name}-")))
        .unwrap();
    std::fs::write(directory.join("precious"), name).unwrap();
    claims.delete(name, &DeleteParams::default()).await.unwrap();
    let front = format!("archived-default-{name}-");
    eventually("the claim is archived", async || {
        export().find(|path| is_named(path, &front))
    })
    .await
}

#[tokio::test]
async fn without_the_definition_archives_are_made_as_before_and_no_data_is_lost() {
    let client = Bed::get().admin().await;
    let archives: Api<Archive> = Api::all(client.clone());
    let first = archive_a_claim(&client, "first").await;
    let until_objects = async |count: usize| {
        eventually("the archives have objects", async || {
            let found = archives.list(&ListParams::default()).await.ok()?.items;
            (found.len() == count && found.iter().all(|archive| archive.status.is_some())).then_some(found)
        })
        .await
    };
    assert_eq!(until_objects(1).await[0].namespace().as_deref(), Some("default"));

    // All objects go with their definition. No data goes.
    kubectl(&["delete", "-f", DEFINITION, "--timeout=60s"]);
    assert!(first.join("precious").exists());
    eventually("Bindery says that archives have no objects", async || {
        log().contains("archives have no objects in the API").then_some(())
    })
    .await;
    let claim = json!({
        "metadata": {"name": "again"},
        "spec": {
            "storageClassName": "bindery",
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
            "dataSourceRef": {"apiGroup": "bindery.dev", "kind": "Archive", "name": "first"},
        },
    });
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "default");
    let claim = serde_json::from_value(claim).unwrap();
    let refused = claims
        .create(&PostParams::default(), &claim)
        .await
        .unwrap_err()
        .to_string();
    let expected = "there is no Archive first, because the definition archives.bindery.dev is not installed; an administrator \
                    must install it";
    assert!(refused.contains(expected), "{refused}");
    let second = archive_a_claim(&client, "second").await;
    assert!(second.join("precious").exists());

    // Installed again, the archives get objects, without a restart.
    kubectl(&["apply", "-f", DEFINITION]);
    let found = until_objects(2).await;
    assert!(
        found
            .iter()
            .all(|archive| archive.namespace().as_deref() == Some("bindery"))
    );
    assert!(first.join("precious").exists() && second.join("precious").exists());
    assert_eq!(
        log().matches("archives have no objects in the API").count(),
        1,
        "it is said once"
    );

    // The definition is deleted while Bindery stands still, and its finalizer is removed by force. The objects that are left
    // over are marked as deleted, but nobody has deleted them.
    signal(Signal::STOP);
    kubectl(&["delete", "-f", DEFINITION, "--wait=false"]);
    eventually("the objects are marked as deleted", async || {
        let found = archives.list(&ListParams::default()).await.ok()?.items;
        let is_deleting = |archive: &Archive| archive.metadata.deletion_timestamp.is_some();
        (found.len() == 2 && found.iter().all(is_deleting)).then_some(())
    })
    .await;
    let by_force = r#"{"metadata": {"finalizers": null}}"#;
    kubectl(&["patch", "crd", "archives.bindery.dev", "--type=merge", "-p", by_force]);
    kubectl(&["apply", "-f", DEFINITION]);
    signal(Signal::CONT);
    eventually("the objects that were left over are gone", async || {
        let left = archives.list(&ListParams::default()).await.ok()?.items;
        let mut uids = left.iter().filter_map(ResourceExt::uid);
        let is_earlier = |uid: String| found.iter().any(|archive| archive.uid().as_ref() == Some(&uid));
        (!uids.any(is_earlier)).then_some(())
    })
    .await;
    assert!(first.join("precious").exists() && second.join("precious").exists());
}

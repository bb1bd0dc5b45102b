//! Statically provisioned volumes, which Bindery did not create. No claim gets their directories, and no cleanup removes
//! them.

use std::net::IpAddr;

#[cfg(feature = "failpoints")]
use bindery::failpoints::Point;
use bindery::model::directory::NfsVersion;
use serde_json::{Value, json};

use crate::layouts::DENIED;
use crate::server_aliases::AliasedServer;
use crate::support::nfs::free_address;
use crate::support::scene::{annotation, volume_name};
use crate::support::wait::eventually;

fn deleting() -> Value {
    json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}", "onDelete": "delete", "existingDirectory": "adopt"})
}

/// Returns an unbound volume with this source.
fn static_volume(name: &str, source: &Value) -> Value {
    let mut volume = json!({
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteMany"], "capacity": {"storage": "1Gi"}, "storageClassName": ""},
    });
    json_patch::merge(&mut volume["spec"], source);
    volume
}

/// Builds the source of a volume from four arguments: the server, its other address, an address without a server, and
/// the path of the directory.
type Source = fn(IpAddr, IpAddr, IpAddr, &str) -> Value;

fn in_tree(server: impl ToString, path: &str) -> Value {
    json!({"nfs": {"server": server.to_string(), "path": path}})
}

fn csi(server: impl ToString, share: &str, sub_dir: &str) -> Value {
    let attributes = json!({"server": server.to_string(), "share": share, "subDir": sub_dir});
    json!({"csi": {"driver": "nfs.csi.k8s.io", "volumeHandle": "static", "volumeAttributes": attributes}})
}

#[tokio::test]
async fn cleanup_keeps_a_directory_that_a_static_volume_uses() {
    let two = AliasedServer::with(NfsVersion::V4, deleting()).await;
    let server = two.server.address();
    let dead = free_address();
    let all: [(&str, Source, &str); 5] = [
        (
            "same",
            |server, _, _, path| in_tree(server, &format!("/export/{path}/")),
            " uses it too",
        ),
        (
            "inside",
            |server, _, _, path| in_tree(format!("[::ffff:{server}]"), &format!("/export/{path}/in")),
            "contains it or is inside it",
        ),
        ("csi", |server, _, _, path| csi(server, "/export", path), " uses it too"),
        (
            "alias",
            |_, alias, _, path| csi(alias, "/", &format!("export/{path}")),
            " uses it or a directory inside it, ",
        ),
        (
            "dead",
            |_, _, dead, path| in_tree(dead, &format!("/vol/{path}")),
            " may use it or a directory inside it: ",
        ),
    ];
    for (name, source, says) in all {
        let (_, volume) = two.scene.bound(two.scene.claim(name)).await;
        let directory = two.place(annotation(&volume, "sub-dir").unwrap());
        std::fs::write(directory.join("precious"), "").unwrap();
        let other = format!("static-{name}-{}", two.scene.name);
        let source = source(server, two.alias(), dead, annotation(&volume, "sub-dir").unwrap());
        two.scene.volumes_create(static_volume(&other, &source)).await;
        two.scene.delete(name).await;
        two.scene.until_gone(&volume).await;
        assert!(directory.join("precious").exists(), "{name}");
        let message = two.scene.event(volume_name(&volume), "DirectoryRetained").await;
        assert!(
            message.contains(&format!("volume {other}, which Bindery did not create,")),
            "{message}"
        );
        assert!(message.contains(says), "{message}");
    }
    two.bindery.unregister().await;
}

#[tokio::test]
async fn static_volumes_of_the_share_or_of_other_directories_block_nothing() {
    let two = AliasedServer::with(NfsVersion::V4, deleting()).await;
    let namespace = &two.scene.name;
    std::fs::create_dir_all(two.place("elsewhere/data")).unwrap();
    for (name, source) in [
        ("share", in_tree(two.server.address(), "/export")),
        ("above", in_tree(two.server.address(), &format!("/export/{namespace}"))),
        ("root", csi(two.server.address(), "/", "")),
        // Another directory whose path ends with the same name. It exists.
        ("namesake", in_tree(two.alias(), "/export/elsewhere/data")),
        // A missing directory whose path ends with the same name.
        ("missing", in_tree(two.alias(), "/export/missing/data")),
    ] {
        two.scene
            .volumes_create(static_volume(&format!("static-{name}-{namespace}"), &source))
            .await;
    }
    let (_, volume) = two.scene.bound(two.scene.claim("data")).await;
    let directory = two.place(annotation(&volume, "sub-dir").unwrap());
    std::fs::write(directory.join("file"), "").unwrap();
    two.scene.delete("data").await;
    two.scene.until_gone(&volume).await;
    eventually("the directory is gone", async || (!directory.exists()).then_some(())).await;
    two.bindery.unregister().await;
}

#[tokio::test]
async fn a_claim_for_the_directory_of_a_static_volume_is_refused() {
    let two = AliasedServer::with(NfsVersion::V4, deleting()).await;
    let other = format!("static-{}", two.scene.name);
    let path = format!("/export/{}/data/inner", two.scene.name);
    two.scene
        .volumes_create(static_volume(&other, &in_tree(two.server.address(), &path)))
        .await;
    let refused = two.scene.refused(two.scene.claim("data")).await;
    let sentence = format!(
        "{DENIED}directory {}/data of share {}:/export overlaps with that of volume {other}, which Bindery did not create; \
         choose another directory for this claim",
        two.scene.name,
        two.server.address()
    );
    assert_eq!(refused, sentence);
    two.bindery.unregister().await;
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_claim_for_the_directory_of_a_static_volume_is_refused_before_a_volume_is_created() {
    let mut two = AliasedServer::with(NfsVersion::V4, deleting()).await;
    let path = format!("/export/{}/data", two.scene.name);
    let other = static_volume(
        &format!("static-{}", two.scene.name),
        &in_tree(two.server.address(), &path),
    );
    two.scene.volumes_create(other).await;
    two.bindery.kill();
    two.bindery.run_until_crash(Point::VolumeCreated).await;
    two.scene.refused(two.scene.claim("data")).await;
    two.bindery.unregister().await;
}

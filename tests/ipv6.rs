//! NFS servers with an IPv6 address, in every notation that a class, a flag or a volume may use.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::support::bindery::Bindery;
use crate::support::ipv6::Ipv6Address;
use crate::support::mount::Mount;
use crate::support::nfs::Ganesha;
use crate::support::scene::{Scene, annotation, from, volume_name};
use crate::support::wait::eventually;

/// Returns the fields of a class with this server.
fn class(server: &str) -> Value {
    json!({"parameters": {"server": server, "share": "/export", "onDelete": "delete"}})
}

fn server_of(volume: &PersistentVolume) -> &str {
    &volume.spec.as_ref().unwrap().nfs.as_ref().unwrap().server
}

#[tokio::test]
async fn ipv6_servers_are_accepted_with_and_without_brackets_and_recorded_without() {
    let address = Ipv6Address::new();
    let server = Ganesha::start_at(address.ip());
    let bare = address.ip().to_string();
    for written in [bare.clone(), format!("[{bare}]"), bare.to_uppercase()] {
        let scene = Scene::with_class(class(&written)).await;
        let (_, volume) = scene.bound(scene.claim("data")).await;
        // The kubelet adds the brackets.
        assert_eq!(server_of(&volume), bare, "{written}");
        let directory = server.export_dir().join(annotation(&volume, "sub-dir").unwrap());
        assert!(directory.is_dir(), "{written}");
        scene.delete("data").await;
        scene.until_gone(&volume).await;
        assert!(!directory.exists(), "{written}");
    }
}

#[tokio::test]
async fn a_link_local_server_address_is_refused_with_advice() {
    for written in ["fe80::1", "[fe80::1%eth0]"] {
        let scene = Scene::with_class(class(written)).await;
        let refused = scene.refused(scene.claim("data")).await;
        assert!(
            refused.contains("is a link-local address") && refused.contains("use a global or unique local"),
            "{refused}"
        );
        scene.assert_nothing_made().await;
    }
}

#[tokio::test]
async fn a_mounted_share_of_an_ipv6_server_is_found_by_any_spelling_of_its_address() {
    let export = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(export.path(), Some(65532), Some(65532)).unwrap();
    let at = tempfile::tempdir().unwrap();
    fs::set_permissions(at.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mount = Mount::bind(export.path(), at.path());
    // No NFS server listens at this address, so Bindery must have used the mount.
    let flag = format!("--mounted=[fd00:0::5]:/export={}", mount.path().display());
    let bindery = Bindery::start(&[&flag]).await;
    let scene = Scene::of_with(&bindery.provisioner, class("fd00::5")).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    assert_eq!(server_of(&volume), "fd00::5");
    assert!(export.path().join(annotation(&volume, "sub-dir").unwrap()).is_dir());
    bindery.unregister().await;
}

#[tokio::test]
async fn a_legacy_volume_with_a_bracketed_ipv6_server_is_taken_over_and_cleaned_up() {
    let address = Ipv6Address::new();
    let server = Ganesha::start_at(address.ip());
    let bare = address.ip().to_string();
    let scene = Scene::of_with("cluster.local/six-nfs-subdir-external-provisioner", class(&bare)).await;
    let claim = scene.create(scene.claim("data")).await.unwrap();
    let uid = claim.metadata.uid.unwrap();
    let directory = server.export_dir().join("old");
    fs::create_dir(&directory).unwrap();
    let volume: PersistentVolume = from(json!({
        "metadata": {
            "name": format!("pvc-{uid}"),
            "annotations": {"pv.kubernetes.io/provisioned-by": scene.provisioner},
        },
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "1Gi"},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": scene.name, "name": "data", "uid": uid,
            },
            "nfs": {"server": format!("[{bare}]"), "path": "/export/old"},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": scene.name,
        },
    }));
    scene.volumes().create(&PostParams::default(), &volume).await.unwrap();
    let bindery = Bindery::start(&[&format!("--provisioner-name={}", scene.provisioner)]).await;
    eventually("the volume is taken over and bound", async || {
        let volume = scene.volumes().get(volume_name(&volume)).await.unwrap();
        let bound = volume.status.as_ref()?.phase.as_deref() == Some("Bound");
        (bound && annotation(&volume, "instance").is_some()).then_some(())
    })
    .await;
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    assert!(!directory.exists());
    bindery.unregister().await;
}

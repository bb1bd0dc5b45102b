//! Volumes that a CSI driver mounts. The driver's node part is played: see `tests/bed/csi-driver`.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::mounts::assert_statistics;
use crate::node::{LATE, Pod};
use crate::support::bed::Bed;
use crate::support::csi::install;
use crate::support::scene::{Scene, annotation, directory};
use crate::support::wait::eventually_within;

/// Creates a scene whose class has volumes of csi-driver-nfs, with these additional fields.
async fn csi_scene(fields: Value) -> Scene {
    install("nfs.csi.k8s.io").await;
    let mut class = json!({"parameters": {"volumeSource": "csi"}});
    json_patch::merge(&mut class, &fields);
    Scene::with_class(class).await
}

/// Returns the fields of a pod whose user has a group of the same number, with this `fsGroup`.
fn user(uid: u32, fs_group: Option<u32>) -> Value {
    json!({"securityContext": {"runAsUser": uid, "runAsGroup": uid, "runAsNonRoot": true, "fsGroup": fs_group}})
}

#[tokio::test]
async fn pods_write_into_an_nfs_volume_and_a_csi_volume_beside_each_other() {
    let options = json!({"mountOptions": ["nfsvers=4.1", "noatime"]});
    let (nfs, csi) = (Scene::with_class(options.clone()).await, csi_scene(options).await);
    let mut pods = Vec::new();
    for scene in [&nfs, &csi] {
        let (_, volume) = scene.bound(scene.claim("data")).await;
        let is_csi = volume.spec.as_ref().unwrap().csi.is_some();
        assert_eq!(is_csi, scene.name == csi.name);
        let pod = Pod::start(scene, "writer", "data", user(1000, None)).await;
        pod.run("echo hello >/data/greeting");
        let written = std::fs::read_to_string(directory(&volume).join("greeting")).unwrap();
        assert_eq!(written, "hello\n");
        let mounted = pod.run("grep ' /data ' /proc/mounts");
        let source = format!(
            "{}:{}/{} /data nfs4 rw,noatime,vers=4.1,",
            Bed::get().server,
            Bed::get().share,
            annotation(&volume, "sub-dir").unwrap()
        );
        assert!(mounted.starts_with(&source), "{mounted}");
        pods.push((scene, volume, pod));
    }
    for (scene, volume, pod) in pods {
        pod.end().await;
        scene.delete("data").await;
        scene.until_gone(&volume).await;
        let kept = std::fs::read_to_string(scene.only_archive().join("greeting"));
        assert_eq!(kept.unwrap(), "hello\n");
    }
}

#[tokio::test]
async fn fs_group_gives_every_file_of_a_csi_volume_its_group() {
    let scene = csi_scene(json!({"parameters": {"mountPermissions": "0770"}})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let place = directory(&volume);
    std::fs::write(place.join("old"), "old").unwrap();
    std::fs::set_permissions(place.join("old"), PermissionsExt::from_mode(0o600)).unwrap();
    let pod = Pod::start(&scene, "user", "data", user(1000, Some(3000))).await;
    assert_eq!(
        pod.run("cat /data/old; echo; touch /data/new; stat -c '%u:%g' /data/new"),
        "old\n1000:3000"
    );
    for (name, owner, group, mode) in [
        ("", 0, 3000, 0o2770),
        ("old", 0, 3000, 0o660),
        ("new", 1000, 3000, 0o644),
    ] {
        let found = place.join(name).metadata().unwrap();
        assert_eq!(
            (found.uid(), found.gid(), found.mode() & 0o7777),
            (owner, group, mode),
            "{name:?}"
        );
    }
    pod.end().await;
    // The other group does not keep Bindery from the directory.
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    assert!(!place.exists());
}

#[tokio::test]
async fn every_user_is_in_the_group_of_the_class_of_a_csi_volume() {
    let parameters = json!({"mountPermissions": "2770", "gid": "2000"});
    let scene = csi_scene(json!({"parameters": parameters})).await;
    scene.bound(scene.claim("data")).await;
    let pod = Pod::start(&scene, "user", "data", user(1001, None)).await;
    assert_eq!(
        pod.run("id -G; touch /data/file; stat -c '%u:%g' /data/file"),
        "1001 2000\n1001:2000"
    );
    pod.end().await;
}

#[tokio::test]
async fn the_kubelet_reports_the_size_of_a_csi_volume_and_leaves_its_expansion_to_bindery() {
    let scene = csi_scene(json!({"allowVolumeExpansion": true})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let pod = Pod::start(&scene, "user", "data", user(1000, None)).await;
    assert_statistics(&scene, &volume).await;
    for size in ["2Gi", "3Gi", "4Gi"] {
        let larger = Patch::Merge(json!({"spec": {"resources": {"requests": {"storage": size}}}}));
        let patched = scene.claims().patch("data", &PatchParams::default(), &larger).await;
        patched.unwrap();
        eventually_within(LATE, &format!("the claim has {size}"), async || {
            let claim = scene.claims().get("data").await.unwrap();
            (in_status(&claim)? == size).then_some(())
        })
        .await;
    }
    pod.run("touch /data/file");
    let status = scene.claims().get("data").await.unwrap().status.unwrap();
    assert_eq!(status.conditions.unwrap_or_default(), vec![]);
    pod.end().await;
}

/// Returns the size of a claim in its status.
fn in_status(claim: &PersistentVolumeClaim) -> Option<&str> {
    let capacity = claim.status.as_ref()?.capacity.as_ref()?;
    capacity.get("storage").map(|size| &*size.0)
}

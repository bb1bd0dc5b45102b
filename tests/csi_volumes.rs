//! Volumes that a CSI driver mounts. Only the driver's object exists here, so no pod mounts them.

use k8s_openapi::api::core::v1::{CSIPersistentVolumeSource, PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::expansion::{request_size, until_size};
use crate::explain::explained;
use crate::layouts::DENIED;
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::csi::install;
use crate::support::scene::{Scene, annotation, directory, from, volume_name};

/// Creates a scene whose class has these parameters.
async fn scene(parameters: Value) -> Scene {
    Scene::with_class(json!({"parameters": parameters, "allowVolumeExpansion": true})).await
}

fn csi(volume: &PersistentVolume) -> &CSIPersistentVolumeSource {
    let spec = volume.spec.as_ref().unwrap();
    assert_eq!(spec.nfs, None);
    spec.csi.as_ref().unwrap()
}

#[tokio::test]
async fn a_claim_gets_a_volume_of_csi_driver_nfs_and_its_directory_is_archived() {
    install("nfs.csi.k8s.io").await;
    let scene = scene(json!({"volumeSource": "csi"})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let (server, share) = (Bed::get().server.as_str(), Bed::get().share.as_str());
    let sub_dir = annotation(&volume, "sub-dir").unwrap();
    let source = csi(&volume);
    assert_eq!(source.driver, "nfs.csi.k8s.io");
    assert_eq!(
        source.volume_handle,
        format!(
            "{server}#{}#{sub_dir}#{}#archive",
            share.trim_matches('/'),
            volume_name(&volume)
        )
    );
    assert_eq!(
        json!(source.volume_attributes),
        json!({
            "server": server, "share": share, "subdir": sub_dir,
            "bindery.dev/server": server, "bindery.dev/path": format!("{share}/{sub_dir}"),
        })
    );
    std::fs::write(directory(&volume).join("file"), "content").unwrap();
    request_size(&scene, "data", "2Gi").await.unwrap();
    until_size(&scene, "data", "2Gi").await;
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    let kept = std::fs::read_to_string(scene.only_archive().join("file"));
    assert_eq!(kept.unwrap(), "content");
}

#[tokio::test]
async fn a_namespace_chooses_the_source_if_the_class_allows_it() {
    install("nfs.csi.k8s.io").await;
    let scene = scene(json!({"namespaceOverrides": "volumeSource"})).await;
    let (_, volume) = scene.bound(scene.claim("nfs")).await;
    assert!(volume.spec.unwrap().nfs.is_some());
    let other = format!("{}-csi", scene.name);
    scene
        .namespace(&other, json!({"bindery.dev/volume-source": "csi"}))
        .await;
    let mut claim = scene.claim("csi");
    claim["metadata"]["namespace"] = json!(other);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(scene.client.clone(), &other);
    let created = claims.create(&PostParams::default(), &from(claim)).await.unwrap();
    let volume = scene
        .volumes()
        .get(&created.spec.unwrap().volume_name.unwrap())
        .await
        .unwrap();
    assert_eq!(csi(&volume).driver, "nfs.csi.k8s.io");
}

/// No other test uses this driver, so this one can begin without it.
#[tokio::test]
async fn a_native_cephfs_volume_has_the_path_in_the_file_system_and_the_key_of_its_namespace() {
    let scene = Scene::with_class(json!({"parameters": {
        "volumeSource": "csi", "csiDriver": "cephfs.csi.ceph.com",
        "csiAttribute/clusterID": "c1", "csiAttribute/fsName": "cephfs",
        "csiAttribute/rootPath": "/volumes/k8s/${directory}",
        "csi.storage.k8s.io/node-stage-secret-name": "cephfs-user",
        "csi.storage.k8s.io/node-stage-secret-namespace": "${pvc.namespace}",
    }}))
    .await;
    let missing = format!(
        "StorageClass {}: the cluster has no CSIDriver cephfs.csi.ceph.com, so no node can mount the volume; an administrator \
         must install ceph-csi with its driver for CephFS",
        scene.name
    );
    let warned = scene.event(&scene.name, "ClassHasMistakes").await;
    assert_eq!(warned, format!("{missing}; until then its claims are refused"));
    assert_eq!(scene.refused(scene.claim("data")).await, format!("{DENIED}{missing}"));
    scene.assert_nothing_made().await;

    install("cephfs.csi.ceph.com").await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let source = csi(&volume);
    let sub_dir = annotation(&volume, "sub-dir").unwrap();
    let attributes = source.volume_attributes.as_ref().unwrap();
    assert_eq!(attributes["rootPath"], format!("/volumes/k8s/{sub_dir}"));
    assert_eq!(
        (&*attributes["staticVolume"], &*attributes["fsName"]),
        ("true", "cephfs")
    );
    assert_eq!(
        json!(source.node_stage_secret_ref),
        json!({"name": "cephfs-user", "namespace": scene.name})
    );
    assert_eq!(source.volume_handle, volume_name(&volume));
    let (_, explained) = explained(&["-n", &scene.name, "data"], "");
    let row = explained.iter().find(|row| row.starts_with("volumeSource")).unwrap();
    assert!(
        row.contains("csi, cephfs.csi.ceph.com") && row.contains("volume spec.csi"),
        "{row}"
    );
    scene.delete("data").await;
    scene.until_gone(&volume).await;
}

#[tokio::test]
async fn the_attributes_protect_the_directory_against_changed_annotations() {
    install("nfs.csi.k8s.io").await;
    let scene = scene(json!({"volumeSource": "csi"})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let (_, other) = scene.bound(scene.claim("other")).await;
    std::fs::write(directory(&other).join("file"), "content").unwrap();
    let wrong = json!({"metadata": {"annotations": {"bindery.dev/sub-dir": annotation(&other, "sub-dir")}}});
    scene.patch_volume(volume_name(&volume), wrong).await;
    scene.delete("data").await;
    let why = scene.event(volume_name(&volume), "CleanupFailed").await;
    let sub_dir = annotation(&other, "sub-dir").unwrap();
    assert!(why.contains(&format!("{sub_dir}, spec.csi says ")), "{why}");
    assert_eq!(
        std::fs::read_to_string(directory(&other).join("file")).unwrap(),
        "content"
    );
    let right = json!({"metadata": {"annotations": {"bindery.dev/sub-dir": annotation(&volume, "sub-dir")}}});
    scene.patch_volume(volume_name(&volume), right).await;
    scene.until_gone(&volume).await;
}

#[tokio::test]
async fn an_event_says_what_happened_to_a_volume_that_was_deleted_while_bindery_did_not_run() {
    install("nfs.csi.k8s.io").await;
    let mut bindery = Bindery::start(&[]).await;
    for source in ["nfs", "csi"] {
        let class = json!({"parameters": {"volumeSource": source}});
        let scene = Scene::of_with(&bindery.provisioner, class).await;
        let (_, volume) = scene.bound(scene.claim("data")).await;
        bindery.kill();
        scene.delete("data").await;
        scene.until_released(&volume).await;
        scene.delete_volume(&volume).await;
        bindery.run().await;
        let note = scene.event(volume_name(&volume), "DirectoryArchived").await;
        assert!(note.contains(" is archived as archived-"), "{source}: {note}");
        scene.until_gone(&volume).await;
    }
    bindery.unregister().await;
}

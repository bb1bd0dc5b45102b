//! Volumes that a CSI driver mounts.

use k8s_openapi::api::core::v1::CSIPersistentVolumeSource;

use super::*;
use crate::model::choices::CsiDriver;
use crate::model::volume::{Origin, Volume};
use crate::policy::csi::drivers;
use crate::policy::fixtures::installation;

/// The source of the volume of a class with these parameters.
fn source(parameters: &Value) -> CSIPersistentVolumeSource {
    let new = provisioned(|world| world.parameters(parameters));
    let spec = new.build(Origin::New, &installation()).spec.unwrap();
    assert_eq!(spec.nfs, None);
    spec.csi.unwrap()
}

fn ceph() -> Value {
    json!({
        "volumeSource": "csi", "csiDriver": "cephfs.csi.ceph.com", "subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}",
        "csiAttribute/clusterID": "c1", "csiAttribute/fsName": "cephfs",
        "csi.storage.k8s.io/node-stage-secret-name": "cephfs-${pvc.name}",
        "csi.storage.k8s.io/node-stage-secret-namespace": "${pvc.namespace}",
    })
}

#[test]
fn csi_alone_means_csi_driver_nfs_with_server_share_and_directory() {
    let csi = source(&json!({"volumeSource": "csi"}));
    let directory = format!("team-a-data-{VOLUME}");
    assert_eq!(csi.driver, "nfs.csi.k8s.io");
    assert_eq!(csi.volume_handle, format!("nas1#export#{directory}#{VOLUME}#archive"));
    assert_eq!(
        json!(csi.volume_attributes),
        json!({
            "server": "nas1", "share": "/export", "subdir": directory,
            "bindery.dev/server": "nas1", "bindery.dev/path": format!("/export/{directory}"),
        })
    );
    assert_eq!((csi.node_stage_secret_ref, csi.node_publish_secret_ref), (None, None));
}

#[test]
fn a_class_replaces_and_adds_attributes() {
    let csi = source(&json!({
        "volumeSource": "csi", "csiAttribute/Server": "10.0.0.5", "csiAttribute/mountOptions": "nfsvers=4.1",
        "csiAttribute/subDir": "volumes/${directory}",
    }));
    assert_eq!(
        json!(csi.volume_attributes),
        json!({
            "Server": "10.0.0.5", "share": "/export", "subDir": format!("volumes/team-a-data-{VOLUME}"),
            "mountOptions": "nfsvers=4.1", "bindery.dev/server": "nas1",
            "bindery.dev/path": format!("/export/team-a-data-{VOLUME}"),
        })
    );
}

#[test]
fn cephfs_gets_the_path_in_the_file_system_and_the_secret_of_the_class() {
    let csi = source(&ceph());
    assert_eq!(csi.driver, "cephfs.csi.ceph.com");
    assert!(csi.volume_handle.starts_with("pvc-"), "{}", csi.volume_handle);
    assert_eq!(
        json!(csi.volume_attributes),
        json!({
            "staticVolume": "true", "rootPath": "/export/team-a/data", "clusterID": "c1", "fsName": "cephfs",
            "bindery.dev/server": "nas1", "bindery.dev/path": "/export/team-a/data",
        })
    );
    assert_eq!(
        json!(csi.node_stage_secret_ref),
        json!({"name": "cephfs-data", "namespace": "team-a"})
    );
    let mut elsewhere = ceph();
    elsewhere["csiAttribute/rootPath"] = json!("/volumes/k8s/${directory}");
    elsewhere["share"] = json!("/");
    let attributes = source(&elsewhere).volume_attributes.unwrap();
    assert_eq!(attributes["rootPath"], "/volumes/k8s/team-a/data");
    elsewhere.as_object_mut().unwrap().remove("csiAttribute/rootPath");
    assert_eq!(
        source(&elsewhere).volume_attributes.unwrap()["rootPath"],
        "/team-a/data"
    );
}

#[test]
fn a_claim_is_refused_if_its_driver_is_not_installed_or_lacks_parameters() {
    let denied = |change: fn(&mut World)| match decision(change) {
        Decision::Deny(why) => why,
        other => panic!("{other:?}"),
    };
    let why = denied(|world| {
        world.csi_drivers = vec![CsiDriver::Nfs];
        world.parameters(&ceph());
    });
    assert_eq!(
        why,
        "StorageClass fast: the cluster has no CSIDriver cephfs.csi.ceph.com, so no node can mount the volume; an \
         administrator must install ceph-csi with its driver for CephFS"
    );
    let why = denied(|world| {
        world.csi_drivers = Vec::new();
        world.parameters(&json!({"volumeSource": "csi"}));
    });
    assert_eq!(
        why,
        "StorageClass fast: the cluster has no CSIDriver nfs.csi.k8s.io, so no node can mount the volume; an \
         administrator must install csi-driver-nfs"
    );
    let why = denied(|world| {
        world.parameters(&json!({"volumeSource": "csi", "namespaceOverrides": "csiDriver"}));
        world.namespace = json!({"bindery.dev/csi-driver": "cephfs.csi.ceph.com"});
    });
    assert_eq!(
        why,
        "StorageClass fast: cephfs.csi.ceph.com also needs csiAttribute/clusterID, csiAttribute/fsName, \
         csi.storage.k8s.io/node-stage-secret-name, csi.storage.k8s.io/node-stage-secret-namespace"
    );
    let no_csi = provisioned(|world| world.csi_drivers = Vec::new());
    assert_eq!(no_csi.source.field(), "spec.nfs");
}

#[test]
fn a_volume_with_another_source_is_not_used_again() {
    let with_nfs = provisioned(|_| ());
    let stored = Volume::read(&with_nfs.build(Origin::New, &installation()));
    let with_csi = provisioned(|world| world.parameters(&json!({"volumeSource": "csi"})));
    assert!(with_nfs.is_at(&stored));
    assert!(!with_csi.is_at(&stored), "the source of a volume cannot be changed");
    let stored = Volume::read(&with_csi.build(Origin::New, &installation()));
    assert!(with_csi.is_at(&stored));
    assert!(!with_nfs.is_at(&stored));
}

#[test]
fn only_the_drivers_that_a_class_may_need_are_looked_up() {
    let drivers = |parameters: Value| {
        let class = json!({"metadata": {"name": "a"}, "provisioner": "bindery.dev/nfs", "parameters": parameters});
        drivers(&serde_json::from_value(class).unwrap()).to_vec()
    };
    assert_eq!(drivers(json!({})), []);
    assert_eq!(drivers(json!({"volumeSource": "nfs"})), []);
    assert_eq!(drivers(json!({"volumeSource": "csi"})), [CsiDriver::Nfs]);
    assert_eq!(drivers(ceph()), [CsiDriver::CephFs]);
    assert_eq!(
        drivers(json!({"claimOverrides": "onDelete, volumeSource"})),
        [CsiDriver::Nfs]
    );
    let both = json!({"volumeSource": "csi", "namespaceOverrides": "csiDriver"});
    assert_eq!(drivers(both), CsiDriver::ALL);
}

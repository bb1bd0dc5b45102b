//! Takeover of volumes of csi-driver-nfs. Each case shows only its difference from a volume that is taken over.

use serde_json::{Value, json};

use super::*;
use crate::model::volume::{Installation, Phase, Volume};

fn volume() -> Value {
    json!({
        "metadata": {
            "name": "pvc-1",
            "annotations": {
                "pv.kubernetes.io/provisioned-by": "nfs.csi.k8s.io",
                "volume.kubernetes.io/provisioner-deletion-secret-name": "",
                "bindery.dev/take-over": "true",
            },
            "finalizers": ["external-provisioner.volume.kubernetes.io/finalizer", "kubernetes.io/pv-protection"],
        },
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "1Gi"},
            "claimRef": {"namespace": "team-a", "name": "data", "uid": "1"},
            "csi": {
                "driver": "nfs.csi.k8s.io",
                "volumeHandle": "nas1#export/volumes#team-a/data#pvc-1#",
                "volumeAttributes": {
                    "server": "nas1", "share": "/export/volumes", "subdir": "team-a/data", "onDelete": "Delete",
                    "csi.storage.k8s.io/pv/name": "pvc-1", "storage.kubernetes.io/csiProvisionerIdentity": "1-nfs.csi.k8s.io",
                },
            },
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "nfs-csi",
        },
        "status": {"phase": "Bound"},
    })
}

fn read(change: impl FnOnce(&mut Value), all: bool) -> Option<DriverVolume> {
    let mut volume = volume();
    change(&mut volume);
    DriverVolume::read(&serde_json::from_value(volume).unwrap(), all)
}

fn taken(change: impl FnOnce(&mut Value)) -> TakenOver {
    read(change, false)
        .expect("a volume of the driver")
        .take_over()
        .expect("taken over")
}

fn refused(change: impl FnOnce(&mut Value)) -> String {
    let read = read(change, false).expect("a volume of the driver");
    read.take_over().expect_err("not taken over")
}

fn attributes(volume: &mut Value) -> &mut Value {
    &mut volume["spec"]["csi"]["volumeAttributes"]
}

#[test]
fn directory_and_policy_are_those_of_the_driver() {
    let taken = taken(|_| ());
    assert_eq!(taken.share.to_string(), "nas1:/export/volumes");
    assert_eq!(taken.directory.as_str(), "team-a/data");
    assert_eq!(taken.on_delete, OnDelete::Delete);
}

#[test]
fn the_volume_that_was_taken_over_is_a_volume_of_this_installation() {
    let installation = Installation {
        provisioner: "bindery.dev/nfs".to_owned(),
        instance: "blue".to_owned(),
    };
    let mut patched = volume();
    json_patch::merge(&mut patched, &taken(|_| ()).patch(&installation));
    assert_eq!(
        patched["metadata"]["finalizers"],
        json!(["kubernetes.io/pv-protection", "bindery.dev/cleanup"]),
        "without the controller of the driver nobody removes its finalizer"
    );
    let patched: PersistentVolume = serde_json::from_value(patched).unwrap();
    assert_eq!(DriverVolume::read(&patched, true), None, "it is not taken over again");
    let read = Volume::read(&patched);
    assert_eq!(
        (read.maker, read.phase, read.ready),
        (Some(installation), Phase::Bound, true)
    );
    let record = read.record.unwrap();
    assert_eq!(record.share.join(&record.directory), "/export/volumes/team-a/data");
    assert_eq!(record.source.driver(), Some("nfs.csi.k8s.io"));
}

#[test]
fn the_attributes_protect_the_directory_of_a_volume_that_was_taken_over() {
    let installation = Installation {
        provisioner: "bindery.dev/nfs".to_owned(),
        instance: "blue".to_owned(),
    };
    let mut patched = volume();
    json_patch::merge(&mut patched, &taken(|_| ()).patch(&installation));
    patched["metadata"]["annotations"]["bindery.dev/sub-dir"] = json!("team-b/data");
    let read = Volume::read(&serde_json::from_value(patched).unwrap());
    assert_eq!(
        read.record.unwrap_err(),
        "annotations bindery.dev/share and bindery.dev/sub-dir say /export/volumes/team-b/data, spec.csi says \
         /export/volumes/team-a/data"
    );
}

#[test]
fn the_policy_is_that_of_the_annotation_or_the_id_or_the_class_or_else_archive() {
    let with_id = |id: &str| taken(|volume| volume["spec"]["csi"]["volumeHandle"] = json!(id)).on_delete;
    assert_eq!(with_id("nas1#export#data#pvc-1#Retain"), OnDelete::Retain);
    assert_eq!(with_id("nas1#export#data#pvc-1#archive"), OnDelete::Archive);
    assert_eq!(with_id("nas1#export#data#pvc-1#"), OnDelete::Delete, "of the class");
    let without = |id: &str| {
        taken(|volume| {
            volume["spec"]["csi"]["volumeHandle"] = json!(id);
            attributes(volume).as_object_mut().unwrap().remove("onDelete");
        })
        .on_delete
    };
    assert_eq!(
        without("nas1#export#data#pvc-1#"),
        OnDelete::Archive,
        "the driver's default is not known"
    );
    assert_eq!(
        without("nas1/export/pvc-1"),
        OnDelete::Archive,
        "an id of an old driver"
    );
    let annotated = taken(|volume| volume["metadata"]["annotations"]["bindery.dev/on-delete"] = json!("retain"));
    assert_eq!(annotated.on_delete, OnDelete::Retain);
}

#[test]
fn only_volumes_that_an_administrator_names_are_taken_over_unless_all_are() {
    let unnamed = |volume: &mut Value| volume["metadata"]["annotations"]["bindery.dev/take-over"] = json!("no");
    assert_eq!(read(unnamed, false), None);
    assert!(read(unnamed, true).is_some());
    let changes: [fn(&mut Value); 5] = [
        |volume| volume["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"] = json!("other"),
        |volume| volume["spec"]["csi"]["driver"] = json!("other"),
        |volume| volume["metadata"]["annotations"]["bindery.dev/instance"] = json!("green"),
        |volume| volume["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
        |volume| volume["spec"]["claimRef"]["uid"] = json!(null),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        assert_eq!(read(change, true), None, "case {at}");
    }
}

#[test]
fn a_volume_whose_directory_is_not_clear_is_not_taken_over() {
    let why = refused(|volume| attributes(volume)["subdir"] = json!(""));
    assert_eq!(
        why,
        "it is the whole share, and Bindery manages only directories below a share"
    );
    let why = refused(|volume| attributes(volume)["subdir"] = json!("${pvc.metadata.name}"));
    assert_eq!(
        why,
        "its attribute subDir \"${pvc.metadata.name}\" has a token whose value is not known"
    );
    let why = refused(|volume| drop(attributes(volume).as_object_mut().unwrap().remove("server")));
    assert_eq!(why, "its attributes do not name a server and a share");
    assert!(refused(|volume| attributes(volume)["subdir"] = json!("../other")).contains("\"..\""));
    let known = taken(|volume| {
        attributes(volume)["subdir"] = json!("${pvc.metadata.namespace}/x");
        attributes(volume)["csi.storage.k8s.io/pvc/namespace"] = json!("team-a");
    });
    assert_eq!(known.directory.as_str(), "team-a/x");
}

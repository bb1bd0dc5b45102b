//! A volume that Bindery builds contains all annotations, and can be read again.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::json;

use super::*;
use crate::model::attributes::Attributes;
use crate::model::choices::{ExistingDirectory, FreeSpace, OnStorageFailure, Provision, SizeLimit};
use crate::model::claim::Bytes;
use crate::model::directory::NfsVersion;
use crate::model::labels::Labels;
use crate::model::names::volume_annotation;
use crate::model::on_delete::OnDelete;
use crate::model::reclaim::Reclaim;
use crate::model::retention::Retention;
use crate::model::source::Source;
use crate::model::topologies::Topologies;
use crate::model::volume_source::VolumeSource;

fn new() -> NewVolume {
    NewVolume {
        name: "pvc-1".to_owned(),
        claim: ("team-a".to_owned(), "data".to_owned()),
        namespace_uid: Some("n-1".to_owned()),
        claim_uid: None,
        class: "fast".to_owned(),
        access_modes: vec!["ReadWriteMany".to_owned()],
        capacity: Bytes::read(&Quantity("1Gi".to_owned())).unwrap(),
        share: Share::parse("nas1", "/export").unwrap().over(NfsVersion::V3),
        directory: Directory::parse("team-a/data").unwrap(),
        attributes: Attributes {
            mode: Some(0o2775),
            uid: Some(1000),
            gid: None,
        },
        group_range: None,
        restored: None,
        existing: ExistingDirectory::Deny,
        chosen_by: Source::Class,
        on_delete: OnDelete::Delete,
        retention: Retention::Seconds(30 * 24 * 60 * 60),
        on_failure: OnStorageFailure::Queue,
        provision: Provision::OnCreate,
        free_space: FreeSpace::Ignore,
        size_limit: SizeLimit::Ignore,
        labels: Labels::new(),
        reclaim: Reclaim::Delete,
        source: VolumeSource::Nfs,
        mount_options: vec!["hard".to_owned()],
        topologies: Topologies::default(),
        attempt: "a-1".to_owned(),
    }
}

fn installation() -> Installation {
    Installation {
        provisioner: "bindery.dev/nfs".to_owned(),
        instance: "blue".to_owned(),
    }
}

#[test]
fn the_object_records_everything_that_cleanup_needs() {
    let expected = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": "pvc-1",
            "finalizers": ["bindery.dev/cleanup"],
            "labels": {"bindery.dev/area": area(&new().share, &new().directory)},
            "annotations": {
                "bindery.dev/archive-retention": "30d",
                "bindery.dev/attempt": "a-1",
                "bindery.dev/directory": "new",
                "bindery.dev/instance": "blue",
                "bindery.dev/mount-permissions": "2775",
                "bindery.dev/namespace-uid": "n-1",
                "bindery.dev/nfs-version": "3",
                "bindery.dev/on-delete": "delete",
                "bindery.dev/share": "/export",
                "bindery.dev/sub-dir": "team-a/data",
                "bindery.dev/uid": "1000",
                "pv.kubernetes.io/provisioned-by": "bindery.dev/nfs",
            },
        },
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "1Gi"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": "team-a",
                "name": "data",
            },
            "mountOptions": ["hard"],
            "nfs": {"server": "nas1", "path": "/export/team-a/data"},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "fast",
            "volumeMode": "Filesystem",
        },
    });
    assert_eq!(json!(new().build(Origin::New, &installation())), expected);
}

#[test]
fn a_built_volume_is_read_back() {
    let volume = Volume::read(&new().build(Origin::Adopted, &installation()));
    let record = volume.record.unwrap();
    assert_eq!(
        (volume.maker, volume.has_finalizer, volume.capacity),
        (Some(installation()), true, Some(new().capacity))
    );
    assert_eq!((record.share, record.directory), (new().share, new().directory));
    assert_eq!(record.retention, new().retention);
    assert_eq!(
        (record.origin, record.on_delete, record.attributes),
        (Origin::Adopted, OnDelete::Delete, new().attributes)
    );
}

#[test]
fn volumes_that_may_overlap_share_an_area() {
    let at = |path, directory| {
        area(
            &Share::parse("nas1", path).unwrap(),
            &Directory::parse(directory).unwrap(),
        )
    };
    assert_eq!(at("/export", "a/b"), at("/export/", "a"));
    assert_ne!(at("/export", "a"), at("/export", "b"));
    assert_ne!(at("/export", "a"), at("/other", "a"));
}

#[test]
fn annotations_that_contradict_the_volume_source_are_an_error() {
    let read = |key: &str, value: Option<&str>| {
        let mut volume = new().build(Origin::New, &installation());
        let annotations = volume.metadata.annotations.as_mut().unwrap();
        match value {
            Some(value) => drop(annotations.insert(key.to_owned(), value.to_owned())),
            None => drop(annotations.remove(key)),
        }
        Volume::read(&volume).record.unwrap_err()
    };
    assert_eq!(
        read(volume_annotation::SUB_DIR, Some("team-b/data")),
        "annotations bindery.dev/share and bindery.dev/sub-dir say /export/team-b/data, \
         spec.nfs says /export/team-a/data"
    );
    assert_eq!(
        read(volume_annotation::SUB_DIR, Some("../data")),
        "annotation bindery.dev/sub-dir is \"../data\": directory \"../data\" has the segment \"..\", which means the \
        directory above; write the path without it"
    );
    assert_eq!(
        read(volume_annotation::SHARE, None),
        "annotation bindery.dev/share is missing"
    );
    assert_eq!(
        read(volume_annotation::ON_DELETE, Some("destroy")),
        "annotation bindery.dev/on-delete is \"destroy\": allowed are delete, retain or archive"
    );
    assert_eq!(
        read(volume_annotation::NFS_VERSION, Some("2")),
        "annotation bindery.dev/nfs-version is \"2\": allowed are 4 (4.2, else 4.1) or 3; the version that pods use is \
        set in mountOptions"
    );
    assert_eq!(
        read(volume_annotation::ARCHIVE_RETENTION, Some("soon")),
        "annotation bindery.dev/archive-retention is \"soon\": write a duration such as 30d, 12h or 2w, at most \
        36500d, or forever"
    );
    assert_eq!(
        read(volume_annotation::DIRECTORY_ID, Some("7")),
        "annotation bindery.dev/directory-id is \"7\": not of the form major.minor:fileid in hexadecimal"
    );
}

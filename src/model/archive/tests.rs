//! The object of an archive contains all that is known, and what it says is checked when it is read.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::{Value, json};

use super::*;
use crate::model::directory::{ArchiveName, Directory, Share};
use crate::model::identity::Identity;
use crate::model::volume::{Installation, Volume};

fn installation() -> Installation {
    Installation {
        provisioner: "bindery.dev/nfs".to_owned(),
        instance: "blue".to_owned(),
    }
}

fn identity() -> Identity {
    "1.2:3".parse().unwrap()
}

fn volume() -> Volume {
    let volume = json!({
        "metadata": {"name": "pvc-1", "uid": "v-1", "annotations": {
            "pv.kubernetes.io/provisioned-by": "bindery.dev/nfs",
            "bindery.dev/instance": "blue",
            "bindery.dev/share": "/export",
            "bindery.dev/sub-dir": "team-a/data",
            "bindery.dev/directory": "new",
            "bindery.dev/on-delete": "archive",
            "bindery.dev/mount-permissions": "0777",
            "bindery.dev/nfs-version": "3",
            "bindery.dev/share-id": "v3/1.2:1",
        }},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "1Gi"},
            "claimRef": {"namespace": "team-a", "name": "data", "uid": "c-1"},
            "nfs": {"server": "nas1", "path": "/export/team-a/data"},
            "storageClassName": "fast",
        },
    });
    let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
    Volume::read(&volume)
}

fn place(volume: &str, until: Option<Timestamp>) -> Directory {
    let made: Timestamp = "2026-11-28T16:31:15Z".parse().unwrap();
    let tag = Directory::archive_tag("blue", volume);
    Directory::parse("team-a/data")
        .unwrap()
        .archive(made, &tag, Some(50_000), until)
}

fn until() -> Timestamp {
    "2026-12-28T16:31:15Z".parse().unwrap()
}

fn spec() -> ArchiveSpec {
    let volume = volume();
    let home = Home {
        name: "team-a".to_owned(),
        uid: "n-1".to_owned(),
    };
    let place = place("pvc-1", Some(until()));
    let record = volume.record.as_ref().unwrap();
    ArchiveSpec::of_volume(&volume, record, &installation(), identity(), &place, Some(&home)).unwrap()
}

#[test]
fn the_object_has_everything_that_the_volume_records() {
    let place = place("pvc-1", Some(until()));
    let key = spec().key().unwrap().to_owned();
    let expected = json!({
        "apiVersion": "bindery.dev/v1alpha1",
        "kind": "Archive",
        "metadata": {
            "name": "data-20261128t163115z-1", "namespace": "team-a",
            "finalizers": ["bindery.dev/archive"],
            "labels": {
                "bindery.dev/archive-key": key,
                "bindery.dev/claim": "data",
                "bindery.dev/claim-namespace": "team-a",
                "bindery.dev/class": "fast",
            },
        },
        "spec": {
            "claimName": "data", "claimNamespace": "team-a", "claimUid": "c-1", "namespaceUid": "n-1",
            "volumeName": "pvc-1", "volumeUid": "v-1", "storageClassName": "fast",
            "server": "nas1", "share": "/export", "nfsVersion": "3", "shareId": "v3/1.2:1",
            "directory": place.as_str(), "originalDirectory": "team-a/data", "directoryId": "1.2:3",
            "capacity": "1Gi", "accessModes": ["ReadWriteMany"], "gid": 50_000,
            "archivedAt": "2026-11-28T16:31:15Z", "expiresAt": "2026-12-28T16:31:15Z",
            "provisioner": "bindery.dev/nfs", "instance": "blue",
        },
    });
    assert_eq!(json!(spec().build("team-a", "data-20261128t163115z-1")), expected);
}

#[test]
fn a_directory_that_is_not_an_archive_of_the_volume_has_no_object() {
    let volume = volume();
    let record = volume.record.as_ref().unwrap();
    for place in [
        place("pvc-2", None),
        Directory::parse("team-a/data").unwrap(),
        Directory::in_trash("blue", "pvc-1", "v-1"),
    ] {
        let spec = ArchiveSpec::of_volume(&volume, record, &installation(), identity(), &place, None);
        assert_eq!(spec, None, "{place}");
    }
}

#[test]
fn an_archive_of_which_only_the_name_is_known_has_an_object_without_a_claim() {
    let place = place("pvc-1", None);
    let share = Share::parse("nas1", "/export").unwrap();
    let name = ArchiveName::read(place.as_str(), "blue").unwrap();
    let spec = ArchiveSpec::of_name(&share, &installation(), identity(), &place, &name);
    assert_eq!((&*spec.claim_name, spec.seed()), ("team-a-data", name.key));
    assert_eq!(
        (&spec.claim_uid, &spec.volume_name, spec.gid),
        (&None, &None, Some(50_000))
    );
    let labels: Vec<_> = labels(&spec).into_keys().collect();
    assert_eq!(labels, ["bindery.dev/archive-key"], "the claim is not known");
}

/// Reads the object with these changes of its fields.
fn read(changes: &Value) -> Result<ArchiveRecord, String> {
    let mut archive = json!(spec().build("team-a", "data"));
    json_patch::merge(&mut archive, changes);
    ArchiveRecord::read(&serde_json::from_value(archive).unwrap())
}

#[test]
fn an_object_is_read_back_and_its_status_says_where_the_archive_is() {
    let record = read(&json!({})).unwrap();
    assert_eq!(
        (record.directory.clone(), record.identity),
        (place("pvc-1", Some(until())), identity())
    );
    assert_eq!((record.expires(), &*record.key), (Some(until()), spec().key().unwrap()));
    assert_eq!(record.share.to_string(), "nas1:/export");
    let kept = place("pvc-1", None);
    let record = read(&json!({"status": {"directory": kept.as_str()}})).unwrap();
    assert_eq!((record.directory.clone(), record.expires()), (kept, None));
}

#[test]
fn an_object_that_names_another_directory_is_not_used() {
    let other = place("pvc-2", None).to_string();
    let table = [
        (
            json!({"spec": {"directory": "team-a/data"}}),
            "spec.directory \"team-a/data\" is not an archive of the volume",
        ),
        (
            json!({"spec": {"directory": "../x"}}),
            "spec.directory \"../x\" is not an archive of the volume",
        ),
        (
            json!({"spec": {"directory": other}}),
            "is not an archive of the volume that spec names",
        ),
        (
            json!({"spec": {"instance": "green"}}),
            "is not an archive of the volume that spec names",
        ),
        (
            json!({"spec": {"volumeName": "pvc-2"}}),
            "is not an archive of the volume that spec names",
        ),
        (
            json!({"status": {"directory": other}}),
            "is not an archive of the volume that spec names",
        ),
        (
            json!({"spec": {"volumeName": null}, "status": {"directory": other}}),
            "and spec.directory name different archives",
        ),
        (
            json!({"spec": {"directory": format!("../{}", place("pvc-1", None))}}),
            "is not a path",
        ),
        (json!({"spec": {"server": "-:1"}}), "spec.server or spec.share: "),
        (
            json!({"spec": {"directoryId": "7"}}),
            "spec.directoryId is \"7\": not of the form",
        ),
        (json!({"spec": {"nfsVersion": "2"}}), "spec.nfsVersion is \"2\": "),
    ];
    for (changes, expected) in table {
        let error = read(&changes).unwrap_err();
        assert!(error.contains(expected), "{changes}: {error}");
    }
}

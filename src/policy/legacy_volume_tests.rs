//! Takeover of legacy volumes. Each case shows only its difference from a volume that is taken over.

use serde_json::{Value, json};

use super::*;
use crate::model::volume::{Phase, Volume, area};

const OLD: &str = "k8s-sigs.io/nfs-subdir-external-provisioner";

fn installation() -> Installation {
    Installation {
        provisioner: OLD.to_owned(),
        instance: "blue".to_owned(),
    }
}

/// The input; `Default` is a volume with the standard directory and a class without parameters.
struct World {
    volume: Value,
    class: Value,
    defaults: Defaults,
    delete_nested: bool,
}

impl Default for World {
    fn default() -> Self {
        Self {
            volume: json!({
                "metadata": {
                    "name": "pvc-1",
                    "annotations": {"pv.kubernetes.io/provisioned-by": OLD},
                    "finalizers": ["kubernetes.io/pv-protection"],
                },
                "spec": {
                    "accessModes": ["ReadWriteMany"],
                    "capacity": {"storage": "1Gi"},
                    "claimRef": {"namespace": "team-a", "name": "data", "uid": "1"},
                    "nfs": {"server": "nas1", "path": "/export/team-a-data-pvc-1"},
                    "persistentVolumeReclaimPolicy": "Delete",
                    "storageClassName": "nfs-client",
                },
                "status": {"phase": "Bound"},
            }),
            class: json!({"metadata": {"name": "nfs-client"}, "provisioner": OLD}),
            defaults: Defaults {
                server: Some("nas1".to_owned()),
                share: Some("/export".to_owned()),
            },
            delete_nested: false,
        }
    }
}

fn old(change: impl FnOnce(&mut World)) -> Option<Result<TakenOver, String>> {
    let mut world = World::default();
    change(&mut world);
    let volume: PersistentVolume = serde_json::from_value(world.volume).unwrap();
    let class: Option<StorageClass> = serde_json::from_value(world.class).unwrap();
    let old = LegacyVolume::read(&volume, &installation())?;
    let options = TakeoverOptions {
        defaults: &world.defaults,
        delete_nested: world.delete_nested,
    };
    Some(old.take_over(class.as_ref(), options, &installation()))
}

fn taken(change: impl FnOnce(&mut World)) -> TakenOver {
    old(change).expect("an old volume").expect("taken over")
}

fn refused(change: impl FnOnce(&mut World)) -> String {
    old(change).expect("an old volume").expect_err("not taken over")
}

fn at(path: &str) -> impl FnOnce(&mut World) {
    let path = json!(path);
    move |world| world.volume["spec"]["nfs"]["path"] = path
}

#[test]
fn the_patch_makes_a_volume_that_cleanup_can_read() {
    let mut volume = World::default().volume;
    json_patch::merge(&mut volume, &taken(|_| ()).patch(&installation()));
    assert_eq!(
        volume["metadata"]["finalizers"],
        json!(["kubernetes.io/pv-protection", "bindery.dev/cleanup"])
    );
    let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
    assert_eq!(LegacyVolume::read(&volume, &installation()), None, "twice");
    let share = Share::parse("nas1", "/export").unwrap();
    let directory = Directory::parse("team-a-data-pvc-1").unwrap();
    assert_eq!(
        volume.metadata.labels.as_ref().unwrap()[names::AREA],
        area(&share, &directory)
    );

    let read = Volume::read(&volume);
    assert_eq!(
        (read.maker.as_ref(), read.has_finalizer, read.ready),
        (Some(&installation()), true, true)
    );
    assert_eq!(read.phase, Phase::Bound);
    let record = read.record.unwrap();
    assert_eq!((record.share, record.directory), (share, directory));
    assert_eq!(record.origin, crate::model::volume::Origin::Adopted);
    assert_eq!(
        (record.on_delete, record.retention),
        (OnDelete::Archive, Retention::Forever)
    );
}

#[test]
fn an_existing_finalizer_is_not_added_again() {
    let held = taken(|world| world.volume["metadata"]["finalizers"] = json!([names::FINALIZER]));
    assert_eq!(
        held.patch(&installation())["metadata"]["finalizers"],
        json!([names::FINALIZER])
    );
}

#[test]
fn other_volumes_are_not_taken_over() {
    let not = |change: fn(&mut Value)| assert_eq!(old(|world| change(&mut world.volume)), None);
    not(|volume| volume["metadata"]["annotations"] = json!({}));
    not(|volume| volume["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"] = json!("fuseim.pri/ifs"));
    not(|volume| volume["metadata"]["annotations"]["bindery.dev/instance"] = json!("green"));
    not(|volume| volume["metadata"]["annotations"]["bindery.dev/instance"] = json!("blue"));
    not(|volume| volume["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    not(|volume| volume["spec"]["claimRef"] = json!(null));
    not(|volume| volume["spec"]["claimRef"]["uid"] = json!(null));
    not(|volume| volume["spec"]["claimRef"]["uid"] = json!(names::UNBOUND_UID));
}

#[test]
fn a_bindery_provisioner_name_has_no_legacy_volumes() {
    let ours = Installation {
        provisioner: names::PROVISIONER.to_owned(),
        ..installation()
    };
    let mut volume = World::default().volume;
    volume["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"] = json!(names::PROVISIONER);
    assert_eq!(
        LegacyVolume::read(&serde_json::from_value(volume).unwrap(), &ours),
        None
    );
}

#[test]
fn every_phase_is_taken_over() {
    for phase in ["Pending", "Available", "Bound", "Released", "Failed"] {
        taken(|world| world.volume["status"]["phase"] = json!(phase));
    }
}

#[test]
fn the_class_decides_about_the_directory() {
    let on_delete = |parameters: Value| taken(|world| world.class["parameters"] = parameters).on_delete;
    assert_eq!(on_delete(json!({})), OnDelete::Archive);
    for (parameters, expected) in [
        (json!({"archiveOnDelete": "true"}), OnDelete::Archive),
        (json!({"archiveOnDelete": "f"}), OnDelete::Delete),
        (json!({"archiveOnDelete": "no"}), OnDelete::Archive),
        (
            json!({"onDelete": "delete", "archiveOnDelete": "true"}),
            OnDelete::Delete,
        ),
        (
            json!({"onDelete": "retain", "archiveOnDelete": "false"}),
            OnDelete::Retain,
        ),
        (
            json!({"onDelete": "erase", "archiveOnDelete": "false"}),
            OnDelete::Archive,
        ),
        (json!({"onDelete": "delete", "color": "blue"}), OnDelete::Delete),
    ] {
        assert_eq!(on_delete(parameters.clone()), expected, "{parameters}");
    }
}

#[test]
fn without_a_class_of_this_provisioner_the_directory_is_archived() {
    assert_eq!(taken(|world| world.class = json!(null)).on_delete, OnDelete::Archive);
    let of_another_provisioner = json!({
        "metadata": {"name": "nfs-client"},
        "provisioner": "nfs.csi.k8s.io",
        "parameters": {"onDelete": "delete"},
    });
    assert_eq!(
        taken(|world| world.class = of_another_provisioner).on_delete,
        OnDelete::Archive
    );
}

#[test]
fn the_beta_annotation_of_the_class_is_read() {
    let volume = |change: fn(&mut Value)| {
        let mut volume = World::default().volume;
        change(&mut volume);
        LegacyVolume::read(&serde_json::from_value(volume).unwrap(), &installation())
            .unwrap()
            .class
    };
    assert_eq!(volume(|_| ()).as_deref(), Some("nfs-client"));
    assert_eq!(volume(|volume| volume["spec"]["storageClassName"] = json!("")), None);
    let beta = volume(|volume| volume["metadata"]["annotations"][annotation::BETA_CLASS] = json!("older"));
    assert_eq!(beta.as_deref(), Some("older"));
}

#[test]
fn an_invalid_class_prevents_the_takeover() {
    let error = refused(|world| world.class["parameters"] = json!({"onDelete": "retain", "uid": "root"}));
    assert_eq!(
        error,
        "its StorageClass nfs-client is not valid: uid is \"root\": write a number from 0 to 4294967294"
    );
}

#[test]
fn an_annotation_on_the_volume_wins_over_the_class() {
    let with_annotation = |word: &str| {
        let word = json!(word);
        old(|world| world.volume["metadata"]["annotations"][volume_annotation::ON_DELETE] = word).unwrap()
    };
    assert_eq!(with_annotation("retain").unwrap().on_delete, OnDelete::Retain);
    assert_eq!(
        with_annotation("keep").unwrap_err(),
        "bindery.dev/on-delete is \"keep\": allowed are delete, retain or archive"
    );
}

#[test]
fn a_nested_directory_is_archived_unless_the_flag_allows_deletion() {
    let nested = |delete_nested, on_delete: &str| {
        let taken = taken(|world| {
            at("/export/team-a/data")(world);
            world.class["parameters"] = json!({"onDelete": on_delete});
            world.delete_nested = delete_nested;
        });
        assert_eq!(taken.directory.as_str(), "team-a/data");
        taken.on_delete
    };
    assert_eq!(nested(false, "delete"), OnDelete::Archive);
    assert_eq!(nested(true, "delete"), OnDelete::Delete);
    assert_eq!(nested(false, "retain"), OnDelete::Retain);
    assert_eq!(nested(true, "archive"), OnDelete::Archive);
}

#[test]
fn a_directory_that_is_not_below_a_share_is_not_taken_over() {
    let outside = |path: &str| {
        format!(
            "nas1:{path} is not below nas1:/export or nas1:/export; \
             start Bindery with the --nfs-server and --nfs-share of this volume"
        )
    };
    for path in [
        "/export",
        "/export/",
        "/exports/data",
        "/other/data",
        "/",
        "export/data",
        "",
    ] {
        assert_eq!(refused(at(path)), outside(path));
    }
    for path in [
        "/export/../etc",
        "/export//data",
        "/export/a/./b",
        "/export/data/",
        "/export/.bindery-trash",
    ] {
        assert!(refused(at(path)).starts_with("directory "), "{path}");
    }
    let server = refused(|world| world.volume["spec"]["nfs"]["server"] = json!("nas2"));
    assert!(
        server.starts_with("nas2:/export/team-a-data-pvc-1 is not below"),
        "{server}"
    );
    let nothing = refused(|world| {
        world.class = json!(null);
        world.defaults = Defaults::default();
    });
    assert!(
        nothing.starts_with("nas1:/export/team-a-data-pvc-1 is not below any share;"),
        "{nothing}"
    );
    let csi = refused(|world| world.volume["spec"]["nfs"] = json!(null));
    assert_eq!(csi, "it is not an NFS volume");
}

#[test]
fn the_share_comes_from_the_flags_or_the_class() {
    let class = json!({"share": "/export/team-a", "nfsVersion": "3", "archiveRetention": "30d"});
    let both = taken(|world| {
        at("/export/team-a/data")(world);
        world.class["parameters"] = class.clone();
    });
    assert_eq!((both.share.path(), both.directory.as_str()), ("/export", "team-a/data"));
    let only_class = taken(|world| {
        at("/vol/data")(world);
        world.class["parameters"] = json!({"share": "/vol", "nfsVersion": "3", "archiveRetention": "30d"});
    });
    assert_eq!(
        (only_class.share.path(), only_class.directory.as_str()),
        ("/vol", "data")
    );
    let annotations = &only_class.patch(&installation())["metadata"]["annotations"];
    assert_eq!(
        (
            &annotations[volume_annotation::NFS_VERSION],
            &annotations[volume_annotation::ARCHIVE_RETENTION]
        ),
        (&json!("3"), &json!("30d"))
    );
    let root = taken(|world| {
        at("/data")(world);
        world.defaults.share = Some("/".to_owned());
    });
    assert_eq!((root.share.path(), root.directory.as_str()), ("/", "data"));
    let spelling = taken(|world| world.volume["spec"]["nfs"]["server"] = json!("NAS1."));
    assert_eq!(spelling.share.server(), "nas1");
}

//! Valid classes, and the errors of classes that are not valid.

use serde_json::{Value, json};

use super::*;
use crate::model::choices::{ExistingDirectory, OnStorageFailure, Provision};
use crate::model::directory::NfsVersion;
use crate::model::group::Group;
use crate::model::on_delete::OnDelete;
use crate::model::retention::Retention;

fn read(fields: Value) -> Result<Class, String> {
    let mut class = json!({"metadata": {"name": "fast"}, "provisioner": "bindery.dev/nfs"});
    class
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    let defaults = Defaults {
        server: Some("nas1".to_owned()),
        share: Some("/export".to_owned()),
    };
    Class::read(&serde_json::from_value(class).unwrap(), &defaults).map_err(|error| error.to_string())
}

#[test]
fn a_class_without_parameters_uses_the_flags() {
    let class = read(json!({})).unwrap();
    assert_eq!(class.share.to_string(), "nas1:/export");
    assert_eq!((class.settings, class.reclaim), (Settings::default(), Reclaim::Delete));
    assert_eq!(class.namespace_overrides, Key::NAMESPACE_DEFAULT);
    assert_eq!(class.claim_overrides, []);
}

#[test]
fn parameters_win_over_the_flags() {
    let class = read(json!({
        "parameters": {"server": "NAS2.example.com.", "share": "//vol/one/", "onDelete": "delete"},
        "reclaimPolicy": "Retain",
        "mountOptions": ["nfsvers=4.1"],
    }));
    let class = class.unwrap();
    assert_eq!(class.share.to_string(), "nas2.example.com:/vol/one");
    assert_eq!(
        (class.settings.on_delete, class.reclaim),
        (Some(OnDelete::Delete), Reclaim::Retain)
    );
    assert_eq!(class.mount_options, ["nfsvers=4.1"]);
}

#[test]
fn csi_parameters_are_complete_and_have_an_effect() {
    let error = |parameters: Value| read(json!({"parameters": parameters})).unwrap_err();
    assert_eq!(
        error(json!({"csiDriver": "nfs.csi.k8s.io"})),
        "csiDriver is set, but the kubelet mounts the volumes, because volumeSource is not csi; set it, or remove csiDriver"
    );
    assert_eq!(
        error(json!({"volumeSource": "csi", "csiDriver": "cephfs.csi.ceph.com", "csiAttribute/fsName": "cephfs"})),
        "cephfs.csi.ceph.com also needs csiAttribute/clusterID, csi.storage.k8s.io/node-stage-secret-name, \
         csi.storage.k8s.io/node-stage-secret-namespace"
    );
    assert_eq!(
        error(json!({"volumeSource": "csi", "csi.storage.k8s.io/node-publish-secret-name": "a"})),
        "csi.storage.k8s.io/node-publish-secret-name is set without csi.storage.k8s.io/node-publish-secret-namespace; set \
         both"
    );
    assert_eq!(
        error(json!({"volumeSource": "csi", "csiAttribute/a": "${dir}", "csiAttribute/bindery.dev/path": "/"})),
        "csiAttribute/a is \"${dir}\": the token ${dir} is not known; allowed are ${server}, ${share}, ${directory}; \
         csiAttribute/bindery.dev/path: write the name of an attribute after csiAttribute/; names that begin with \
         bindery.dev/ are of Bindery"
    );
    assert_eq!(
        error(json!({"volumeSource": "cephfs", "csiDriver": "cephfs"})),
        "volumeSource is \"cephfs\": allowed are nfs or csi; csiDriver is \"cephfs\": allowed are nfs.csi.k8s.io or \
         cephfs.csi.ceph.com; csiDriver is set, but the kubelet mounts the volumes, because volumeSource is not csi; set it, \
         or remove csiDriver"
    );
    assert_eq!(
        error(json!({"volumeSource": "csi", "csiAttribute/Share": "/a", "csiAttribute/share": "/b"})),
        "csiAttribute/share is set twice, with different case, and csi-driver-nfs ignores case; remove one"
    );
    let overridable = json!({"volumeSource": "csi", "namespaceOverrides": "csiDriver"});
    let expandable = read(json!({"allowVolumeExpansion": true, "parameters": overridable}));
    assert!(expandable.unwrap_err().starts_with("allowVolumeExpansion is true, "));
    read(json!({"parameters": {"csiDriver": "nfs.csi.k8s.io", "namespaceOverrides": "volumeSource"}})).unwrap();
    let expandable = read(json!({"allowVolumeExpansion": true, "parameters": {
        "volumeSource": "csi", "csiDriver": "cephfs.csi.ceph.com", "csiAttribute/clusterID": "c", "csiAttribute/fsName": "f",
        "csi.storage.k8s.io/node-stage-secret-name": "a", "csi.storage.k8s.io/node-stage-secret-namespace": "a",
    }}));
    assert_eq!(
        expandable.unwrap_err(),
        "allowVolumeExpansion is true, but ceph-csi cannot expand a volume that it did not create, and its csi-resizer would \
         report errors for claims with cephfs.csi.ceph.com; set allowVolumeExpansion: false"
    );
    let attributes = json!({"volumeSource": "csi", "namespaceOverrides": "csiAttribute/a"});
    assert_eq!(
        error(attributes),
        "namespaceOverrides lists csiAttribute, which only a StorageClass may set; remove it from the list"
    );
}

#[test]
fn all_errors_are_reported_together() {
    let invalid = read(json!({
        "parameters": {"archiveOnDelet": "true", "onDelete": "erase", "server": "nas:2049", "share": "export"},
        "reclaimPolicy": "Recycle",
    }));
    assert_eq!(
        invalid.unwrap_err(),
        "parameter archiveOnDelet is not known: did you mean archiveOnDelete?; \
         onDelete is \"erase\": allowed are delete, retain or archive; \
         server \"nas:2049\" names a port; remove it, because Bindery and the nodes connect to port 2049; \
         share \"export\" is not an absolute path; write it as the server exports it, such as /export/volumes; \
         reclaimPolicy is \"Recycle\": allowed are Delete and Retain; to keep or archive the directory, set onDelete"
    );
}

#[test]
fn a_class_without_server_needs_the_flag() {
    let class = serde_json::from_value(json!({"metadata": {"name": "x"}, "provisioner": "p"})).unwrap();
    let error = Class::read(&class, &Defaults::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "server is not set: start Bindery with --nfs-server, or delete the class and create it again with that \
        parameter; \
         share is not set: start Bindery with --nfs-share, or delete the class and create it again with that parameter"
    );
    assert_eq!(error.remedy(), "an administrator must do that");
}

#[test]
fn every_key_is_read_and_every_wrong_value_is_reported() {
    let class = read(json!({"parameters": {
        "mountPermissions": "02775", "uid": "1000", "gid": "0", "existingDirectory": "deny",
        "archiveRetention": "30d", "onStorageFailure": "deny", "nfsVersion": "3",
        "namespaceOverrides": "uid, gid", "claimOverrides": "",
    }}));
    let class = class.unwrap();
    let settings = class.settings;
    assert_eq!(
        (settings.mode, settings.uid, settings.gid),
        (Some(0o2775), Some(1000), Some(Group::Fixed(0)))
    );
    assert_eq!(
        (
            settings.existing,
            settings.retention,
            settings.on_failure,
            settings.version
        ),
        (
            Some(ExistingDirectory::Deny),
            Some(Retention::Seconds(30 * 24 * 60 * 60)),
            Some(OnStorageFailure::Deny),
            Some(NfsVersion::V3)
        )
    );
    assert_eq!(
        (class.namespace_overrides, class.claim_overrides),
        (vec![Key::Uid, Key::Gid], vec![])
    );

    let invalid = read(json!({"parameters": {
        "mountPermissions": "0o777", "uid": "-1", "gid": "4294967295", "existingDirectory": "take",
        "archiveRetention": "30", "onStorageFailure": "wait", "nfsVersion": "4.1",
        "namespaceOverrides": "uids,server", "claimOverrides": "claimOverrides",
    }}));
    assert_eq!(
        invalid.unwrap_err(),
        "mountPermissions is \"0o777\": write it in octal, 0001 to 7777, such as 0770 or 2775; 0 leaves the mode to \
        the NFS server; \
         uid is \"-1\": write a number from 0 to 4294967294; \
         gid is \"4294967295\": write a number from 0 to 4294967294; \
         existingDirectory is \"take\": allowed are adopt or deny; \
         archiveRetention is \"30\": write a duration such as 30d, 12h or 2w, at most 36500d, or forever; \
         onStorageFailure is \"wait\": allowed are queue or deny; \
         nfsVersion is \"4.1\": allowed are 4 (4.2, else 4.1) or 3; the version that pods use is set in mountOptions; \
         namespaceOverrides: parameter uids is not known: did you mean uid?; \
         namespaceOverrides lists server, which only a StorageClass may set; remove it from the list; \
         claimOverrides lists claimOverrides, which only a StorageClass may set; remove it from the list"
    );
    let class = read(json!({"parameters": {"provision": "afterCreate", "volumeLabels": "team=a"}})).unwrap();
    let labels = [("team".to_owned(), "a".to_owned())].into();
    assert_eq!(
        (class.settings.provision, class.settings.volume_labels),
        (Some(Provision::AfterCreate), Some(labels))
    );
    let invalid = read(json!({"parameters": {"provision": "later", "volumeLabels": "team"}}));
    assert_eq!(
        invalid.unwrap_err(),
        "provision is \"later\": allowed are onCreate or afterCreate; \
         volumeLabels: \"team\" is not a label; write key=value, with commas between labels"
    );
}

#[test]
fn mode_0_leaves_the_mode_to_the_server() {
    for written in ["0", "00", "0000"] {
        let class = read(json!({"parameters": {"mountPermissions": written}})).unwrap();
        assert_eq!(class.settings.mode, Some(0));
    }
}

#[test]
fn tokens_in_server_and_share_are_errors() {
    let error =
        |server: &str, share: &str| read(json!({"parameters": {"server": server, "share": share}})).unwrap_err();
    assert_eq!(
        error(
            "${pvc.metadata.labels['nas']}.example.com",
            "/export/{{ .PVC.namespace }}"
        ),
        "server is \"${pvc.metadata.labels['nas']}.example.com\": server and share are the same for all claims of a class; \
         write the value in subDir; \
         share is \"/export/{{ .PVC.namespace }}\": server and share are the same for all claims of a class; write the \
         value in subDir"
    );
    for share in [
        "/export/${.PVC.name}",
        "/export/<namespace>",
        "/export/$(PVC_NAMESPACE)",
        "/${pvc.namespace}",
        "/{a}/${.PVC.name}",
    ] {
        assert!(error("nas1", share).contains("write the value in subDir"), "{share}");
    }
    for share in ["/c$", "/vol(1)", "/export/namespace", "/srv/{a}"] {
        assert!(read(json!({"parameters": {"share": share}})).is_ok(), "{share}");
    }
}

#[test]
fn a_template_that_gives_no_claim_a_valid_directory_is_an_error_of_the_class() {
    let template_error = |template: &str| read(json!({"parameters": {"subDir": template}})).unwrap_err();
    let assert_invalid = |template: &str, error: &str| {
        let expected = format!("subDir is {template:?}: this template gives no claim a valid directory: it {error}");
        assert_eq!(template_error(template), expected);
    };
    assert_invalid(
        ".",
        "has the segment \".\", which means the directory itself; leave it out",
    );
    assert_invalid(
        "a/../b",
        "has the segment \"..\", which means the directory above; write the path without it",
    );
    assert_invalid(
        ".bindery-x",
        "has the segment \".bindery-x\": names of archives, and names that begin with .bindery-, are reserved for Bindery",
    );
    assert!(read(json!({"parameters": {"subDir": "/archived-${pvc.metadata.name}/"}})).is_ok());
    assert!(template_error(&"x".repeat(256)).ends_with("it has a segment of 256 bytes; NFS servers allow at most 255"));
    assert!(template_error(&"x/".repeat(600)).ends_with("it has 1199 bytes; at most 1024 are allowed"));
    // The value may be empty for some claim.
    let barely = format!("{}${{pvc.metadata.labels['app']}}", "x".repeat(255));
    assert!(read(json!({"parameters": {"subDir": barely}})).is_ok());
}

#[test]
fn in_a_legacy_class_a_template_that_gives_no_valid_directory_is_a_warning() {
    let class = read(json!({"provisioner": "old", "parameters": {"pathPattern": "../x"}})).unwrap();
    assert_eq!(class.warnings.len(), 1);
    // nfs-subdir-external-provisioner ignored extra slashes.
    let class = read(json!({"provisioner": "old", "parameters": {"pathPattern": "/${.PVC.name}"}})).unwrap();
    assert_eq!(class.warnings, Vec::<String>::new());
}

#[test]
fn a_retention_in_a_class_that_never_archives_is_an_error() {
    let class = |on_delete: &str, namespaces: &str, claims: &str| {
        read(json!({"parameters": {
            "onDelete": on_delete, "archiveRetention": "30d", "namespaceOverrides": namespaces, "claimOverrides": claims,
        }}))
    };
    assert_eq!(
        class("delete", "uid", "").unwrap_err(),
        "archiveRetention is set, but onDelete is delete for every claim, so nothing is ever archived; remove one of \
        the two, or list onDelete in namespaceOverrides or claimOverrides"
    );
    assert!(class("retain", "", "uid").is_err());
    assert!(class("archive", "", "").is_ok());
    assert!(class("delete", "onDelete", "").is_ok() && class("delete", "", "archiveOnDelete").is_ok());
}

#[test]
fn a_class_with_gid_auto_has_a_range_of_groups() {
    let class = read(json!({"parameters": {"gid": "auto", "gidRange": "50000-60000"}}));
    let range = "50000-60000".parse().unwrap();
    assert_eq!(class.unwrap().settings.gid, Some(Group::Own(range)));
}

#[test]
fn a_range_and_gid_auto_need_each_other() {
    let error = |parameters: Value| {
        let class = read(json!({"parameters": parameters}));
        class.unwrap_err()
    };
    assert_eq!(
        error(json!({"gid": "auto"})),
        "gid is \"auto\": set gidRange too, such as 50000-60000"
    );
    for gid in [json!({}), json!({"gid": "1000"})] {
        let mut parameters = json!({"gidRange": "50000-60000"});
        json_patch::merge(&mut parameters, &gid);
        assert_eq!(
            error(parameters),
            "gidRange is \"50000-60000\": it works only with gid: auto; set gid: auto, or remove gidRange"
        );
    }
    assert_eq!(
        error(json!({"gid": "auto", "gidRange": "60000-50000"})),
        "gidRange is \"60000-50000\": write the first and the last group, 1 to 4294967294, such as 50000-60000"
    );
}

#[test]
fn a_group_for_each_volume_needs_a_mode() {
    let parameters = json!({"gid": "auto", "gidRange": "50000-60000", "mountPermissions": "0"});
    assert_eq!(
        read(json!({"parameters": parameters})).unwrap_err(),
        "mountPermissions is 0, so the NFS server chooses the mode, but gid: auto is for directories that only their group \
         can use; set a mode such as 0770, or remove gid and gidRange"
    );
}

//! Settings of class, namespace and claim, for each key.

use super::*;
use crate::model::choices::CsiDriver;
use crate::policy::key::Key;

/// The effective value of one key as a text, with the values that class, namespace and claim set.
fn setting(key: Key, class: Option<&str>, namespace: Option<&str>, claim: Option<&str>, lists: bool) -> String {
    let new = provisioned(|world| {
        let parameters = world.class["parameters"].as_object_mut().unwrap();
        if lists {
            parameters.insert("namespaceOverrides".to_owned(), json!(key.as_str()));
            parameters.insert("claimOverrides".to_owned(), json!(key.as_str()));
        }
        if key == Key::CsiDriver {
            let other = json!({
                "volumeSource": "csi", "csiAttribute/clusterID": "c", "csiAttribute/fsName": "f",
                "csi.storage.k8s.io/node-stage-secret-name": "s", "csi.storage.k8s.io/node-stage-secret-namespace": "s",
            });
            parameters.extend(other.as_object().unwrap().clone());
        }
        if let Some(value) = class {
            parameters.insert(key.as_str().to_owned(), json!(value));
        }
        if let Some(value) = namespace {
            world.namespace = json!({key.annotation(): value});
        }
        if let Some(value) = claim {
            world.claim["metadata"]["annotations"] = json!({key.annotation(): value});
        }
    });
    let id = |id: Option<u32>| id.map_or("-".to_owned(), |id| id.to_string());
    match key {
        Key::SubDir | Key::PathPattern => new.directory.to_string(),
        Key::OnDelete | Key::ArchiveOnDelete => new.on_delete.to_string(),
        Key::MountPermissions => format!("{:04o}", new.attributes.mode.unwrap()),
        Key::Uid => id(new.attributes.uid),
        Key::Gid => id(new.attributes.gid),
        Key::ExistingDirectory => format!("{:?}", new.existing),
        Key::ArchiveRetention => new.retention.to_string(),
        Key::OnStorageFailure => format!("{:?}", new.on_failure),
        Key::NfsVersion => new.share.version().as_str().to_owned(),
        Key::VolumeSource => new.source.field().to_owned(),
        Key::CsiDriver => new.source.driver().unwrap_or("-").to_owned(),
        Key::Server
        | Key::Share
        | Key::Provision
        | Key::VolumeLabels
        | Key::FreeSpace
        | Key::SizeLimit
        | Key::GidRange
        | Key::CsiAttribute
        | Key::NodeStageSecretName
        | Key::NodeStageSecretNamespace
        | Key::NodePublishSecretName
        | Key::NodePublishSecretNamespace
        | Key::ArchiveRestore
        | Key::RestoreAttributes
        | Key::NamespaceOverrides
        | Key::ClaimOverrides => unreachable!("for a class only"),
    }
}

/// A key; the values of class, namespace and claim; the effective value with no object, with the class, with the
/// namespace, with the claim; whether a namespace may set the key by default.
type Row<'a> = (Key, [&'static str; 3], [&'a str; 4], bool);

/// Changes the class to one that was written for nfs-subdir-external-provisioner.
fn make_legacy(world: &mut World, parameters: Value) {
    world.installation.provisioner = "k8s-sigs.io/nfs-subdir-external-provisioner".to_owned();
    world.class["provisioner"] = json!(world.installation.provisioner);
    world.class["parameters"] = json!({"server": "nas1", "share": "/export"});
    world.parameters(&parameters);
}

#[test]
fn ignored_parameters_of_a_legacy_class_give_no_claim_warnings() {
    let verdict = verdict(|world| make_legacy(world, json!({"archiveOnDelete": "f", "color": "blue"})));
    assert_eq!(verdict.warnings, Vec::<String>::new());
    let Decision::Provision(new) = verdict.decision else {
        panic!("{:?}", verdict.decision)
    };
    assert_eq!(
        (new.on_delete, new.directory.to_string()),
        (OnDelete::Delete, format!("team-a-data-{VOLUME}"))
    );
}

#[test]
fn in_a_legacy_class_a_missing_value_is_empty() {
    let at = |pattern: &str| {
        let verdict = verdict(|world| make_legacy(world, json!({"pathPattern": pattern})));
        match verdict.decision {
            Decision::Provision(new) => (new.name, new.directory.to_string(), verdict.warnings),
            other => panic!("{other:?}"),
        }
    };
    let (_, directory, warnings) = at("${.PVC.namespace}/${.PVC.labels.zone}");
    assert_eq!(directory, "team-a");
    let message = "label zone of the claim is not set and is left empty in ${.PVC.namespace}/${.PVC.labels.zone}";
    assert_eq!(warnings, [message]);
    let (name, directory, _) = at("${.PVC.labels.zone}");
    assert_eq!((name.as_str(), directory), (VOLUME, format!("team-a-data-{VOLUME}")));
}

#[test]
fn in_a_legacy_class_a_path_out_of_the_share_is_refused() {
    let denied = decision(|world| make_legacy(world, json!({"pathPattern": "../${.PVC.name}"})));
    let Decision::Deny(why) = denied else {
        panic!("{denied:?}")
    };
    assert_eq!(
        why,
        "../${.PVC.name} (pathPattern of StorageClass fast) gives no valid directory for this claim: directory \
        \"../data\" has the segment \"..\", which means the directory above; write the path without it; change the \
        name, labels or annotations that the template uses, or choose another StorageClass"
    );
}

#[test]
fn in_a_legacy_class_an_invalid_annotation_is_refused() {
    let denied = decision(|world| {
        make_legacy(world, json!({}));
        world.namespace = json!({"bindery.dev/archive-on-delete": "f"});
    });
    assert!(matches!(denied, Decision::Deny(_)), "{denied:?}");
}

#[test]
fn each_key_comes_from_claim_namespace_class_or_default_in_this_order() {
    let standard = format!("team-a-data-{VOLUME}");
    let standard = standard.as_str();
    let [nfs, ceph] = CsiDriver::ALL.map(CsiDriver::as_str);
    let table: [Row<'_>; 13] = [
        (Key::SubDir, ["a", "b", "c"], [standard, "a", "b", "c"], false),
        (Key::PathPattern, ["a", "b", "c"], [standard, "a", "b", "c"], false),
        (
            Key::OnDelete,
            ["delete", "retain", "archive"],
            ["archive", "delete", "retain", "archive"],
            true,
        ),
        (
            Key::ArchiveOnDelete,
            ["false", "true", "false"],
            ["archive", "delete", "archive", "delete"],
            true,
        ),
        (
            Key::MountPermissions,
            ["0700", "0750", "2770"],
            ["0777", "0700", "0750", "2770"],
            true,
        ),
        (Key::Uid, ["1", "2", "3"], ["-", "1", "2", "3"], false),
        (Key::Gid, ["1", "2", "3"], ["-", "1", "2", "3"], false),
        (
            Key::ExistingDirectory,
            ["adopt", "deny", "adopt"],
            ["Deny", "Adopt", "Deny", "Adopt"],
            false,
        ),
        (
            Key::ArchiveRetention,
            ["30d", "1d", "forever"],
            ["forever", "30d", "1d", "forever"],
            true,
        ),
        (
            Key::OnStorageFailure,
            ["deny", "queue", "deny"],
            ["Queue", "Deny", "Queue", "Deny"],
            true,
        ),
        (Key::NfsVersion, ["3", "4", "3"], ["4", "3", "4", "3"], false),
        (
            Key::VolumeSource,
            ["csi", "nfs", "csi"],
            ["spec.nfs", "spec.csi", "spec.nfs", "spec.csi"],
            false,
        ),
        (Key::CsiDriver, [ceph, nfs, ceph], [nfs, ceph, nfs, ceph], false),
    ];
    let keys: Vec<Key> = table.iter().map(|row| row.0).collect();
    let annotated: Vec<Key> = Key::ALL.into_iter().filter(|key| key.is_for_annotations()).collect();
    assert_eq!(keys, annotated, "every key has its row");
    for (key, [class, namespace, claim], [default, by_class, by_namespace, by_claim], inputs) in table {
        let (class, namespace, claim) = (Some(class), Some(namespace), Some(claim));
        assert_eq!(setting(key, None, None, None, false), default, "{key}");
        assert_eq!(setting(key, class, None, None, false), by_class, "{key}");
        assert_eq!(setting(key, class, namespace, None, true), by_namespace, "{key}");
        assert_eq!(setting(key, class, namespace, claim, true), by_claim, "{key}");
        let unnamed = if inputs { by_namespace } else { by_class };
        assert_eq!(
            setting(key, class, namespace, claim, false),
            unnamed,
            "{key} is not listed"
        );
        // If a key has two values only, the value of the namespace shows whether that of the claim was used.
        assert_eq!(
            setting(key, class, None, namespace, false),
            by_class,
            "{key} is not listed"
        );
        assert_eq!(
            setting(key, class, namespace, None, false),
            unnamed,
            "{key} is not listed"
        );
    }
}

/// Mode, owner and `onDelete` of a claim when class, namespace and claim set them, in this order.
fn effective(class: Value, namespace: Value, claim: Value) -> (u32, Option<u32>, OnDelete) {
    let new = provisioned(|world| {
        world.parameters(&class);
        world.namespace = namespace;
        world.claim["metadata"]["annotations"] = claim;
    });
    (new.attributes.mode.unwrap(), new.attributes.uid, new.on_delete)
}

#[test]
fn the_claim_wins_over_the_namespace_if_the_class_allows_it() {
    let class = json!({
        "mountPermissions": "0700", "uid": "1", "onDelete": "delete",
        "namespaceOverrides": "mountPermissions, uid", "claimOverrides": "mountPermissions",
    });
    let all = |mode: &str, uid: &str| -> Value {
        json!({"bindery.dev/mount-permissions": mode, "bindery.dev/uid": uid, "bindery.dev/on-delete": "retain"})
    };
    assert_eq!(
        effective(class.clone(), json!({}), json!({})),
        (0o700, Some(1), OnDelete::Delete)
    );
    assert_eq!(
        effective(class.clone(), all("0770", "2"), json!({})),
        (0o770, Some(2), OnDelete::Delete)
    );
    assert_eq!(
        effective(class, all("0770", "2"), all("0777", "3")),
        (0o777, Some(2), OnDelete::Delete)
    );
}

#[test]
fn a_namespace_sets_path_and_owner_only_if_the_class_lists_them() {
    let annotations = json!({"bindery.dev/uid": "0", "bindery.dev/mount-permissions": "0750"});
    assert_eq!(
        effective(json!({}), annotations, json!({})),
        (0o750, None, OnDelete::Archive)
    );
}

#[test]
fn an_ignored_annotation_is_a_warning() {
    let answer = verdict(|world| {
        world.namespace = json!({"bindery.dev/uid": "0"});
        world.claim["metadata"]["annotations"] = json!({"bindery.dev/on-delete": "retain"});
    });
    assert_eq!(
        answer.warnings,
        [
            "bindery.dev/uid on the namespace is ignored: StorageClass fast does not list uid in namespaceOverrides; \
            remove it, or ask an administrator to allow it",
            "bindery.dev/on-delete on the claim is ignored: StorageClass fast does not list onDelete in \
            claimOverrides; remove it, or ask an administrator to allow it",
        ]
    );
}

#[test]
fn errors_of_namespace_and_claim_are_reported_together() {
    let denied = decision(|world| {
        world.class["parameters"]["claimOverrides"] = json!("gid");
        world.namespace = json!({"bindery.dev/enabled": "maybe"});
        world.claim["metadata"]["annotations"] = json!({"bindery.dev/gid": "staff", "bindery.dev/mod": "0700"});
    });
    let message = "namespace team-a: bindery.dev/enabled is \"maybe\": allowed are true or false; \
                   an administrator must correct it; \
                   the claim: annotation bindery.dev/mod is not known: allowed are bindery.dev/sub-dir, \
                   bindery.dev/path-pattern, bindery.dev/on-delete, bindery.dev/archive-on-delete, \
                   bindery.dev/mount-permissions, bindery.dev/uid, bindery.dev/gid, bindery.dev/existing-directory, \
                   bindery.dev/archive-retention, bindery.dev/on-storage-failure, bindery.dev/nfs-version, \
                   bindery.dev/volume-source, bindery.dev/csi-driver; \
                   bindery.dev/gid is \"staff\": write a number from 0 to 4294967294; correct it";
    assert_eq!(denied, Decision::Deny(message.to_owned()));
}

#[test]
fn an_ignored_adoption_is_a_warning() {
    let warned = |namespace: Value, claim: Value| {
        let answer = verdict(|world| {
            let parameters = json!({"existingDirectory": "adopt", "claimOverrides": "subDir, existingDirectory",
                "namespaceOverrides": "subDir, existingDirectory"});
            world.parameters(&parameters);
            world.namespace = namespace;
            world.claim["metadata"]["annotations"] = claim;
        });
        answer.warnings
    };
    let (place, adopt) = (
        json!({"bindery.dev/sub-dir": "a"}),
        json!({"bindery.dev/existing-directory": "adopt"}),
    );
    let class = "existingDirectory: adopt of StorageClass fast is ignored for this claim: the ";
    assert_eq!(
        warned(json!({}), place.clone()),
        [format!(
            "{class}claim chooses the directory (bindery.dev/sub-dir), so the claim must set it too"
        )]
    );
    assert_eq!(
        warned(place.clone(), json!({})),
        [format!(
            "{class}namespace chooses the directory (bindery.dev/sub-dir), so the namespace or the claim must set it \
            too"
        )]
    );
    assert_eq!(
        warned(adopt.clone(), place.clone()),
        [
            "bindery.dev/existing-directory: adopt on the namespace is ignored for this claim: the claim chooses the \
            directory (bindery.dev/sub-dir), so the claim must set it too"
        ]
    );
    assert_eq!(warned(place, adopt), Vec::<String>::new());
}

#[test]
fn all_errors_of_all_objects_are_reported_together() {
    let denied = decision(|world| {
        world.claim["spec"]["volumeMode"] = json!("Block");
        world.class["parameters"]["onDelete"] = json!("shred");
        world.namespace = json!({"bindery.dev/ui": "1", "bindery.dev/gid": "wheel"});
        world.claim["metadata"]["annotations"] = json!({"bindery.dev/on-delet": "retain"});
    });
    let message = "StorageClass fast cannot provide volumeMode Block; change the claim or choose another class; \
                   StorageClass fast: onDelete is \"shred\": allowed are delete, retain or archive; an administrator \
                   must delete the class and create it again, because class parameters cannot be edited; \
                   namespace team-a: annotation bindery.dev/ui is not known: did you mean bindery.dev/uid?; \
                   an administrator must correct it; \
                   the claim: annotation bindery.dev/on-delet is not known: did you mean bindery.dev/on-delete?; correct it";
    assert_eq!(denied, Decision::Deny(message.to_owned()));
}

#[test]
fn with_gid_auto_the_group_is_chosen_later_and_the_mode_is_2770() {
    let new = provisioned(|world| world.parameters(&json!({"gid": "auto", "gidRange": "50000-60000"})));
    assert_eq!((new.attributes.gid, new.attributes.mode), (None, Some(0o2770)));
    assert_eq!(new.group_range, "50000-60000".parse().ok());
    let new = provisioned(|world| {
        world.parameters(&json!({"gid": "auto", "gidRange": "50000-60000", "mountPermissions": "0777"}));
        world.parameters(&json!({"claimOverrides": "gid"}));
        world.claim["metadata"]["annotations"] = json!({"bindery.dev/gid": "7"});
    });
    assert_eq!(
        (new.attributes.gid, new.attributes.mode, new.group_range),
        (Some(7), Some(0o777), None)
    );
}

#[test]
fn mode_0_leaves_the_mode_to_the_server() {
    let new = provisioned(|world| world.parameters(&json!({"mountPermissions": "0"})));
    assert_eq!(new.attributes.mode, None);
}

#[test]
fn only_a_class_may_set_a_group_of_a_range() {
    let denied = decision(|world| {
        world.parameters(&json!({"claimOverrides": "gid"}));
        world.claim["metadata"]["annotations"] = json!({"bindery.dev/gid": "auto"});
    });
    let expected = "the claim: bindery.dev/gid is \"auto\": only a StorageClass may set this value; write a number \
    from 0 to 4294967294; correct it";
    assert_eq!(denied, Decision::Deny(expected.to_owned()));
}

#[test]
fn a_class_with_groups_of_an_older_class_is_refused() {
    let denied = decision(|world| {
        world.parameters(&json!({"gid": "auto", "gidRange": "50000-60000"}));
        world.class["metadata"]["creationTimestamp"] = json!("2026-01-02T00:00:00Z");
        let mut older = world.class.clone();
        json_patch::merge(
            &mut older["metadata"],
            &json!({"name": "older", "creationTimestamp": "2026-01-01T00:00:00Z"}),
        );
        world.classes = json!([older, world.class]);
    });
    let expected = "StorageClass fast: gidRange is \"50000-60000\": StorageClass older has gidRange: \"50000-60000\", \
    and a group of a range is for one volume only; choose other groups; an administrator must delete the class and \
    create it again, because class parameters cannot be edited";
    assert_eq!(denied, Decision::Deny(expected.to_owned()));
}

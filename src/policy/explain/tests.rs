//! What a person reads of a claim. Each case shows only its difference from an ordinary one.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::{Value, json};

use super::*;
use crate::policy::decide::{Namespace, decide};
use crate::policy::key::Key;
use crate::volume::{Origin, Us};

/// Everything that has a say, as JSON.
struct World {
    claim: Value,
    class: Value,
    namespace: Value,
    volume: Option<Volume>,
    defaults: Defaults,
    standing: Standing,
    others: Vec<Volume>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            claim: json!({
                "metadata": {"name": "data", "annotations": {}},
                "spec": {
                    "storageClassName": "fast",
                    "accessModes": ["ReadWriteMany"],
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }),
            class: json!({
                "metadata": {"name": "fast"},
                "provisioner": "bindery.dev/nfs",
                "parameters": {"server": "nas1", "share": "/export"},
            }),
            namespace: json!({}),
            volume: None,
            defaults: Defaults::default(),
            standing: Standing::Written,
            others: Vec::new(),
        }
    }
}

impl World {
    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut world = Self::default();
        change(&mut world);
        world
    }

    /// Hands the facts to a function.
    fn ask<T>(&self, ask: impl FnOnce(&Facts<'_>) -> T) -> T {
        let claim: PersistentVolumeClaim = serde_json::from_value(self.claim.clone()).unwrap();
        let class: Option<StorageClass> = serde_json::from_value(self.class.clone()).unwrap();
        ask(&Facts {
            claim: &Claim::read(&claim, "team-a"),
            class: class.as_ref(),
            namespace: &Namespace {
                annotations: serde_json::from_value(self.namespace.clone()).unwrap(),
                ..Namespace::default()
            },
            volume: self.volume.as_ref(),
            defaults: &self.defaults,
            us: &us(),
            fresh: Uuid::from_u128(7),
        })
    }

    fn explained(&self) -> Explanation {
        self.ask(|facts| explain(facts, self.standing, &self.others))
    }

    /// The volume that the webhook would make.
    fn volume(&self) -> Volume {
        match self.ask(decide).decision {
            Decision::Provision(new) => Volume::read(&new.build(Origin::New, &us())),
            other => panic!("{other:?}"),
        }
    }
}

/// How a case differs from an ordinary claim.
type Change = fn(&mut World);

fn us() -> Us {
    Us {
        provisioner: "bindery.dev/nfs".to_owned(),
        instance: "blue".to_owned(),
    }
}

fn explained(change: impl FnOnce(&mut World)) -> Explanation {
    World::with(change).explained()
}

/// A row as key, value and whose word it is.
fn found<'a>(explanation: &'a Explanation, key: &str) -> (&'a str, &'a str) {
    let row = explanation.policy.iter().find(|row| row.key == key);
    row.map_or(("", ""), |row| (row.value.as_str(), row.from.as_str()))
}

fn parameters(world: &mut World, more: Value) {
    json_patch::merge(&mut world.class["parameters"], &more);
}

#[test]
fn an_ordinary_claim_is_told_every_key_and_whose_word_it_is() {
    let explanation = explained(|world| parameters(world, json!({"onDelete": "delete"})));
    let rows: Vec<_> = explanation
        .policy
        .iter()
        .map(|row| (row.key, row.value.as_str(), row.from.as_str()))
        .collect();
    let template = "${pvc.metadata.namespace}-${pvc.metadata.name}-${pv.metadata.name}";
    let heard = "onDelete, archiveOnDelete, mountPermissions, archiveRetention, onStorageFailure";
    let expected = [
        ("server", "nas1", "class"),
        ("share", "/export", "class"),
        ("subDir", template, "default"),
        ("onDelete", "delete", "class"),
        ("mountPermissions", "0777", "default"),
        ("uid", "the server's choice", "default"),
        ("gid", "the server's choice", "default"),
        ("existingDirectory", "deny", "default"),
        ("archiveRetention", "forever", "default"),
        ("onStorageFailure", "queue", "default"),
        ("nfsVersion", "4", "default"),
        ("namespaceOverrides", heard, "default"),
        ("claimOverrides", "none", "default"),
        ("reclaimPolicy", "Delete", "class"),
    ];
    assert_eq!(rows, expected);
    assert_eq!(explanation.claim, "team-a/data");
    assert_eq!(
        explanation.directory.as_deref(),
        Some("nas1:/export/team-a-data-pvc-<uuid>")
    );
    let volume = ANY.to_owned();
    assert_eq!(explanation.outcome, Outcome::Provisioned { volume });
}

#[test]
fn each_place_is_named_with_the_annotation_or_the_parameter_that_says_it() {
    let world = |class: Value, namespace: Value, claim: Value| {
        explained(|world| {
            let all = "subDir, pathPattern, onDelete, archiveOnDelete";
            parameters(world, json!({"namespaceOverrides": all, "claimOverrides": all}));
            parameters(world, class);
            world.namespace = namespace;
            world.claim["metadata"]["annotations"] = claim;
        })
    };
    let of = |key: &str, class, namespace, claim| {
        let explanation = world(class, namespace, claim);
        let (value, from) = found(&explanation, key);
        format!("{value} {from}")
    };
    let none = || json!({});
    assert_eq!(
        of("onDelete", json!({"archiveOnDelete": "false"}), none(), none()),
        "delete class parameter archiveOnDelete"
    );
    assert_eq!(
        of("pathPattern", json!({"pathPattern": "x/${.PVC.name}"}), none(), none()),
        "x/${.PVC.name} class"
    );
    let namespace = json!({"bindery.dev/archive-on-delete": "false", "bindery.dev/sub-dir": "a"});
    assert_eq!(
        of("onDelete", json!({"onDelete": "retain"}), namespace.clone(), none()),
        "delete namespace annotation bindery.dev/archive-on-delete"
    );
    assert_eq!(
        of("subDir", none(), namespace.clone(), none()),
        "a namespace annotation bindery.dev/sub-dir"
    );
    let claim = json!({"bindery.dev/on-delete": "retain", "bindery.dev/archive-on-delete": "false"});
    assert_eq!(
        of("onDelete", none(), namespace, claim),
        "retain claim annotation bindery.dev/on-delete"
    );
}

#[test]
fn server_and_share_may_come_from_the_flags_known_or_not() {
    let bare = |world: &mut World| {
        world.class["parameters"] = json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"});
    };
    let unknown = explained(bare);
    assert_eq!(
        found(&unknown, "server"),
        ("the --nfs-server of bindery serve", "flag, not given here")
    );
    assert_eq!(
        unknown.directory.as_deref(),
        Some("<--nfs-server>:/<--nfs-share>/team-a/data")
    );
    // Its name follows from server and share, too.
    let volume = ANY.to_owned();
    assert_eq!(unknown.outcome, Outcome::Provisioned { volume });

    let flags = |world: &mut World| {
        bare(world);
        world.defaults.server = Some("nas2".to_owned());
        world.defaults.share = Some("/vol".to_owned());
    };
    let known = explained(flags);
    assert_eq!(found(&known, "server"), ("nas2", "--nfs-server"));
    assert_eq!(found(&known, "share"), ("/vol", "--nfs-share"));
    let volume = World::with(flags).volume().name;
    assert_eq!(known.outcome, Outcome::Provisioned { volume });
}

#[test]
fn a_refusal_is_the_webhooks_sentence_and_the_policy_is_told_as_far_as_it_was_read() {
    let told: [(&str, Change, bool); 4] = [
        (
            "a block volume",
            |world| world.claim["spec"]["volumeMode"] = json!("Block"),
            false,
        ),
        (
            "a wrong class",
            |world| parameters(world, json!({"onDelete": "erase"})),
            false,
        ),
        (
            "a wrong annotation",
            |world| world.namespace = json!({"bindery.dev/on-delete": "erase"}),
            false,
        ),
        (
            "a missing label",
            |world| parameters(world, json!({"subDir": "${pvc.metadata.labels['zone']}"})),
            true,
        ),
    ];
    for (what, change, read) in told {
        let world = World::with(change);
        let Decision::Deny(why) = world.ask(decide).decision else {
            panic!("{what} is not refused")
        };
        let explanation = world.explained();
        assert_eq!(explanation.outcome, Outcome::Refused { why }, "{what}");
        assert_eq!(!explanation.policy.is_empty(), read, "{what}");
        assert_eq!(explanation.directory, None, "{what}");
    }
}

#[test]
fn a_directory_that_is_anothers_or_in_anothers_refuses_the_claim() {
    let named = |directory: &'static str| {
        move |world: &mut World| {
            parameters(world, json!({"subDir": directory}));
        }
    };
    let other = |directory| {
        let mut world = World::with(named(directory));
        world.claim["metadata"]["name"] = json!("other");
        world.volume()
    };
    let refused = |others: Vec<Volume>| {
        let explanation = explained(|world| {
            named("a/b")(world);
            world.others = others;
        });
        match explanation.outcome {
            Outcome::Refused { why } => why,
            other => format!("{other:?}"),
        }
    };
    let holder = other("a/b");
    assert_eq!(
        refused(vec![holder.clone()]),
        format!(
            "directory a/b of share nas1:/export belongs to volume {}, which is claim team-a/other's",
            holder.name
        )
    );
    let above = other("a");
    assert_eq!(
        refused(vec![above.clone()]),
        format!(
            "directory a/b of share nas1:/export overlaps with directory a of volume {}, which is claim team-a/other's",
            above.name
        )
    );
    assert!(refused(vec![other("b")]).starts_with("Provisioned"));
}

#[test]
fn a_claim_that_is_left_alone_is_told_why() {
    let told: [(Change, &str); 5] = [
        (
            |world| world.claim["spec"]["storageClassName"] = json!(""),
            "it names no StorageClass",
        ),
        (|world| world.class = json!(null), "there is no StorageClass fast"),
        (
            |world| world.class["provisioner"] = json!("other"),
            "StorageClass fast is of provisioner other, not of bindery.dev/nfs",
        ),
        (
            |world| world.namespace = json!({"bindery.dev/enabled": "false"}),
            "namespace team-a is annotated bindery.dev/enabled: \"false\"",
        ),
        (
            |world| world.claim["spec"]["volumeName"] = json!("mine"),
            "it names volume mine itself, and Bindery binds no volume that a user chose",
        ),
    ];
    for (change, why) in told {
        let explanation = explained(change);
        let why = why.to_owned();
        assert_eq!(explanation.outcome, Outcome::LeftAlone { why });
        assert_eq!((explanation.policy, explanation.directory), (vec![], None));
    }
}

#[test]
fn warnings_are_those_that_the_user_reads() {
    let world = World::with(|world| world.claim["metadata"]["annotations"] = json!({"bindery.dev/uid": "0"}));
    let warnings = world.ask(decide).warnings;
    assert_eq!((world.explained().warnings, warnings.len()), (warnings, 1));
}

#[test]
fn a_generated_name_is_shown_as_one() {
    let explanation = explained(|world| world.claim["metadata"] = json!({"generateName": "data-"}));
    assert_eq!(explanation.claim, "team-a/data-<random>");
    assert_eq!(
        explanation.directory.as_deref(),
        Some("nas1:/export/team-a-data-<random>-pvc-<uuid>")
    );
}

/// A claim with its volume, after which the world has changed.
fn settled(change: impl FnOnce(&mut World)) -> Explanation {
    let mut world = World::default();
    let mut volume = world.volume();
    volume.ready = true;
    volume.claim.as_mut().unwrap().uid = Some("u".to_owned());
    world.claim["spec"]["volumeName"] = json!(volume.name);
    world.volume = Some(volume);
    world.standing = Standing::Stored;
    change(&mut world);
    world.explained()
}

const VOLUME: &str = "pvc-00000000-0000-0000-0000-000000000007";

#[test]
fn a_claim_with_its_volume_is_told_what_stands_there() {
    let explanation = settled(|_| ());
    let outcome = Outcome::HasVolume {
        volume: VOLUME.to_owned(),
        new_claim: None,
    };
    assert_eq!(explanation.outcome, outcome);
    assert_eq!(
        found(&explanation, "onDelete"),
        ("archive", "volume annotation bindery.dev/on-delete")
    );
    assert_eq!(
        explanation.directory,
        Some(format!("nas1:/export/team-a-data-{VOLUME}"))
    );
    assert_eq!(
        found(&explanation, "uid"),
        ("the server's choice", "volume without annotation bindery.dev/uid")
    );
    assert!(explanation.policy.iter().all(|row| row.new_claim.is_none()));
}

/// A claim that is there without a volume.
fn waiting(change: impl FnOnce(&mut World)) -> Explanation {
    explained(|world| {
        world.claim["metadata"]["uid"] = json!("00000000-0000-0000-0000-00000000000c");
        world.standing = Standing::Stored;
        change(world);
    })
}

#[test]
fn a_claim_that_waits_is_told_the_volume_that_bears_its_uid_or_that_was_begun_for_it() {
    let provisioned = |explanation: Explanation| match explanation.outcome {
        Outcome::NoVolumeYet { volume } | Outcome::Provisioned { volume } => {
            (volume, explanation.directory.unwrap_or_default())
        }
        other => panic!("{other:?}"),
    };
    let own = "pvc-00000000-0000-0000-0000-00000000000c";
    let directory = format!("nas1:/export/team-a-data-{own}");
    assert_eq!(provisioned(waiting(|_| ())), (own.to_owned(), directory));
    let begun = |world: &mut World| world.others = vec![World::default().volume()];
    assert_eq!(provisioned(waiting(begun)).0, VOLUME);
    let of_a_file = |world: &mut World| world.standing = Standing::Written;
    assert_eq!(provisioned(waiting(of_a_file)).0, ANY);
}

#[test]
fn a_claim_that_waits_for_its_pod_or_for_a_directory_to_become_free_is_told_so() {
    let scheduled = |world: &mut World| world.class["volumeBindingMode"] = json!("WaitForFirstConsumer");
    assert!(matches!(waiting(scheduled).outcome, Outcome::LeftAlone { .. }));
    assert!(matches!(explained(scheduled).outcome, Outcome::Provisioned { .. }));
    let leaving = |world: &mut World| {
        parameters(world, json!({"subDir": "${pvc.metadata.name}"}));
        let mut volume = world.volume();
        volume.deleting = true;
        let name = volume.name.clone();
        world.others = vec![volume];
        name
    };
    let mut name = String::new();
    let explanation = explained(|world| name = leaving(world));
    let why = format!("directory data of share nas1:/export belongs to volume {name}, which is being cleaned up");
    assert_eq!(explanation.outcome, Outcome::Queued { why });
}

#[test]
fn what_class_and_namespace_say_otherwise_by_now_stands_beside() {
    let explanation = settled(|world| {
        parameters(
            world,
            json!({"server": "nas9", "subDir": "${pvc.metadata.name}", "uid": "5"}),
        );
        world.namespace = json!({"bindery.dev/on-delete": "delete"});
    });
    let differ: Vec<_> = explanation
        .policy
        .iter()
        .filter_map(|row| {
            let new = row.new_claim.as_ref()?;
            Some((row.key, row.value.as_str(), new.value.as_str(), new.from.as_str()))
        })
        .collect();
    let directory = format!("team-a-data-{VOLUME}");
    let expected = [
        ("server", "nas1", "nas9", "class"),
        ("subDir", directory.as_str(), "${pvc.metadata.name}", "class"),
        (
            "onDelete",
            "archive",
            "delete",
            "namespace annotation bindery.dev/on-delete",
        ),
        ("uid", "the server's choice", "5", "class"),
    ];
    assert_eq!(differ, expected);
}

#[test]
fn a_claim_keeps_its_volume_where_a_new_one_would_be_refused_or_left_alone() {
    let new = |change: Change| match settled(change).outcome {
        Outcome::HasVolume { new_claim, .. } => new_claim.unwrap_or_default(),
        other => format!("{other:?}"),
    };
    assert_eq!(
        new(|world| world.class = json!(null)),
        "left alone: there is no StorageClass fast"
    );
    assert!(new(|world| parameters(world, json!({"onDelete": "erase"}))).starts_with("refused: StorageClass fast: "));
}

#[test]
fn a_volume_that_is_not_ours_or_not_there_is_told() {
    let why = |change: Change| match settled(change).outcome {
        Outcome::LeftAlone { why } => why,
        other => format!("{other:?}"),
    };
    assert_eq!(
        why(|world| world.volume.as_mut().unwrap().maker = None),
        format!("its volume {VOLUME} was not made by bindery.dev/nfs")
    );
    assert_eq!(
        why(|world| world.volume.as_mut().unwrap().claim.as_mut().unwrap().name = "other".to_owned()),
        format!("it names volume {VOLUME}, which is claim team-a/other's")
    );
    assert_eq!(
        why(|world| world.volume = None),
        format!("it names volume {VOLUME}, which does not exist")
    );
}

#[test]
fn a_file_with_a_claim_that_is_there_is_told_so() {
    let explanation = explained(|world| world.standing = Standing::WrittenAgain);
    assert!(matches!(explanation.outcome, Outcome::LeftAlone { .. }));
    assert_eq!(found(&explanation, "onDelete"), ("archive", "default"));
}

#[test]
fn without_the_flags_it_is_told_that_other_volumes_could_not_be_compared() {
    let warnings = |template: &str| explained(|world| world.class["parameters"] = json!({"subDir": template})).warnings;
    let told = "whether another volume has this directory cannot be told: name the --nfs-server and --nfs-share that \
                bindery serve has";
    assert_eq!(warnings("shared"), [told]);
    assert_eq!(warnings("${pv.metadata.name}"), Vec::<String>::new());
}

#[test]
fn an_adopted_directory_keeps_its_mode_and_owner_and_is_told_so() {
    let rows = |origin: Origin| {
        let mut world = World::with(|world| parameters(world, json!({"subDir": "a", "uid": "7"})));
        let mut volume = world.volume();
        volume.record.as_mut().unwrap().origin = origin;
        volume.claim.as_mut().unwrap().uid = Some("u-1".to_owned());
        world.claim["spec"]["volumeName"] = json!(volume.name);
        world.standing = Standing::Stored;
        world.volume = Some(volume);
        let all = world.explained().policy;
        let of = |key: Key| all.iter().find(|row| row.key == key.name()).unwrap().value.clone();
        [of(Key::MountPermissions), of(Key::Uid)]
    };
    assert_eq!(rows(Origin::New), ["0777", "7"]);
    assert_eq!(rows(Origin::Adopted), ["adopted: keeps its mode and owner"; 2]);
}

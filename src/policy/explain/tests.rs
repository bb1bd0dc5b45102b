//! Explanations of claims. Each case shows only its difference from a claim that is provisioned.

use std::ops::{Deref, DerefMut};

use serde_json::{Value, json};

use super::placeholders::ANY;
use super::*;
use crate::model::volume::Origin;
use crate::policy::decide::decide;
use crate::policy::fixtures::{self, installation};

mod restored;
mod stored;

/// The input of an explanation.
struct World {
    facts: fixtures::World,
    read_from: ReadFrom,
    others: Vec<Volume>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            facts: fixtures::World::default(),
            read_from: ReadFrom::File,
            others: Vec::new(),
        }
    }
}

impl Deref for World {
    type Target = fixtures::World;

    fn deref(&self) -> &fixtures::World {
        &self.facts
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut fixtures::World {
        &mut self.facts
    }
}

impl World {
    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut world = Self::default();
        change(&mut world);
        world
    }

    fn explained(&self) -> Explanation {
        self.ask(|facts| explain(facts, self.read_from, &self.others))
    }

    /// The volume that the webhook would create.
    fn volume(&self) -> Volume {
        match self.ask(decide).decision {
            Decision::Provision(new) => Volume::read(&new.build(Origin::New, &installation())),
            other => panic!("{other:?}"),
        }
    }
}

/// The difference of a case from a claim that is provisioned.
type Change = fn(&mut World);

fn explained(change: impl FnOnce(&mut World)) -> Explanation {
    World::with(change).explained()
}

/// A row as key, value and source.
fn found<'a>(explanation: &'a Explanation, key: &str) -> (&'a str, &'a str) {
    let row = explanation.policy.iter().find(|row| row.key == key);
    row.map_or(("", ""), |row| (row.value.as_str(), row.from.as_str()))
}

#[test]
fn every_key_is_listed_with_its_source() {
    let explanation = explained(|world| world.parameters(&json!({"onDelete": "delete"})));
    let rows: Vec<_> = explanation
        .policy
        .iter()
        .map(|row| (row.key, row.value.as_str(), row.from.as_str()))
        .collect();
    let template = "${pvc.metadata.namespace}-${pvc.metadata.name}-${pv.metadata.name}";
    let namespace = "onDelete, archiveOnDelete, mountPermissions, archiveRetention, onStorageFailure";
    let expected = [
        ("server", "nas1", "class"),
        ("share", "/export", "class"),
        ("subDir", template, "default"),
        ("onDelete", "delete", "class"),
        ("mountPermissions", "0777", "default"),
        ("uid", "set by the server", "default"),
        ("gid", "set by the server", "default"),
        ("existingDirectory", "deny", "default"),
        ("archiveRetention", "forever", "default"),
        ("archiveRestore", "allow", "default"),
        ("restoreAttributes", "keep", "default"),
        ("onStorageFailure", "queue", "default"),
        ("nfsVersion", "4", "default"),
        ("provision", "onCreate", "default"),
        ("volumeLabels", "none", "default"),
        ("volumeSource", "nfs", "default"),
        ("freeSpace", "ignore", "default"),
        ("sizeLimit", "ignore", "default"),
        ("namespaceOverrides", namespace, "default"),
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
fn each_source_is_named_with_its_annotation_or_parameter() {
    let world = |class: Value, namespace: Value, claim: Value| {
        explained(|world| {
            let all = "subDir, pathPattern, onDelete, archiveOnDelete";
            world.parameters(&json!({"namespaceOverrides": all, "claimOverrides": all}));
            world.parameters(&class);
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
fn server_and_share_from_the_flags_are_shown_if_this_command_has_the_flags() {
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
    // Its name also depends on server and share.
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
fn a_refusal_has_the_message_of_the_webhook_and_the_known_settings() {
    let table: [(&str, Change, bool); 4] = [
        (
            "a block volume",
            |world| world.claim["spec"]["volumeMode"] = json!("Block"),
            false,
        ),
        (
            "a wrong class",
            |world| world.parameters(&json!({"onDelete": "erase"})),
            false,
        ),
        (
            "a wrong annotation",
            |world| world.namespace = json!({"bindery.dev/on-delete": "erase"}),
            false,
        ),
        (
            "a missing label",
            |world| world.parameters(&json!({"subDir": "${pvc.metadata.labels['zone']}"})),
            true,
        ),
    ];
    for (what, change, read) in table {
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
fn an_overlapping_directory_refuses_the_claim() {
    let named = |directory: &'static str| {
        move |world: &mut World| {
            world.parameters(&json!({"subDir": directory}));
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
            "directory a/b of share nas1:/export belongs to volume {}, which claim team-a/other uses; \
             choose another directory for this claim",
            holder.name
        )
    );
    let above = other("a");
    assert_eq!(
        refused(vec![above.clone()]),
        format!(
            "directory a/b of share nas1:/export overlaps with directory a of volume {}, which claim team-a/other uses; \
             choose another directory for this claim",
            above.name
        )
    );
    assert!(refused(vec![other("b")]).starts_with("Provisioned"));
}

#[test]
fn a_claim_that_is_not_served_has_a_reason() {
    let table: [(Change, &str); 5] = [
        (
            |world| world.claim["spec"]["storageClassName"] = json!(""),
            "it names no StorageClass",
        ),
        (|world| world.class = json!(null), "there is no StorageClass fast"),
        (
            |world| world.class["provisioner"] = json!("other"),
            "StorageClass fast has provisioner other, not bindery.dev/nfs",
        ),
        (
            |world| world.namespace = json!({"bindery.dev/enabled": "false"}),
            "namespace team-a is annotated bindery.dev/enabled: \"false\"",
        ),
        (
            |world| world.claim["spec"]["volumeName"] = json!("mine"),
            "it names volume mine in spec.volumeName, and Bindery provisions no claim that names a volume",
        ),
    ];
    for (change, why) in table {
        let explanation = explained(change);
        let why = why.to_owned();
        assert_eq!(explanation.outcome, Outcome::NotServed { why });
        assert_eq!((explanation.policy, explanation.directory), (vec![], None));
    }
}

#[test]
fn the_warnings_are_those_of_the_webhook() {
    let world = World::with(|world| world.claim["metadata"]["annotations"] = json!({"bindery.dev/uid": "0"}));
    let warnings = world.ask(decide).warnings;
    assert_eq!((world.explained().warnings, warnings.len()), (warnings, 1));
}

#[test]
fn a_generated_name_is_shown_with_a_placeholder() {
    let explanation = explained(|world| world.claim["metadata"] = json!({"generateName": "data-"}));
    assert_eq!(explanation.claim, "team-a/data-<random>");
    assert_eq!(
        explanation.directory.as_deref(),
        Some("nas1:/export/team-a-data-<random>-pvc-<uuid>")
    );
}

#[test]
fn a_claim_in_a_file_that_already_exists_is_reported() {
    let explanation = explained(|world| world.read_from = ReadFrom::FileOfExistingClaim);
    assert!(matches!(explanation.outcome, Outcome::NotServed { .. }));
    assert_eq!(found(&explanation, "onDelete"), ("archive", "default"));
}

#[test]
fn without_the_flags_a_warning_says_that_overlaps_are_not_checked() {
    let warnings = |template: &str| explained(|world| world.class["parameters"] = json!({"subDir": template})).warnings;
    let warning = "could not check whether another volume uses this directory: give the --nfs-server and --nfs-share that \
    bindery serve has";
    assert_eq!(warnings("shared"), [warning]);
    assert_eq!(warnings("${pv.metadata.name}"), Vec::<String>::new());
}

#[test]
fn an_exempt_claim_is_not_served_and_keeps_its_volume() {
    let why = "the namespaceSelector of MutatingWebhookConfiguration bindery does not select the claim's namespace";
    let mut explanation = World::default().explained();
    explanation.exempt(Exempt::Namespace, "bindery");
    assert_eq!(explanation.outcome, Outcome::NotServed { why: why.to_owned() });
    assert_eq!((explanation.policy, explanation.directory), (vec![], None));

    let mut explanation = World::default().explained();
    let volume = "pvc-1".to_owned();
    explanation.outcome = Outcome::HasVolume {
        volume: volume.clone(),
        new_claim: None,
    };
    explanation.exempt(Exempt::Object, "bindery");
    let new_claim = "not served: the objectSelector of MutatingWebhookConfiguration bindery does not select the claim";
    let expected = Outcome::HasVolume {
        volume,
        new_claim: Some(new_claim.to_owned()),
    };
    assert_eq!(explanation.outcome, expected);
    assert!(!explanation.policy.is_empty(), "the settings on the volume apply");
}

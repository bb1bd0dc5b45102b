//! A claim's way in, as a table. Each case shows only its difference from a claim that is provisioned.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};

use super::*;
use crate::policy::class::Reclaim;
use crate::policy::directory::Share;
use crate::policy::on_delete::OnDelete;
use crate::policy::retention::Retention;
use crate::policy::settings::ExistingDirectory;
use crate::storage::Attributes;
use crate::volume::{ClaimRef, Origin, Phase, Record};

#[path = "decide_settings_tests.rs"]
mod settings;

/// Everything that has a say, as JSON; `Default` is the case where all is well.
struct World {
    claim: Value,
    class: Value,
    namespace: Value,
    volume: Option<Volume>,
    us: Us,
}

impl Default for World {
    fn default() -> Self {
        Self {
            claim: json!({
                "metadata": {"name": "data"},
                "spec": {
                    "storageClassName": "fast",
                    "accessModes": ["ReadWriteMany", "ReadOnlyMany"],
                    "resources": {"requests": {"storage": "1.5Gi"}},
                },
            }),
            class: json!({
                "metadata": {"name": "fast"},
                "provisioner": "bindery.dev/nfs",
                "parameters": {"server": "nas1", "share": "/export"},
            }),
            namespace: json!({}),
            volume: None,
            us: us(),
        }
    }
}

fn us() -> Us {
    Us {
        provisioner: "bindery.dev/nfs".to_owned(),
        instance: "blue".to_owned(),
    }
}

fn verdict(change: impl FnOnce(&mut World)) -> Verdict {
    let mut world = World::default();
    change(&mut world);
    let claim: PersistentVolumeClaim = serde_json::from_value(world.claim).unwrap();
    let class: Option<StorageClass> = serde_json::from_value(world.class).unwrap();
    let namespace = Namespace {
        labels: [("team".to_owned(), "blue".to_owned())].into(),
        annotations: serde_json::from_value(world.namespace).unwrap(),
    };
    decide(&Facts {
        claim: &Claim::read(&claim, "team-a"),
        class: class.as_ref(),
        namespace: &namespace,
        volume: world.volume.as_ref(),
        defaults: &Defaults::default(),
        us: &world.us,
        fresh: Uuid::from_u128(0x1234),
    })
}

fn decision(change: impl FnOnce(&mut World)) -> Decision {
    verdict(change).decision
}

fn provisioned(change: impl FnOnce(&mut World)) -> NewVolume {
    match decision(change) {
        Decision::Provision(new) => *new,
        other => panic!("{other:?}"),
    }
}

const VOLUME: &str = "pvc-00000000-0000-0000-0000-000000001234";

/// The volume that an earlier call for the same claim made.
fn given() -> Volume {
    Volume {
        name: "pvc-earlier".to_owned(),
        uid: "u".to_owned(),
        version: "7".to_owned(),
        deleting: false,
        held: true,
        phase: Phase::Unbound,
        claim: Some(ClaimRef {
            namespace: "team-a".to_owned(),
            name: "data".to_owned(),
            uid: None,
        }),
        class: "fast".to_owned(),
        access_modes: vec!["ReadWriteMany".to_owned(), "ReadOnlyMany".to_owned()],
        capacity: Bytes::read(&Quantity("1.5Gi".to_owned())),
        reclaim: Reclaim::Delete,
        ready: false,
        attempt: None,
        maker: Some(us()),
        record: Ok(Record {
            share: Share::parse("nas1", "/export").unwrap(),
            directory: Directory::parse("team-a-data-pvc-earlier").unwrap(),
            origin: Origin::New,
            on_delete: OnDelete::Archive,
            retention: Retention::Forever,
            identity: None,
            attributes: Attributes {
                mode: 0o777,
                uid: None,
                gid: None,
            },
        }),
    }
}

fn reinvoked(world: &mut World) {
    world.claim["spec"]["volumeName"] = json!("pvc-earlier");
    world.volume = Some(given());
}

#[test]
fn a_claim_of_ours_gets_a_volume_and_a_directory_of_its_own() {
    let new = provisioned(|_| ());
    assert_eq!(new.name, VOLUME);
    assert_eq!(new.claim, ("team-a".to_owned(), "data".to_owned()));
    assert_eq!(new.share.join(&new.directory), format!("/export/team-a-data-{VOLUME}"));
    assert_eq!((new.capacity.written.as_str(), new.capacity.bytes), ("1.5Gi", 3 << 29));
    assert_eq!(
        (new.on_delete, new.reclaim, new.attributes.mode),
        (OnDelete::Archive, Reclaim::Delete, 0o777)
    );
}

#[test]
fn what_is_not_ours_passes_untouched() {
    let pass = |change: fn(&mut World)| match decision(change) {
        Decision::Pass(reason) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        pass(|world| world.claim["spec"]["storageClassName"] = json!(null)),
        Pass::NoClass
    );
    assert_eq!(
        pass(|world| world.claim["spec"]["storageClassName"] = json!("")),
        Pass::NoClass
    );
    assert_eq!(pass(|world| world.class = json!(null)), Pass::OtherClass);
    assert_eq!(
        pass(|world| world.class["provisioner"] = json!("example.com/other")),
        Pass::OtherClass
    );
    assert_eq!(
        pass(|world| world.claim["spec"]["volumeName"] = json!("by-hand")),
        Pass::NamesVolume
    );
    assert_eq!(
        pass(|world| world.namespace = json!({"bindery.dev/enabled": "false"})),
        Pass::NamespaceDisabled
    );
    assert_eq!(
        pass(|world| world.claim["metadata"]["name"] = json!("../../x")),
        Pass::Malformed
    );
    assert_eq!(
        pass(|world| world.claim["spec"]["accessModes"] = json!([])),
        Pass::Malformed
    );
    assert_eq!(
        pass(|world| world.claim["spec"]["resources"] = json!({})),
        Pass::Malformed
    );
}

#[test]
fn what_nfs_cannot_give_is_refused_with_every_reason() {
    let denied = decision(|world| {
        world.claim["spec"]["volumeMode"] = json!("Block");
        world.claim["spec"]["selector"] = json!({"matchLabels": {"a": "b"}});
    });
    let message = "StorageClass fast cannot provide volumeMode Block and a selector; \
                   change the claim or choose another class";
    assert_eq!(denied, Decision::Deny(message.to_owned()));
}

#[test]
fn a_class_or_namespace_with_mistakes_refuses_the_claim_and_names_them() {
    let denied = decision(|world| world.class["parameters"]["onDelete"] = json!("shred"));
    let message = "StorageClass fast: onDelete is \"shred\": allowed are delete, retain or archive; an administrator must \
                   delete the class and create it anew, since parameters cannot be edited";
    assert_eq!(denied, Decision::Deny(message.to_owned()));

    let denied = decision(|world| world.namespace = json!({"bindery.dev/on-delete": "shred"}));
    let message = "namespace team-a: bindery.dev/on-delete is \"shred\": allowed are delete, retain or archive; \
                   an administrator must correct it";
    assert_eq!(denied, Decision::Deny(message.to_owned()));
}

#[test]
fn the_namespace_wins_over_the_class_and_the_class_over_the_default() {
    let on_delete = |namespace: Value, class: Value| {
        let new = provisioned(|world| {
            world.namespace = namespace;
            let parameters = world.class["parameters"].as_object_mut().unwrap();
            parameters.extend(class.as_object().unwrap().clone());
        });
        new.on_delete
    };
    let table = [
        (json!({}), json!({}), OnDelete::Archive),
        (json!({}), json!({"onDelete": "delete"}), OnDelete::Delete),
        (json!({}), json!({"archiveOnDelete": "false"}), OnDelete::Delete),
        (
            json!({"bindery.dev/on-delete": "retain"}),
            json!({"onDelete": "delete"}),
            OnDelete::Retain,
        ),
        (
            json!({"bindery.dev/archive-on-delete": "true"}),
            json!({"onDelete": "delete"}),
            OnDelete::Archive,
        ),
        (
            json!({"bindery.dev/archive-on-delete": "false"}),
            json!({}),
            OnDelete::Delete,
        ),
    ];
    for (namespace, class, expected) in table {
        assert_eq!(
            on_delete(namespace.clone(), class.clone()),
            expected,
            "{namespace} {class}"
        );
    }
}

#[test]
fn a_generated_name_is_settled_as_kubernetes_would() {
    let name = |prefix: &str| {
        provisioned(|world| world.claim["metadata"] = json!({"generateName": prefix}))
            .claim
            .1
    };
    assert_eq!(name("data-"), "data-bbbbb");
    assert_eq!(name(&"a".repeat(100)).len(), 63);
}

#[test]
fn a_directory_name_that_no_server_takes_is_refused() {
    let name = "a".repeat(250);
    let denied = decision(|world| world.claim["metadata"]["name"] = json!(name));
    // Of a very long one the ends are shown.
    let path = format!("team-a-{name}-{VOLUME}");
    let message = format!(
        "${{pvc.metadata.namespace}}-${{pvc.metadata.name}}-${{pv.metadata.name}} (the default of subDir) gives no directory \
         for this claim: directory \"{}[...]{}\" has a segment of 298 bytes; NFS servers take 255 at most; change what the \
         claim brings to it, or choose another class",
        &path[..100],
        &path[path.len() - 100..],
    );
    assert_eq!(denied, Decision::Deny(message));
}

#[test]
fn a_repeated_call_uses_the_volume_of_the_first_with_what_it_says_now() {
    let answer = verdict(|world| {
        reinvoked(world);
        world.claim["spec"]["resources"]["requests"]["storage"] = json!("2Gi");
        world.namespace = json!({"bindery.dev/on-delete": "retain"});
    });
    let Decision::Provision(new) = answer.decision else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (new.name.as_str(), new.directory.as_str()),
        ("pvc-earlier", "team-a-data-pvc-earlier")
    );
    assert_eq!((new.capacity.bytes, new.on_delete), (2 << 30, OnDelete::Retain));
    assert_eq!(answer.unused, None);
}

#[test]
fn a_claim_whose_directory_another_webhook_has_changed_gets_a_new_volume_and_the_old_one_goes() {
    let answer = verdict(|world| {
        reinvoked(world);
        world.class["parameters"]["subDir"] = json!("${pvc.metadata.namespace}/${pv.metadata.name}");
    });
    assert!(
        matches!(&answer.decision, Decision::Provision(new) if new.name == VOLUME),
        "{answer:?}"
    );
    assert_eq!(answer.unused, Some(Box::new(given())));
}

#[test]
fn a_claim_that_another_webhook_has_given_to_another_class_loses_our_volume() {
    let answer = verdict(|world| {
        reinvoked(world);
        world.class["provisioner"] = json!("example.com/other");
    });
    assert_eq!(answer.decision, Decision::Pass(Pass::OtherClass));
    assert_eq!(answer.unused, Some(Box::new(given())));
}

#[test]
fn a_volume_that_is_not_ours_for_this_very_claim_is_never_used() {
    let changes: [fn(&mut Volume); 9] = [
        // A kept volume that an administrator has freed holds data.
        |volume| volume.ready = true,
        |volume| volume.phase = Phase::Released,
        |volume| volume.record.as_mut().unwrap().identity = Some("1.2:3".parse().unwrap()),
        |volume| volume.maker = None,
        |volume| volume.maker.as_mut().unwrap().instance = "green".to_owned(),
        |volume| volume.deleting = true,
        |volume| volume.claim.as_mut().unwrap().uid = Some("u-1".to_owned()),
        |volume| volume.claim.as_mut().unwrap().namespace = "team-b".to_owned(),
        |volume| volume.claim = None,
    ];
    for (case, change) in changes.into_iter().enumerate() {
        let answer = verdict(|world| {
            reinvoked(world);
            change(world.volume.as_mut().unwrap());
        });
        assert_eq!(answer.decision, Decision::Pass(Pass::NamesVolume), "case {case}");
        assert_eq!(answer.unused, None, "case {case}");
    }
}

fn with_template(parameters: Value) -> NewVolume {
    provisioned(|world| {
        let all = world.class["parameters"].as_object_mut().unwrap();
        all.extend(parameters.as_object().unwrap().clone());
        world.claim["metadata"]["labels"] = json!({"app": "db"});
    })
}

#[test]
fn a_directory_that_is_not_the_volumes_alone_gives_the_volume_its_name() {
    let layout = |share: &str, template: &str| with_template(json!({"share": share, "subDir": template}));
    let one = layout("/export", "${pvc.metadata.namespace}/${pvc.metadata.name}");
    assert_eq!(one.directory.as_str(), "team-a/data");
    assert_ne!(one.name, VOLUME);
    let same_path = layout("/export/team-a", "${pvc.metadata.name}");
    assert_eq!(same_path.name, one.name);
    assert_ne!(layout("/export", "${pvc.metadata.labels['app']}").name, one.name);
    let unique = layout("/export", "${pvc.metadata.namespace}/${pv.metadata.name}");
    assert_eq!(
        (unique.name.as_str(), unique.directory.as_str()),
        (VOLUME, format!("team-a/{VOLUME}").as_str())
    );
}

#[test]
fn a_directory_that_is_there_is_adopted_only_where_it_is_the_namespaces_own_or_the_class_says_so() {
    let existing = |parameters| with_template(parameters).existing;
    let own = json!({"pathPattern": "${.PVC.namespace}/${.PVC.name}"});
    let open = json!({"pathPattern": "${.PVC.labels.app}"});
    assert_eq!(existing(own), ExistingDirectory::Adopt);
    assert_eq!(existing(open), ExistingDirectory::Deny);
    let told = json!({"pathPattern": "${.PVC.labels.app}", "existingDirectory": "adopt"});
    assert_eq!(existing(told), ExistingDirectory::Adopt);
}

#[test]
fn a_label_that_the_template_needs_and_the_claim_has_not_refuses_the_claim() {
    let denied = |template: &str| decision(|world| world.class["parameters"]["subDir"] = json!(template));
    let message = "${pvc.metadata.labels['zone']} (subDir of StorageClass fast) gives no directory for this claim: \
                   label zone of the claim is needed for the directory and is not set; set it";
    assert_eq!(
        denied("${pvc.metadata.labels['zone']}"),
        Decision::Deny(message.to_owned())
    );
    let two = "${pvc.metadata.labels['zone']}/${namespace.metadata.annotations['cost']}";
    let message = format!(
        "{two} (subDir of StorageClass fast) gives no directory for this claim: label zone of the claim and annotation cost \
         of the namespace are needed for the directory and are not set; set them"
    );
    assert_eq!(denied(two), Decision::Deny(message));
}

#[test]
fn two_templates_in_one_place_are_a_contradiction() {
    let denied = decision(|world| {
        world.class["parameters"]["subDir"] = json!("a");
        world.class["parameters"]["pathPattern"] = json!("b");
    });
    let message = "StorageClass fast: subDir and pathPattern are both set: they say the same in two ways, keep one; \
                   an administrator must delete the class and create it anew, since parameters cannot be edited";
    assert_eq!(denied, Decision::Deny(message.to_owned()));
}

#[test]
fn a_tenants_template_adopts_nothing_unless_the_tenant_may_say_so_too() {
    let existing = |overrides: &str, annotations: Value| {
        let new = provisioned(|world| {
            let parameters = json!({"existingDirectory": "adopt", "claimOverrides": overrides});
            world.class["parameters"]
                .as_object_mut()
                .unwrap()
                .extend(parameters.as_object().unwrap().clone());
            world.claim["metadata"]["annotations"] = annotations;
        });
        new.existing
    };
    let template = "team-b/${pvc.metadata.namespace}";
    let chosen = json!({"bindery.dev/sub-dir": template});
    assert_eq!(existing("subDir", chosen), ExistingDirectory::Deny);
    let both = json!({"bindery.dev/sub-dir": template, "bindery.dev/existing-directory": "adopt"});
    assert_eq!(existing("subDir, existingDirectory", both), ExistingDirectory::Adopt);
}

#[test]
fn a_claim_does_not_come_in_with_a_volume_that_was_taken_back_meanwhile() {
    let denied = decision(|world| {
        reinvoked(world);
        let meant = world.volume.as_mut().unwrap().claim.as_mut().unwrap();
        meant.uid = Some(names::FENCE.to_owned());
    });
    let message = "volume pvc-earlier is being taken back; try again in a moment";
    assert_eq!(denied, Decision::Deny(message.to_owned()));
}

#[test]
fn a_volume_that_was_begun_elsewhere_for_the_same_claim_is_taken_back_first() {
    let begun = |server: &str| {
        verdict(|world| {
            world.claim["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000001234");
            let mut volume = given();
            volume.name = VOLUME.to_owned();
            volume.claim.as_mut().unwrap().uid = Some(names::FENCE.to_owned());
            let record = volume.record.as_mut().unwrap();
            record.directory = Directory::parse(&format!("team-a-data-{VOLUME}")).unwrap();
            record.share = Share::parse(server, "/export").unwrap();
            world.volume = Some(volume);
        })
    };
    assert_eq!(begun("nas1").unused, None);
    let elsewhere = begun("nas2");
    assert!(matches!(elsewhere.decision, Decision::Provision(new) if new.name == VOLUME));
    assert_eq!(elsewhere.unused.map(|volume| volume.name), Some(VOLUME.to_owned()));
}

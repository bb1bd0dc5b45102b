//! Decisions about new claims. Each case shows only its difference from a claim that is provisioned.

use serde_json::{Value, json};

use super::*;
use crate::model::on_delete::OnDelete;
use crate::model::reclaim::Reclaim;
use crate::model::volume::NewVolume;
use crate::policy::fixtures::{VOLUME, World};

mod again;
mod csi;
mod existing;
mod new_volume;
mod settings;

fn verdict(change: impl FnOnce(&mut World)) -> Verdict {
    let mut world = World::default();
    change(&mut world);
    world.ask(decide)
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

#[test]
fn a_claim_gets_a_volume_and_a_directory() {
    let new = provisioned(|_| ());
    assert_eq!(new.name, VOLUME);
    assert_eq!(new.claim, ("team-a".to_owned(), "data".to_owned()));
    assert_eq!(new.share.join(&new.directory), format!("/export/team-a-data-{VOLUME}"));
    assert_eq!((new.capacity.written.as_str(), new.capacity.bytes), ("1.5Gi", 3 << 29));
    assert_eq!(
        (new.on_delete, new.reclaim, new.attributes.mode.unwrap()),
        (OnDelete::Archive, Reclaim::Delete, 0o777)
    );
}

#[test]
fn claims_that_bindery_does_not_provision_are_admitted_unchanged() {
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
fn unsupported_requests_are_refused_with_every_reason() {
    let denied = decision(|world| {
        world.claim["spec"]["volumeMode"] = json!("Block");
        world.claim["spec"]["volumeAttributesClassName"] = json!("gold");
    });
    let message = "StorageClass fast cannot provide volumeMode Block and a volume attributes class; \
                   change the claim or choose another class";
    assert_eq!(denied, Decision::Deny(message.to_owned()));
}

#[test]
fn errors_of_class_and_namespace_refuse_the_claim() {
    let denied = decision(|world| world.class["parameters"]["onDelete"] = json!("shred"));
    let message = "StorageClass fast: onDelete is \"shred\": allowed are delete, retain or archive; an administrator \
    must delete the class and create it again, because class parameters cannot be edited";
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
            world.parameters(&class);
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
fn two_templates_in_one_object_are_an_error() {
    let denied = decision(|world| {
        world.class["parameters"]["subDir"] = json!("a");
        world.class["parameters"]["pathPattern"] = json!("b");
    });
    let message = "StorageClass fast: subDir and pathPattern are both set, but mean the same; keep one; \
                   an administrator must delete the class and create it again, because class parameters cannot be \
                   edited";
    assert_eq!(denied, Decision::Deny(message.to_owned()));
}

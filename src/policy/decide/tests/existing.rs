//! Claims for which a volume exists, claims with a selector, and claims with a data source.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::*;
use crate::model::candidate::{Candidate, MatchFields};
use crate::model::volume::{ClaimRef, Volume};
use crate::policy::fixtures;

/// A volume that Bindery did not create: 2Gi, `ReadWriteMany` and `ReadOnlyMany`, of the claim's class.
fn candidate(name: &str, change: impl FnOnce(&mut Candidate)) -> Candidate {
    let mut candidate = Candidate {
        volume: Volume {
            claim: None,
            access_modes: vec!["ReadWriteMany".to_owned(), "ReadOnlyMany".to_owned()],
            capacity: crate::model::claim::Bytes::read(&Quantity("2Gi".to_owned())),
            maker: None,
            ..fixtures::volume(name, "elsewhere")
        },
        match_fields: MatchFields {
            labels: [("tier".to_owned(), "gold".to_owned())].into(),
            ..MatchFields::default()
        },
    };
    change(&mut candidate);
    candidate
}

fn reserved(name: &str, change: impl FnOnce(&mut Candidate)) -> Candidate {
    candidate(name, |candidate| {
        candidate.volume.claim = Some(ClaimRef {
            namespace: "team-a".to_owned(),
            name: "data".to_owned(),
            uid: None,
        });
        // Kubernetes ignores the class of a reserved volume.
        candidate.volume.class = String::new();
        change(candidate);
    })
}

fn small(candidate: &mut Candidate) {
    candidate.volume.capacity = crate::model::claim::Bytes::read(&Quantity("1Gi".to_owned()));
}

/// The existing volumes of a case.
fn existing(which: &str) -> Vec<Candidate> {
    match which {
        "nothing" => vec![],
        "reserved" => vec![candidate("available", |_| ()), reserved("reserved", |_| ())],
        "available" => vec![candidate("available", |_| ())],
        "reserved, too small" => vec![reserved("reserved", small)],
        "available, too small" => vec![candidate("available", small)],
        "reserved, too small; available" => vec![reserved("reserved", small), candidate("available", |_| ())],
        other => panic!("{other}"),
    }
}

fn with_source(world: &mut World, source: &str) {
    let reference = |group: Option<&str>, kind: &str| json!({"apiGroup": group, "kind": kind, "name": "x"});
    let spec = &mut world.claim["spec"];
    match source {
        "empty" => {}
        "populator" => spec["dataSourceRef"] = reference(Some("example.com"), "Image"),
        "claim" => spec["dataSource"] = reference(None, "PersistentVolumeClaim"),
        "snapshot" => spec["dataSourceRef"] = reference(Some("snapshot.storage.k8s.io"), "VolumeSnapshot"),
        other => panic!("{other}"),
    }
}

fn short_name(decision: &Decision) -> &str {
    match decision {
        Decision::Pass(Pass::Reserved(_)) => "reserved",
        Decision::Pass(Pass::Available(_)) => "available",
        Decision::Pass(Pass::Selector) => "waits",
        Decision::Pass(Pass::Populator(_)) => "populator",
        Decision::Provision(_) => "provisioned",
        Decision::Deny(_) => "refused",
        Decision::Pass(other) => panic!("{other:?}"),
    }
}

/// Each row: the existing volumes, whether the claim has a selector, and the decision for four data sources: none, an object
/// for a populator, a claim, a snapshot.
#[rustfmt::skip]
const TABLE: [(&str, bool, [&str; 4]); 12] = [
    // existing volumes                 selector  empty          populator    claim        snapshot
    ("nothing",                         false,  ["provisioned", "populator", "refused",   "refused"]),
    ("nothing",                         true,   ["waits",       "waits",     "waits",     "waits"]),
    ("reserved",                        false,  ["reserved",    "reserved",  "reserved",  "reserved"]),
    ("reserved",                        true,   ["reserved",    "reserved",  "reserved",  "reserved"]),
    ("available",                       false,  ["available",   "available", "available", "available"]),
    ("available",                       true,   ["available",   "available", "available", "available"]),
    ("reserved, too small",             false,  ["provisioned", "populator", "refused",   "refused"]),
    ("reserved, too small",             true,   ["waits",       "waits",     "waits",     "waits"]),
    ("available, too small",            false,  ["provisioned", "populator", "refused",   "refused"]),
    ("available, too small",            true,   ["waits",       "waits",     "waits",     "waits"]),
    ("reserved, too small; available",  false,  ["available",   "available", "available", "available"]),
    ("reserved, too small; available",  true,   ["available",   "available", "available", "available"]),
];

#[test]
fn an_existing_volume_comes_first_then_the_selector_then_the_data_source() {
    for (volumes, selects, outcomes) in TABLE {
        for (source, outcome) in ["empty", "populator", "claim", "snapshot"].into_iter().zip(outcomes) {
            let decision = decision(|world| {
                world.candidates = existing(volumes);
                with_source(world, source);
                if selects {
                    world.claim["spec"]["selector"] = json!({"matchLabels": {"tier": "gold"}});
                }
            });
            assert_eq!(
                short_name(&decision),
                outcome,
                "{volumes}, selector {selects}, {source}"
            );
        }
    }
}

#[test]
fn a_volume_must_have_what_kubernetes_compares() {
    let outcome = |change: fn(&mut Candidate), claim: Value| {
        let decision = decision(|world| {
            world.candidates = vec![candidate("available", change)];
            json_patch::merge(&mut world.claim, &claim);
        });
        short_name(&decision).to_owned()
    };
    let as_it_is = json!({});
    let selector =
        json!({"spec": {"selector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}}});
    let block = json!({"spec": {"volumeMode": "Block"}});
    let node = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n"}}});
    assert_eq!(outcome(|_| (), as_it_is.clone()), "available");
    assert_eq!(
        outcome(|candidate| candidate.match_fields.is_block = true, as_it_is.clone()),
        "provisioned"
    );
    assert_eq!(
        outcome(|candidate| candidate.match_fields.is_block = true, block.clone()),
        "available"
    );
    assert_eq!(outcome(|_| (), block), "refused");
    assert_eq!(
        outcome(|candidate| candidate.volume.class = "slow".to_owned(), as_it_is.clone()),
        "provisioned"
    );
    assert_eq!(
        outcome(|candidate| candidate.volume.access_modes.truncate(1), as_it_is.clone()),
        "provisioned"
    );
    let gold: fn(&mut Candidate) = |candidate| candidate.match_fields.attributes_class = "gold".to_owned();
    assert_eq!(outcome(gold, as_it_is), "provisioned");
    assert_eq!(
        outcome(gold, json!({"spec": {"volumeAttributesClassName": "gold"}})),
        "available"
    );
    assert_eq!(outcome(|_| (), selector), "waits");
    assert_eq!(
        outcome(|_| (), node),
        "provisioned",
        "the scheduler found no volume for the node"
    );
}

#[test]
fn a_warning_says_why_a_reserved_volume_is_not_used_and_what_a_selector_means() {
    let warnings = verdict(|world| world.candidates = existing("reserved, too small")).warnings;
    let expected = "PersistentVolume reserved is reserved for this claim, but Kubernetes does not bind it: the claim \
    asks for 1.5Gi, the volume has 1Gi";
    assert_eq!(warnings, [expected]);
    let warnings = verdict(|world| world.claim["spec"]["selector"] = json!({})).warnings;
    let expected = "the claim has a selector, so it waits for an existing PersistentVolume of StorageClass fast with \
    matching labels; for a new volume, create the claim without spec.selector";
    assert_eq!(warnings, [expected]);
}

#[test]
fn a_data_source_that_no_program_provides_is_refused_with_the_next_step() {
    let refused = |field: &str, source: Value| match decision(|world| world.claim["spec"][field] = source) {
        Decision::Deny(why) => why,
        other => panic!("{other:?}"),
    };
    let image = json!({"apiGroup": "example.com", "kind": "Image", "name": "x"});
    let mut elsewhere = image.clone();
    elsewhere["namespace"] = json!("team-b");
    let misspelt = json!({"apiGroup": "bindery.dev", "kind": "archive", "name": "x"});
    let sentence = "dataSourceRef.kind is archive: write kind: Archive, because API group bindery.dev has no other kind \
                    that Bindery can restore";
    let table = [
        (
            "dataSource",
            json!({"kind": "PersistentVolumeClaim", "name": "other"}),
            "cannot clone claim other",
        ),
        ("dataSource", image, "name the object in spec.dataSourceRef"),
        ("dataSourceRef", elsewhere, "without dataSourceRef.namespace"),
        ("dataSourceRef", misspelt.clone(), sentence),
    ];
    for (field, source, expected) in table {
        let why = refused(field, source);
        assert!(why.contains(expected), "{why}");
    }
    // Neither a volume that it names, nor one that it could get, nor a selector helps. A claim that exists gets no volume.
    for (field, value) in [("volumeName", json!("other")), ("selector", json!({}))] {
        let refused = decision(|world| {
            world.claim["spec"]["dataSourceRef"] = misspelt.clone();
            world.claim["spec"][field] = value.clone();
        });
        assert_eq!(refused, Decision::Deny(sentence.to_owned()), "{field}");
    }
    let existing = decision(|world| {
        world.claim["spec"]["dataSourceRef"] = misspelt.clone();
        world.claim["metadata"]["uid"] = json!("00000000-0000-0000-0000-00000000000c");
    });
    assert_eq!(existing, Decision::Deny(sentence.to_owned()));
}

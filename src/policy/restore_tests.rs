use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::{Value, json};

use super::*;
use crate::model::directory::Directory;
use crate::model::volume::Origin;
use crate::policy::decide::{Decision, decide as decide_claim};
use crate::policy::fixtures::{World, installation, record, volume};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An archive of claim `data` in `team-a`, made on this day of November 2026.
fn archive(name: &str, day: u8, changes: &Value) -> Archive {
    let made = at(&format!("2026-11-{day:02}T16:31:15Z"));
    let tag = Directory::archive_tag("blue", &format!("pvc-{name}"));
    let directory = Directory::parse("team-a-data").unwrap().archive(made, &tag, None, None);
    let mut object = json!({
        "apiVersion": "bindery.dev/v1alpha1",
        "kind": "Archive",
        "metadata": {"name": name, "namespace": "team-a"},
        "spec": {
            "claimName": "data",
            "claimNamespace": "team-a",
            "claimUid": "c-1",
            "namespaceUid": "n-1",
            "volumeName": format!("pvc-{name}"),
            "server": "nas1",
            "share": "/export",
            "nfsVersion": "4",
            "directory": directory.as_str(),
            "directoryId": "1.2:3",
            "capacity": "1Gi",
            "archivedAt": made.to_string(),
            "provisioner": "bindery.dev/nfs",
            "instance": "blue",
        },
        "status": {"phase": "Available", "directory": directory.as_str()},
    });
    json_patch::merge(&mut object, changes);
    serde_json::from_value(object).unwrap()
}

fn directory(name: &str, day: u8) -> String {
    archive(name, day, &json!({})).spec.directory
}

/// A claim that names an archive, of a user who may read all archives.
fn world(name: &str, archives: Vec<Archive>) -> World {
    let mut world = World::default();
    world.claim["metadata"]["name"] = json!("again");
    world.claim["spec"]["dataSourceRef"] = json!({"apiGroup": "bindery.dev", "kind": "Archive", "name": name});
    world.restore = Some(RestoreFacts {
        archives: Some(archives),
        volume: None,
        same: Vec::new(),
        user: Some(User {
            name: "jane".to_owned(),
            may_get: true,
            may_list: true,
        }),
        own_namespace: "bindery".to_owned(),
        now: at("2026-11-28T18:00:00Z"),
    });
    world
}

fn facts(world: &mut World) -> &mut RestoreFacts {
    world.restore.as_mut().unwrap()
}

fn user(world: &mut World) -> &mut User {
    facts(world).user.as_mut().unwrap()
}

fn new_volume(world: &World) -> NewVolume {
    match world.ask(decide_claim).decision {
        Decision::Provision(new) => *new,
        other => panic!("{other:?}"),
    }
}

fn denied(world: &World) -> String {
    match world.ask(decide_claim).decision {
        Decision::Deny(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_claim_gets_the_directory_of_the_archive_that_it_names() {
    let new = new_volume(&world("a", vec![archive("a", 1, &json!({}))]));
    assert_eq!(
        new.restored,
        Some(Restored {
            namespace: "team-a".to_owned(),
            name: "a".to_owned(),
            named: "a".to_owned(),
            archive: Directory::recorded(&directory("a", 1)).unwrap(),
            identity: "1.2:3".parse().unwrap(),
            version: "4".parse().unwrap(),
            attributes: RestoreAttributes::Keep,
        })
    );
    assert_eq!(new.directory.as_str(), format!("team-a-again-{}", new.name));
}

#[test]
fn the_name_of_the_volume_follows_from_the_archive_alone() {
    let first = new_volume(&world("a", vec![archive("a", 1, &json!({}))])).name;
    let mut other = world("a", vec![archive("a", 1, &json!({}))]);
    other.claim["metadata"]["name"] = json!("other");
    other.parameters(&json!({"subDir": "x/${pvc.metadata.name}"}));
    assert_eq!(new_volume(&other).name, first);
    assert_ne!(new_volume(&world("b", vec![archive("b", 1, &json!({}))])).name, first);
    let mut kept = archive("a", 1, &json!({}));
    let longer = Directory::recorded(&kept.spec.directory).unwrap();
    let longer = longer.with_expiry(Some(at("2027-01-01T00:00:00Z"))).unwrap();
    kept.status.as_mut().unwrap().directory = longer.to_string();
    assert_eq!(new_volume(&world("a", vec![kept])).name, first, "the expiry may change");
}

#[test]
fn the_name_of_a_claim_means_its_newest_archive() {
    let missing = json!({"status": {"phase": "Missing"}});
    let restored = json!({"status": {"phase": "Restored"}});
    let deleting = json!({"metadata": {"deletionTimestamp": "2026-11-28T17:00:00Z"}});
    let archives = vec![
        archive("a", 1, &json!({})),
        archive("b", 3, &json!({})),
        archive("c", 2, &json!({})),
        archive("d", 4, &missing),
        archive("e", 5, &restored),
        archive("f", 6, &deleting),
        archive("g", 7, &json!({"spec": {"claimName": "other"}})),
        archive("h", 8, &json!({"spec": {"namespaceUid": "n-0"}})),
        archive("i", 9, &json!({"spec": {"claimUid": null}})),
        archive("j", 10, &json!({"spec": {"provisioner": "example.com/nfs"}})),
        archive("k", 11, &json!({"spec": {"claimNamespace": "team-b"}})),
    ];
    assert_eq!(new_volume(&world("data", archives.clone())).restored.unwrap().name, "b");
    let object = archive("data", 1, &json!({"spec": {"claimName": "other"}}));
    let with_object = [archives, vec![object]].concat();
    assert_eq!(new_volume(&world("data", with_object)).restored.unwrap().name, "data");
}

#[test]
fn an_archive_that_is_not_there_is_refused_with_a_list_of_those_that_are() {
    let expires = json!({"status": {"expiresAt": "2026-12-28T00:00:00Z"}});
    let mut world = world(
        "x",
        vec![
            archive("a", 1, &json!({})),
            archive("b", 3, &expires),
            archive("c", 4, &json!({"spec": {"namespaceUid": "n-0"}})),
            archive("d", 5, &json!({"status": {"phase": "Missing"}})),
        ],
    );
    let none = "namespace team-a has no Archive x, and no archive of a claim x";
    assert_eq!(
        denied(&world),
        format!(
            "{none}. The archives of namespace team-a: b (claim data, 1Gi, archived at 2026-11-03T16:31:15Z, until \
             2026-12-28T00:00:00Z), a (claim data, 1Gi, archived at 2026-11-01T16:31:15Z)"
        )
    );
    let many = (1..=13).map(|day| archive(&format!("a{day}"), day, &json!({})));
    facts(&mut world).archives = Some(many.collect());
    let message = denied(&world);
    assert!(message.contains("a13 (") && message.contains("a4 (") && !message.contains("a3 ("));
    assert!(message.ends_with(", and 3 more"), "{message}");
    facts(&mut world).archives = Some(Vec::new());
    assert_eq!(
        denied(&world),
        format!("{none}. There are no archives in namespace team-a")
    );
    user(&mut world).may_list = false;
    assert_eq!(denied(&world), none);
    facts(&mut world).user = None;
    assert_eq!(denied(&world), none, "an Event lists nothing");
}

#[test]
fn a_user_without_the_right_does_not_learn_whether_the_archive_exists() {
    for archives in [Vec::new(), vec![archive("a", 1, &json!({}))]] {
        let mut world = world("a", archives);
        user(&mut world).may_get = false;
        assert_eq!(
            denied(&world),
            "namespace team-a has no Archive a, and no archive of a claim a, that user jane may read: the right to get \
             archives.bindery.dev in this namespace is missing; ask an administrator of the namespace for it"
        );
    }
}

#[test]
fn an_archive_that_cannot_be_given_to_the_claim_is_refused() {
    let until = |text: &str| {
        let place = Directory::recorded(&directory("a", 1)).unwrap();
        json!({"status": {"directory": place.with_expiry(Some(at(text))).unwrap().as_str()}})
    };
    let table = [
        (
            json!({"metadata": {"deletionTimestamp": "2026-11-28T17:00:00Z"}}),
            "Archive a is being deleted, and its data with it",
        ),
        (
            json!({"status": {"phase": "Restored"}}),
            "Archive a was restored already",
        ),
        (
            json!({"status": {"phase": "Missing"}}),
            "the directory of Archive a is not on its share; an Event of the Archive says more",
        ),
        (
            until("2026-11-28T17:59:59Z"),
            "Archive a expired at 2026-11-28T17:59:59Z, and its data is removed soon, if it is still there; to get it, \
             keep it first, which needs the right to change Archives: kubectl annotate archive a -n team-a --overwrite \
             bindery.dev/keep-until=forever",
        ),
        (
            json!({"spec": {"directoryId": "x"}}),
            "Archive a cannot be used: spec.directoryId is \"x\": not of the form major.minor:fileid in hexadecimal",
        ),
    ];
    for (changes, expected) in table {
        let world = world("a", vec![archive("a", 1, &changes)]);
        let expected = format!("{expected}. There are no other archives in namespace team-a");
        assert_eq!(denied(&world), expected, "{changes}");
    }
    let mut kept = until("2026-11-28T17:59:59Z");
    kept["metadata"]["annotations"] = json!({"bindery.dev/keep-until": "forever"});
    new_volume(&world("a", vec![archive("a", 1, &kept)]));
}

#[test]
fn a_claim_with_the_wrong_class_or_size_is_refused_without_a_list_of_other_archives() {
    let table = [
        (
            json!({"spec": {"server": "nas2"}}),
            "Archive a is on share nas2:/export, and StorageClass fast is for share nas1:/export; choose a class of the \
             share of the Archive, with the same spelling of the server",
        ),
        (
            json!({"spec": {"capacity": "5Gi"}}),
            "Archive a needs a claim of at least 5Gi, the size of its volume; this claim asks for 1.5Gi",
        ),
    ];
    for (changes, expected) in table {
        let archives = vec![archive("a", 1, &changes), archive("b", 2, &json!({}))];
        assert_eq!(denied(&world("a", archives)), expected, "{changes}");
    }
}

#[test]
fn the_class_may_deny_it() {
    let mut world = world("a", vec![archive("a", 1, &json!({}))]);
    world.parameters(&json!({"archiveRestore": "deny"}));
    assert_eq!(
        denied(&world),
        "StorageClass fast does not let claims get archives (archiveRestore: deny); choose another class of share \
         nas1:/export"
    );
}

#[test]
fn without_the_definition_or_without_facts_no_claim_gets_an_empty_volume() {
    let mut world = world("a", Vec::new());
    facts(&mut world).archives = None;
    assert_eq!(
        denied(&world),
        "there is no Archive a, because the definition archives.bindery.dev is not installed; an administrator must \
         install it"
    );
    world.restore = None;
    assert_eq!(
        denied(&world),
        "the archives of namespace team-a were not read; try again"
    );
    world.claim["spec"]["selector"] = json!({"matchLabels": {"a": "b"}});
    assert_eq!(
        denied(&world),
        "the claim names Archive a and has a selector for existing volumes; remove spec.selector"
    );
    world.claim["spec"]["volumeName"] = json!("pv-1");
    assert_eq!(
        denied(&world),
        "the claim names Archive a and volume pv-1; remove one of the two"
    );
    world.claim["spec"]["dataSourceRef"]["namespace"] = json!("team-a");
    world.claim["spec"]["volumeName"] = json!(null);
    world.claim["spec"]["selector"] = json!(null);
    assert_eq!(
        denied(&world),
        "dataSourceRef names Archive a with a namespace, which Kubernetes ignores without its feature gate \
         CrossNamespaceVolumeDataSource, so the volume would be empty: create the claim in the namespace of the Archive, \
         without dataSourceRef.namespace"
    );
}

/// The volume that gets an archive, for this claim of `team-a`.
fn restoring(new: &NewVolume, claim: &str) -> Volume {
    let mut found = volume(&new.name, new.directory.as_str());
    found.claim.as_mut().unwrap().name = claim.to_owned();
    let mut record = record(new.directory.as_str());
    record.origin = Origin::Restored;
    record.restored.clone_from(&new.restored);
    found.record = Ok(record);
    found
}

#[test]
fn an_archive_is_given_to_one_claim() {
    let mut world = world("data", vec![archive("a", 2, &json!({})), archive("b", 1, &json!({}))]);
    let new = new_volume(&world);
    let others = "The other archives of namespace team-a: b (claim data, 1Gi, archived at 2026-11-01T16:31:15Z)";

    facts(&mut world).volume = Some(restoring(&new, "other"));
    assert_eq!(
        denied(&world),
        format!(
            "Archive a is being restored to claim team-a/other (PersistentVolume {}). If that claim is not created, the \
             archive is put back after some minutes. {others}",
            new.name
        )
    );
    let mut ready = restoring(&new, "other");
    ready.ready = true;
    ready.record.as_mut().unwrap().origin = Origin::Adopted;
    facts(&mut world).volume = Some(ready);
    assert_eq!(
        denied(&world),
        format!(
            "Archive a was restored to claim team-a/other (PersistentVolume {}). {others}",
            new.name
        )
    );
    let mut foreign = restoring(&new, "again");
    foreign.maker = None;
    facts(&mut world).volume = Some(foreign);
    assert!(denied(&world).starts_with(&format!("PersistentVolume {} has the name of the volume", new.name)));

    // An earlier review of the same claim. The object may say so already.
    let restoring_phase = json!({"status": {"phase": "Restoring"}});
    facts(&mut world).volume = Some(restoring(&new, "again"));
    facts(&mut world).archives.as_mut().unwrap()[0] = archive("a", 2, &restoring_phase);
    assert_eq!(new_volume(&world).name, new.name);
    let existing = restoring(&new, "again");
    assert_eq!(use_existing(&existing, &new, &installation()), Ok(UseExisting::Again));
    // It is being put back: the claim waits.
    let mut deleting = restoring(&new, "other");
    deleting.deleting = true;
    facts(&mut world).volume = Some(deleting.clone());
    assert_eq!(new_volume(&world).name, new.name);
    assert_eq!(
        use_existing(&deleting, &new, &installation()),
        Err(Conflict::Releasing(
            "Archive a was being restored to claim team-a/other, which did not get it, and is being put back"
                .to_owned()
        ))
    );
    let mut elsewhere = restoring(&new, "again");
    elsewhere.record.as_mut().unwrap().directory = Directory::parse("elsewhere").unwrap();
    assert!(matches!(
        use_existing(&elsewhere, &new, &installation()),
        Err(Conflict::Releasing(_))
    ));
}

#[test]
fn an_archive_that_two_objects_name_is_not_restored() {
    let one = archive("a", 1, &json!({"metadata": {"uid": "a-1"}}));
    let other = |changes: &Value| {
        let mut other = archive(
            "a",
            1,
            &json!({"metadata": {"uid": "a-2", "namespace": "team-b", "name": "b"}}),
        );
        let mut fields = json!(other);
        json_patch::merge(&mut fields, changes);
        other = serde_json::from_value(fields).unwrap();
        other
    };
    let mut world = world("a", vec![one.clone()]);
    facts(&mut world).same = vec![one.clone()];
    let new = new_volume(&world);
    facts(&mut world).same.push(other(&json!({})));
    assert_eq!(
        denied(&world),
        "Archive a and another Archive name the same directory of share nas1:/export, so it is not known whose data it is; an \
         administrator must delete the wrong one, which removes no data while there are two: kubectl get archives -A -l \
         bindery.dev/archive-key=20261101T163115Z-d697d79f1e-47dc9644a1. There are no \
         other archives in namespace team-a"
    );
    // The claim has it already.
    facts(&mut world).volume = Some(restoring(&new, "again"));
    assert_eq!(new_volume(&world).name, new.name);
    facts(&mut world).volume = None;
    for changes in [
        json!({"status": {"phase": "Restored"}}),
        json!({"status": {"phase": "Missing"}}),
        json!({"metadata": {"deletionTimestamp": "2026-11-28T17:00:00Z"}}),
    ] {
        facts(&mut world).same = vec![other(&changes), one.clone()];
        assert_eq!(new_volume(&world).name, new.name, "{changes}");
    }
}

#[test]
fn in_binderys_own_namespace_every_archive_can_be_named() {
    let mut other = archive("a", 1, &json!({"spec": {"claimNamespace": null, "namespaceUid": null}}));
    other.metadata.namespace = Some("team-a".to_owned());
    let mut world = world("a", vec![other]);
    assert!(denied(&world).starts_with("namespace team-a has no Archive a"));
    facts(&mut world).own_namespace = "team-a".to_owned();
    new_volume(&world);
    world.claim["spec"]["dataSourceRef"]["name"] = json!("data");
    assert!(denied(&world).starts_with("namespace team-a has no Archive data"));
}

#[test]
fn an_archive_keeps_a_group_that_only_its_volume_had() {
    let mut owned = archive("a", 1, &json!({}));
    let tag = Directory::archive_tag("blue", "pvc-a");
    let place = Directory::parse("team-a-data").unwrap();
    let place = place.archive(at("2026-11-01T16:31:15Z"), &tag, Some(50_007), None);
    owned.spec.directory = place.to_string();
    owned.status.as_mut().unwrap().directory = place.to_string();
    let mut world = world("a", vec![owned]);
    let group = |world: &World| {
        let new = new_volume(world);
        let range = new.group_range.map(|range| range.to_string());
        (new.attributes.gid, range, new.keeps_group())
    };
    let kept = |range: &str| (Some(50_007), Some(range.to_owned()), true);
    assert_eq!(group(&world), kept("50007-50007"));
    world.parameters(&json!({"gid": "auto", "gidRange": "50000-60000"}));
    assert_eq!(group(&world), kept("50000-60000"));
    world.parameters(&json!({"restoreAttributes": "class"}));
    assert_eq!(group(&world), kept("50000-60000"));
    world.parameters(&json!({"gidRange": "60000-70000"}));
    assert_eq!(group(&world), (None, Some("60000-70000".to_owned()), false));
    world.parameters(&json!({"gid": "7", "gidRange": null}));
    assert_eq!(group(&world), (Some(7), None, false));
    // An archive without a group of its own keeps the one that it has.
    facts(&mut world).archives = Some(vec![archive("a", 1, &json!({}))]);
    world.parameters(&json!({"restoreAttributes": "keep", "gid": "auto", "gidRange": "60000-70000"}));
    assert_eq!(group(&world), (None, None, false));
}

#[test]
fn the_volume_records_where_the_archive_was() {
    let new = new_volume(&world("a", vec![archive("a", 1, &json!({}))]));
    let built: PersistentVolume = new.build(Origin::Restored, &installation());
    let annotations = built.metadata.annotations.clone().unwrap();
    assert_eq!(annotations["bindery.dev/directory"], "restored");
    assert_eq!(annotations["bindery.dev/restored-from"], "team-a/a");
    assert_eq!(annotations["bindery.dev/restored-as"], "a");
    assert_eq!(annotations["bindery.dev/archive"], directory("a", 1));
    assert_eq!(annotations["bindery.dev/archive-id"], "1.2:3");
    let read = Volume::read(&built);
    assert!(read.is_fenced(), "Kubernetes would bind any claim of this name");
    assert_eq!(read.record.unwrap().being_restored(), new.restored.as_ref());

    let mut broken = built;
    for (key, value, error) in [
        (
            "bindery.dev/archive",
            Some("team-a/data"),
            "annotation bindery.dev/archive is \"team-a/data\": it is not an archive",
        ),
        (
            "bindery.dev/restored-from",
            Some("a"),
            "annotation bindery.dev/restored-from is \"a\": write namespace and name, with a slash between them",
        ),
        (
            "bindery.dev/restored-from",
            None,
            "annotation bindery.dev/restored-from is missing",
        ),
    ] {
        let mut changed = annotations.clone();
        match value {
            Some(value) => changed.insert(key.to_owned(), value.to_owned()),
            None => changed.remove(key),
        };
        broken.metadata.annotations = Some(changed);
        assert_eq!(Volume::read(&broken).record.unwrap_err(), error);
    }
}

#[test]
fn a_claim_with_an_archive_is_not_bound_to_another_volume() {
    let world = world("a", vec![archive("a", 1, &json!({}))]);
    let new = new_volume(&world);
    let mut claim = Claim::named("team-a".to_owned(), "again".to_owned());
    claim.class = Some("fast".to_owned());
    let fits = crate::policy::decide::fits;
    assert_eq!(
        fits(&claim, &restoring(&new, "again")),
        Err("it names no Archive, and the volume was made from Archive a".to_owned())
    );
    claim.data_source = crate::model::data_source::DataSource::Archive("a".to_owned());
    assert_eq!(fits(&claim, &restoring(&new, "again")), Ok(()));
    assert_eq!(
        fits(&claim, &volume("pvc-1", "data")),
        Err("it names an Archive, and the volume was not made from one".to_owned())
    );
}

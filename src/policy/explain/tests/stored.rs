//! Claims in the cluster: with a volume, or waiting for one.

use super::*;
use crate::policy::fixtures::VOLUME;
use crate::policy::key::Key;

/// The explanation of a claim with a volume; `change` alters the input afterwards.
fn with_volume(change: impl FnOnce(&mut World)) -> Explanation {
    let mut world = World::default();
    let mut volume = world.volume();
    volume.ready = true;
    volume.claim.as_mut().unwrap().uid = Some("u".to_owned());
    world.claim["spec"]["volumeName"] = json!(volume.name);
    world.volume = Some(volume);
    world.read_from = ReadFrom::Cluster;
    change(&mut world);
    world.explained()
}

#[test]
fn a_claim_with_a_volume_shows_the_values_on_the_volume() {
    let explanation = with_volume(|_| ());
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
        ("set by the server", "volume without annotation bindery.dev/uid")
    );
    assert!(explanation.policy.iter().all(|row| row.new_claim.is_none()));
}

/// The explanation of an existing claim without a volume.
fn waiting(change: impl FnOnce(&mut World)) -> Explanation {
    explained(|world| {
        world.claim["metadata"]["uid"] = json!("00000000-0000-0000-0000-00000000000c");
        world.read_from = ReadFrom::Cluster;
        change(world);
    })
}

#[test]
fn a_claim_without_a_volume_shows_the_name_of_its_next_volume() {
    let provisioned = |explanation: Explanation| match explanation.outcome {
        Outcome::NoVolumeYet { volume } | Outcome::Provisioned { volume } => {
            (volume, explanation.directory.unwrap_or_default())
        }
        other => panic!("{other:?}"),
    };
    let own = "pvc-00000000-0000-0000-0000-00000000000c";
    let directory = format!("nas1:/export/team-a-data-{own}");
    assert_eq!(provisioned(waiting(|_| ())), (own.to_owned(), directory));
    let with_earlier = |world: &mut World| world.others = vec![World::default().volume()];
    assert_eq!(provisioned(waiting(with_earlier)).0, VOLUME);
    let of_a_file = |world: &mut World| world.read_from = ReadFrom::File;
    assert_eq!(provisioned(waiting(of_a_file)).0, ANY);
}

#[test]
fn the_explanation_of_a_waiting_claim_says_what_it_waits_for() {
    let scheduled = |world: &mut World| world.class["volumeBindingMode"] = json!("WaitForFirstConsumer");
    assert!(matches!(waiting(scheduled).outcome, Outcome::NotServed { .. }));
    assert!(matches!(explained(scheduled).outcome, Outcome::Provisioned { .. }));
    let volume_being_deleted = |world: &mut World| {
        world.parameters(&json!({"subDir": "${pvc.metadata.name}"}));
        let mut volume = world.volume();
        volume.deleting = true;
        let name = volume.name.clone();
        world.others = vec![volume];
        name
    };
    let mut name = String::new();
    let explanation = explained(|world| name = volume_being_deleted(world));
    let why = format!("directory data of share nas1:/export belongs to volume {name}, which is being cleaned up");
    assert_eq!(explanation.outcome, Outcome::Queued { why });
}

#[test]
fn values_that_have_changed_are_shown_for_a_new_claim() {
    let explanation = with_volume(|world| {
        world.parameters(&json!({"server": "nas9", "subDir": "${pvc.metadata.name}", "uid": "5"}));
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
        ("uid", "set by the server", "5", "class"),
    ];
    assert_eq!(differ, expected);
}

#[test]
fn a_claim_keeps_its_volume_if_a_new_claim_would_be_refused() {
    let new = |change: Change| match with_volume(change).outcome {
        Outcome::HasVolume { new_claim, .. } => new_claim.unwrap_or_default(),
        other => format!("{other:?}"),
    };
    assert_eq!(
        new(|world| world.class = json!(null)),
        "not served: there is no StorageClass fast"
    );
    assert!(new(|world| world.parameters(&json!({"onDelete": "erase"}))).starts_with("refused: StorageClass fast: "));
}

#[test]
fn a_volume_that_is_missing_or_not_for_the_claim_is_reported() {
    let why = |change: Change| match with_volume(change).outcome {
        Outcome::NotServed { why } => why,
        other => format!("{other:?}"),
    };
    assert_eq!(
        why(|world| world.volume.as_mut().unwrap().maker = None),
        format!("its volume {VOLUME} was not created by bindery.dev/nfs")
    );
    assert_eq!(
        why(|world| world.volume.as_mut().unwrap().claim.as_mut().unwrap().name = "other".to_owned()),
        format!("it names volume {VOLUME}, which claim team-a/other uses")
    );
    assert_eq!(
        why(|world| world.volume = None),
        format!("it names volume {VOLUME}, which does not exist")
    );
}

#[test]
fn an_adopted_directory_keeps_its_mode_and_owner() {
    let rows = |origin: Origin| {
        let mut world = World::with(|world| world.parameters(&json!({"subDir": "a", "uid": "7"})));
        let mut volume = world.volume();
        volume.record.as_mut().unwrap().origin = origin;
        volume.claim.as_mut().unwrap().uid = Some("u-1".to_owned());
        world.claim["spec"]["volumeName"] = json!(volume.name);
        world.read_from = ReadFrom::Cluster;
        world.volume = Some(volume);
        let all = world.explained().policy;
        let of = |key: Key| all.iter().find(|row| row.key == key.as_str()).unwrap().value.clone();
        [of(Key::MountPermissions), of(Key::Uid)]
    };
    assert_eq!(rows(Origin::New), ["0777", "7"]);
    assert_eq!(rows(Origin::Adopted), ["adopted: keeps its mode and owner"; 2]);
}

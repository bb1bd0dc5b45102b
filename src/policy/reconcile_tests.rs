//! The next step for a volume. Each case shows only its difference from a volume that waits for its claim.

use super::*;
use crate::model::claim::{Bytes, Name};
use crate::model::data_source::DataSource;
use crate::model::identity::Identity;
use crate::model::names;
use crate::model::volume::Origin;
use crate::policy::fixtures::{self, installation};

fn record() -> Record {
    fixtures::record("team-a-data")
}

/// A volume that waits for its claim.
fn volume(change: impl FnOnce(&mut Volume)) -> Volume {
    let mut volume = fixtures::volume("pvc-1", "team-a-data");
    change(&mut volume);
    volume
}

/// The claim for which the volume was created.
fn claim(change: impl FnOnce(&mut Claim)) -> Claim {
    let mut claim = Claim {
        namespace: "team-a".to_owned(),
        name: Name::Given("data".to_owned()),
        uid: "c".to_owned(),
        class: Some("fast".to_owned()),
        volume_name: Some("pvc-1".to_owned()),
        access_modes: vec!["ReadWriteMany".to_owned()],
        request: Some(Bytes {
            written: "1Gi".to_owned(),
            bytes: 1 << 30,
        }),
        ..Claim::default()
    };
    change(&mut claim);
    claim
}

fn uid(volume: &mut Volume, uid: &str) {
    volume.claim.as_mut().unwrap().uid = Some(uid.to_owned());
}

fn given(volume: &mut Volume) {
    uid(volume, "c");
    volume.ready = true;
}

fn released(volume: &mut Volume) {
    given(volume);
    volume.phase = Phase::Released;
}

fn deleted(volume: &mut Volume) {
    released(volume);
    volume.deleting = true;
}

fn bind(difference: Option<&str>) -> Plan {
    Plan::Bind {
        record: record(),
        difference: difference.map(str::to_owned),
    }
}

fn after_gone(change: impl FnOnce(&mut Volume)) -> Plan {
    plan(&volume(change), ClaimState::Gone, &installation())
}

#[test]
fn a_volume_whose_claim_exists_is_bound() {
    let claim = claim(|_| ());
    let held = ClaimState::Exists(&claim);
    assert_eq!(plan(&volume(|_| ()), held, &installation()), bind(None));
    let bound_by_kcm = volume(|volume| {
        uid(volume, "c");
        volume.phase = Phase::Bound;
    });
    assert_eq!(plan(&bound_by_kcm, held, &installation()), bind(None));
}

#[test]
fn the_claim_is_looked_up_only_if_needed() {
    let asks =
        |change: fn(&mut Volume)| plan(&volume(change), ClaimState::Unknown, &installation()) == Plan::LookUpClaim;
    assert!(asks(|_| ()));
    assert!(asks(released));
    assert!(asks(deleted));
    assert!(!asks(given));
    assert!(!asks(|volume| {
        given(volume);
        volume.phase = Phase::Bound;
    }));
}

#[test]
fn a_volume_of_another_provisioner_or_without_the_finalizer_is_not_changed() {
    let changes: [fn(&mut Volume); 3] = [
        |volume| {
            volume.maker = None;
            volume.provisioner = Some("example.com/other".to_owned());
        },
        |volume| volume.maker.as_mut().unwrap().provisioner = "example.com/other".to_owned(),
        |volume| volume.has_finalizer = false,
    ];
    for (case, change) in changes.into_iter().enumerate() {
        for state in [|_: &mut Volume| (), released, deleted] {
            let mut volume = volume(state);
            change(&mut volume);
            assert_eq!(
                plan(&volume, ClaimState::Gone, &installation()),
                Plan::Leave,
                "case {case}: {volume:?}"
            );
        }
    }
}

#[test]
fn a_volume_with_the_finalizer_but_no_installation_is_reported() {
    for provisioner in [None, Some(installation().provisioner)] {
        for state in [|_: &mut Volume| (), given, released, deleted] {
            let mut volume = volume(state);
            (volume.maker, volume.provisioner) = (None, provisioner.clone());
            assert_eq!(
                plan(&volume, ClaimState::Gone, &installation()),
                Plan::NotOurs(NotOurs::Unmarked),
                "{volume:?}"
            );
            volume.has_finalizer = false;
            assert_eq!(
                plan(&volume, ClaimState::Gone, &installation()),
                Plan::Leave,
                "{volume:?}"
            );
        }
    }
}

#[test]
fn a_volume_of_another_instance_is_reported_only_when_it_must_be_cleaned_up() {
    let plan = |change: fn(&mut Volume)| {
        let mut volume = volume(change);
        volume.maker.as_mut().unwrap().instance = "green".to_owned();
        plan(&volume, ClaimState::Gone, &installation())
    };
    assert_eq!(plan(|_| ()), Plan::Leave);
    assert_eq!(plan(given), Plan::Leave);
    assert_eq!(plan(released), Plan::NotOurs(NotOurs::OtherInstance));
    assert_eq!(plan(deleted), Plan::NotOurs(NotOurs::OtherInstance));
    let kept = plan(|volume| {
        released(volume);
        volume.reclaim = Reclaim::Retain;
    });
    assert_eq!(kept, Plan::Leave);
}

#[test]
fn a_claim_that_names_another_volume_does_not_get_this_one() {
    let other = claim(|claim| claim.volume_name = Some("pvc-2".to_owned()));
    assert_eq!(
        plan(&volume(|_| ()), ClaimState::Exists(&other), &installation()),
        Plan::Orphan
    );
    let without = claim(|claim| claim.volume_name = None);
    assert_eq!(
        plan(&volume(|_| ()), ClaimState::Exists(&without), &installation()),
        Plan::Wait
    );
}

#[test]
fn a_claim_that_was_changed_after_admission_does_not_get_the_volume() {
    let undo = |change: fn(&mut Claim)| match plan(&volume(|_| ()), ClaimState::Exists(&claim(change)), &installation())
    {
        Plan::Undo(difference) => difference,
        other => panic!("{other:?}"),
    };
    let class = undo(|claim| claim.class = Some("slow".to_owned()));
    assert_eq!(class, "its class is \"slow\", the volume's is \"fast\"");
    let mode = undo(|claim| claim.access_modes.push("ReadWriteOnce".to_owned()));
    assert_eq!(
        mode,
        "it asks for access mode ReadWriteOnce, the volume has ReadWriteMany"
    );
    let size = undo(|claim| claim.request.as_mut().unwrap().bytes += 1);
    assert_eq!(size, "it asks for 1Gi, the volume has 1Gi");
}

#[test]
fn a_bound_claim_with_a_larger_request_has_no_difference() {
    let larger = claim(|claim| {
        claim.capacity = claim.request.clone();
        claim.request.as_mut().unwrap().bytes += 1;
    });
    let bound = volume(|volume| {
        uid(volume, "c");
        volume.phase = Phase::Bound;
    });
    for volume in [bound, volume(|_| ())] {
        assert_eq!(plan(&volume, ClaimState::Exists(&larger), &installation()), bind(None));
    }
}

#[test]
fn a_changed_claim_that_is_already_bound_keeps_the_volume() {
    let bound = volume(|volume| {
        uid(volume, "c");
        volume.phase = Phase::Bound;
    });
    let changed = claim(|claim| claim.class = Some("slow".to_owned()));
    let expected = bind(Some("its class is \"slow\", the volume's is \"fast\""));
    assert_eq!(plan(&bound, ClaimState::Exists(&changed), &installation()), expected);
}

#[test]
fn a_released_volume_is_deleted_once_its_claim_is_gone() {
    assert_eq!(after_gone(released), Plan::MarkDeleted);
    let same = claim(|_| ());
    assert_eq!(
        plan(&volume(released), ClaimState::Exists(&same), &installation()),
        Plan::Wait
    );
    let new_of_that_name = claim(|claim| claim.uid = "c-2".to_owned());
    assert_eq!(
        plan(
            &volume(released),
            ClaimState::Exists(&new_of_that_name),
            &installation()
        ),
        Plan::MarkDeleted
    );
}

#[test]
fn a_released_volume_whose_claim_ref_an_administrator_has_changed_is_not_changed() {
    let without_uid = after_gone(|volume| {
        released(volume);
        volume.claim.as_mut().unwrap().uid = None;
    });
    assert_eq!(without_uid, Plan::Leave);
    let without_claim_ref = after_gone(|volume| {
        released(volume);
        volume.claim = None;
    });
    assert_eq!(without_claim_ref, Plan::Leave);
}

#[test]
fn a_volume_that_no_claim_has_had_or_needs_is_an_orphan() {
    let fence = |volume: &mut Volume| {
        uid(volume, names::UNBOUND_UID);
        volume.phase = Phase::Released;
        volume.reclaim = Reclaim::Retain;
    };
    for change in [fence, |_: &mut Volume| ()] {
        let volume = volume(change);
        assert_eq!(plan(&volume, ClaimState::Unknown, &installation()), Plan::LookUpClaim);
        assert_eq!(plan(&volume, ClaimState::Gone, &installation()), Plan::Orphan);
        let with_another = claim(|claim| claim.volume_name = Some("pvc-other".to_owned()));
        assert_eq!(
            plan(&volume, ClaimState::Exists(&with_another), &installation()),
            Plan::Orphan
        );
        let without = claim(|claim| claim.volume_name = None);
        assert_eq!(plan(&volume, ClaimState::Exists(&without), &installation()), Plan::Wait);
        let of_another_class = claim(|claim| {
            claim.volume_name = None;
            claim.class = Some("slow".to_owned());
        });
        assert_eq!(
            plan(&volume, ClaimState::Exists(&of_another_class), &installation()),
            Plan::Orphan
        );
    }
}

#[test]
fn a_fenced_volume_that_its_claim_names_is_not_an_orphan() {
    let fenced = volume(|volume| uid(volume, names::UNBOUND_UID));
    assert_eq!(
        plan(&fenced, ClaimState::Exists(&claim(|_| ())), &installation()),
        Plan::Wait
    );
}

#[test]
fn a_volume_of_an_archive_is_fenced_until_its_own_claim_exists() {
    let restored = fixtures::restored("data");
    let fenced = volume(|volume| {
        uid(volume, names::UNBOUND_UID);
        volume.phase = Phase::Released;
        let record = volume.record.as_mut().unwrap();
        record.origin = Origin::Restored;
        record.restored = Some(restored.clone());
    });
    let planned = |change: fn(&mut Claim)| {
        let claim = claim(|claim| {
            claim.data_source = DataSource::Archive("data".to_owned());
            change(claim);
        });
        plan(&fenced, ClaimState::Exists(&claim), &installation())
    };
    let record = fenced.record.clone().unwrap();
    let difference = None;
    assert_eq!(planned(|_| ()), Plan::Bind { record, difference });
    let undo = |why: &str| Plan::Undo(why.to_owned());
    assert_eq!(
        planned(|claim| claim.data_source = DataSource::Empty),
        undo("it names no Archive, and the volume was made from Archive a")
    );
    assert_eq!(
        planned(|claim| claim.data_source = DataSource::Archive("b".to_owned())),
        undo("it names Archive b, and the volume was made for a claim that names data")
    );
    assert_eq!(
        planned(|claim| claim.class = None),
        undo("its class is \"\", the volume's is \"fast\"")
    );
    assert_eq!(
        planned(|claim| claim.volume_name = None),
        Plan::Wait,
        "catch-up uses it"
    );
    let another = |claim: &mut Claim| (claim.volume_name, claim.data_source) = (None, DataSource::Empty);
    assert_eq!(planned(another), Plan::Orphan, "it may wait for ever");
    let invalid = volume(|volume| {
        volume.clone_from(&fenced);
        volume.record = Err("what is wrong".to_owned());
    });
    assert_eq!(
        plan(&invalid, ClaimState::Exists(&claim(|_| ())), &installation()),
        Plan::InvalidRecord("what is wrong".to_owned())
    );
    let of_another_class = |claim: &mut Claim| (claim.volume_name, claim.class) = (None, None);
    assert_eq!(planned(of_another_class), Plan::Orphan);
    assert_eq!(plan(&fenced, ClaimState::Gone, &installation()), Plan::Orphan);
}

#[test]
fn a_provisioned_volume_is_bound_once_the_controller_manager_has_chosen_it() {
    let given = |phase| {
        volume(|volume| {
            uid(volume, "c");
            volume.phase = phase;
        })
    };
    let unnamed = claim(|claim| claim.volume_name = None);
    for phase in [Phase::Unbound, Phase::Released] {
        assert_eq!(
            plan(&given(phase), ClaimState::Exists(&unnamed), &installation()),
            Plan::Wait
        );
    }
    assert!(matches!(
        plan(&given(Phase::Bound), ClaimState::Exists(&unnamed), &installation()),
        Plan::Bind { .. }
    ));
}

#[test]
fn a_volume_that_a_claim_may_have_had_is_not_an_orphan() {
    let known = after_gone(|volume| {
        volume.record.as_mut().unwrap().identity = Some(Identity {
            fsid: (1, 2),
            fileid: 3,
        });
    });
    assert_eq!(known, Plan::Leave);
    assert_eq!(after_gone(|volume| volume.ready = true), Plan::Leave);
    assert_eq!(after_gone(|volume| uid(volume, "c")), Plan::Leave);
    assert_eq!(after_gone(|volume| volume.claim = None), Plan::Leave);
}

#[test]
fn a_released_volume_whose_claim_has_another_volume_is_deleted() {
    let volume = volume(|volume| {
        released(volume);
        uid(volume, "c-1");
    });
    let with_another = claim(|claim| {
        claim.uid = "c-1".to_owned();
        claim.volume_name = Some("pvc-other".to_owned());
    });
    assert_eq!(
        plan(&volume, ClaimState::Exists(&with_another), &installation()),
        Plan::MarkDeleted
    );
}

#[test]
fn a_released_volume_of_a_retaining_class_is_kept() {
    let kept = after_gone(|volume| {
        released(volume);
        volume.reclaim = Reclaim::Retain;
    });
    assert_eq!(kept, Plan::Leave);
}

#[test]
fn a_deleted_volume_waits_for_its_claim() {
    let same = claim(|_| ());
    assert_eq!(
        plan(&volume(deleted), ClaimState::Exists(&same), &installation()),
        Plan::Leave
    );
    let unbound = volume(|volume| volume.deleting = true);
    assert_eq!(plan(&unbound, ClaimState::Exists(&same), &installation()), Plan::Leave);
}

#[test]
fn the_policy_on_the_volume_decides_about_the_directory() {
    let plan_for = |on_delete, reclaim| {
        let plan = after_gone(|volume| {
            deleted(volume);
            volume.reclaim = reclaim;
            volume.record.as_mut().unwrap().on_delete = on_delete;
        });
        match plan {
            Plan::Dispose(Dispose::Keep, _) => "keep",
            Plan::Dispose(Dispose::Delete, _) => "delete",
            Plan::Dispose(Dispose::Archive, _) => "archive",
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(plan_for(OnDelete::Archive, Reclaim::Delete), "archive");
    assert_eq!(plan_for(OnDelete::Delete, Reclaim::Delete), "delete");
    assert_eq!(plan_for(OnDelete::Retain, Reclaim::Delete), "keep");
    for on_delete in [OnDelete::Archive, OnDelete::Delete, OnDelete::Retain] {
        assert_eq!(plan_for(on_delete, Reclaim::Retain), "keep");
    }
}

#[test]
fn an_unused_directory_is_removed_only_if_it_is_empty() {
    let never = after_gone(|volume| volume.deleting = true);
    assert_eq!(never, Plan::Dispose(Dispose::RemoveUnused, record()));
    let fenced = after_gone(|volume| {
        uid(volume, names::UNBOUND_UID);
        volume.deleting = true;
    });
    assert_eq!(fenced, Plan::Dispose(Dispose::RemoveUnused, record()));
    let bound_by_kcm = after_gone(|volume| {
        uid(volume, "c");
        volume.deleting = true;
    });
    assert_eq!(bound_by_kcm, Plan::Dispose(Dispose::Archive, record()));
}

#[test]
fn a_volume_with_invalid_annotations_is_reported() {
    let broken = after_gone(|volume| {
        deleted(volume);
        volume.record = Err("annotation bindery.dev/share is missing".to_owned());
    });
    assert_eq!(
        broken,
        Plan::InvalidRecord("annotation bindery.dev/share is missing".to_owned())
    );
}

//! Claims for which an earlier attempt has created a volume.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::*;
use crate::model::claim::Bytes;
use crate::model::directory::{Directory, Share};
use crate::model::names;
use crate::model::volume::{Origin, Phase};
use crate::policy::fixtures::{restored, volume};

/// The volume that an earlier attempt created for the same claim.
fn earlier() -> Volume {
    Volume {
        access_modes: vec!["ReadWriteMany".to_owned(), "ReadOnlyMany".to_owned()],
        capacity: Bytes::read(&Quantity("1.5Gi".to_owned())),
        ..volume("pvc-earlier", "team-a-data-pvc-earlier")
    }
}

fn reinvoked(world: &mut World) {
    world.claim["spec"]["volumeName"] = json!("pvc-earlier");
    world.volume = Some(earlier());
}

#[test]
fn a_second_attempt_updates_the_volume_of_the_first() {
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
fn a_claim_with_another_directory_gets_a_new_volume_and_the_first_is_unused() {
    let answer = verdict(|world| {
        reinvoked(world);
        world.class["parameters"]["subDir"] = json!("${pvc.metadata.namespace}/${pv.metadata.name}");
    });
    assert!(
        matches!(&answer.decision, Decision::Provision(new) if new.name == VOLUME),
        "{answer:?}"
    );
    assert_eq!(answer.unused, Some(Box::new(earlier())));
}

#[test]
fn a_claim_moved_to_another_class_loses_its_volume() {
    let answer = verdict(|world| {
        reinvoked(world);
        world.class["provisioner"] = json!("example.com/other");
    });
    assert_eq!(answer.decision, Decision::Pass(Pass::OtherClass));
    assert_eq!(answer.unused, Some(Box::new(earlier())));
}

/// For example, another webhook has removed the source of the claim after the first review.
#[test]
fn a_volume_that_gets_an_archive_is_not_used_for_a_claim_without_one() {
    let answer = verdict(|world| {
        reinvoked(world);
        let volume = world.volume.as_mut().unwrap();
        volume.claim.as_mut().unwrap().uid = Some(names::UNBOUND_UID.to_owned());
        let record = volume.record.as_mut().unwrap();
        record.origin = Origin::Restored;
        record.restored = Some(restored("data-1"));
    });
    assert!(
        matches!(&answer.decision, Decision::Provision(new) if new.name == VOLUME),
        "{answer:?}"
    );
    assert_eq!(answer.unused.map(|volume| volume.name).as_deref(), Some("pvc-earlier"));
}

#[test]
fn only_a_volume_created_for_this_claim_is_used_again() {
    let changes: [fn(&mut Volume); 9] = [
        // A retained volume whose claimRef an administrator has changed holds data.
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

#[test]
fn a_claim_that_names_a_volume_being_removed_is_refused() {
    let denied = decision(|world| {
        reinvoked(world);
        let claim_ref = world.volume.as_mut().unwrap().claim.as_mut().unwrap();
        claim_ref.uid = Some(names::UNBOUND_UID.to_owned());
    });
    let message = "volume pvc-earlier is being removed, because the request that created it failed; try again in a few \
    seconds";
    assert_eq!(denied, Decision::Deny(message.to_owned()));
}

#[test]
fn a_fenced_volume_with_another_directory_is_unused() {
    let with_earlier_on = |server: &str| {
        verdict(|world| {
            world.claim["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000001234");
            let mut volume = earlier();
            volume.name = VOLUME.to_owned();
            volume.claim.as_mut().unwrap().uid = Some(names::UNBOUND_UID.to_owned());
            let record = volume.record.as_mut().unwrap();
            record.directory = Directory::parse(&format!("team-a-data-{VOLUME}")).unwrap();
            record.share = Share::parse(server, "/export").unwrap();
            world.volume = Some(volume);
        })
    };
    assert_eq!(with_earlier_on("nas1").unused, None);
    let elsewhere = with_earlier_on("nas2");
    assert!(matches!(elsewhere.decision, Decision::Provision(new) if new.name == VOLUME));
    assert_eq!(elsewhere.unused.map(|volume| volume.name), Some(VOLUME.to_owned()));
}

//! Conflicts between an existing volume and a new one.

use super::*;
use crate::model::directory::{Directory, Share};
use crate::model::location::Location;
use crate::model::volume::{Origin, first_overlap};
use crate::model::volume_source::{CsiSource, VolumeSource};
use crate::policy::fixtures::{installation, new_volume as new};

/// The result for a new claim of the same directory; `change` alters the existing volume.
fn use_changed(change: impl FnOnce(&mut Volume)) -> Result<UseExisting, Conflict> {
    let mut volume = Volume::read(&new("shared").build(Origin::New, &installation()));
    change(&mut volume);
    use_existing(&volume, &new("shared"), &installation())
}

fn refused(change: impl FnOnce(&mut Volume)) -> String {
    match use_changed(change) {
        Err(Conflict::Refuse(why)) => why.replace(
            "directory shared of share nas1:/export belongs to volume pvc-shared, ",
            "",
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_volume_that_no_claim_has_had_is_used_again_by_its_claim() {
    assert_eq!(use_changed(|_| ()), Ok(UseExisting::Again));
}

#[test]
fn a_fenced_volume_is_used_again_by_its_claim() {
    let fence = |volume: &mut Volume| volume.claim.as_mut().unwrap().uid = Some(names::UNBOUND_UID.to_owned());
    assert_eq!(use_changed(fence), Ok(UseExisting::Again));
}

#[test]
fn a_volume_with_another_directory_is_not_used_again() {
    let on_another_server = |volume: &mut Volume| {
        let record = volume.record.as_mut().unwrap();
        record.share = Share::parse("nas2", "/export").unwrap();
    };
    assert!(use_changed(on_another_server).is_err());
}

#[test]
fn a_claim_waits_until_its_volume_with_another_source_is_removed() {
    let csi = CsiSource {
        driver: "nfs.csi.k8s.io".to_owned(),
        attributes: std::collections::BTreeMap::new(),
        node_stage_secret: None,
        node_publish_secret: None,
    };
    let change = |volume: &mut Volume| volume.record.as_mut().unwrap().source = VolumeSource::Csi(Box::new(csi));
    let Err(Conflict::Releasing(why)) = use_changed(change) else {
        panic!("it holds no data");
    };
    assert_eq!(
        why,
        "directory shared of share nas1:/export belongs to volume pvc-shared, which an earlier request for this claim made \
         with other parameters, and which is removed soon"
    );
}

#[test]
fn an_existing_claim_keeps_its_own_volume() {
    let mut volume = Volume::read(&new("shared").build(Origin::New, &installation()));
    volume.claim.as_mut().unwrap().uid = Some("u-1".to_owned());
    let own = NewVolume {
        claim_uid: Some("u-1".to_owned()),
        ..new("shared")
    };
    assert_eq!(use_existing(&volume, &own, &installation()), Ok(UseExisting::AsItIs));
}

#[test]
fn a_claim_waits_for_a_volume_that_is_being_removed() {
    let waits = |change: fn(&mut Volume)| match use_changed(change) {
        Err(Conflict::Releasing(why)) => why.replace(
            "directory shared of share nas1:/export belongs to volume pvc-shared, ",
            "",
        ),
        other => panic!("{other:?}"),
    };
    assert_eq!(waits(|volume| volume.deleting = true), "which is being cleaned up");
    assert_eq!(
        waits(|volume| volume.phase = Phase::Released),
        "whose claim was just deleted"
    );
    let earlier = |volume: &mut Volume| volume.claim.as_mut().unwrap().uid = Some("u-1".to_owned());
    assert_eq!(waits(earlier), "whose claim was just deleted");
    let fenced_for_another = |volume: &mut Volume| {
        let claim = volume.claim.as_mut().unwrap();
        claim.uid = Some(names::UNBOUND_UID.to_owned());
        claim.name = "other".to_owned();
    };
    assert_eq!(waits(fenced_for_another), "which is being created or removed");
}

#[test]
fn a_refusal_names_the_owner_and_the_next_step() {
    let claim = |volume: &mut Volume, name: &str| volume.claim.as_mut().unwrap().name = name.to_owned();
    let uid = |volume: &mut Volume, uid: &str| volume.claim.as_mut().unwrap().uid = Some(uid.to_owned());
    assert_eq!(
        refused(|volume| claim(volume, "other")),
        "which claim team-a/other uses; choose another directory for this claim"
    );
    let of_an_earlier_claim = |volume: &mut Volume| {
        uid(volume, "u-1");
        volume.reclaim = Reclaim::Retain;
    };
    assert_eq!(
        refused(of_an_earlier_claim),
        "which an earlier claim of this name had; in a few seconds Kubernetes sets PersistentVolume pvc-shared to \
        Released, then create the claim again to read how to get the data"
    );
    assert_eq!(
        refused(|volume| volume.ready = true),
        "which is reserved for this claim and holds the data of an earlier one; to use the data, create the claim with \
         spec.volumeName: pvc-shared and with a size and access modes that the volume has"
    );
    assert_eq!(
        refused(|volume| volume.maker = None),
        "which another provisioner or another Bindery installation created; choose another directory for this claim"
    );
    assert_eq!(
        refused(|volume| volume.claim = None),
        "which no claim uses; to use its data, create the claim with spec.volumeName: pvc-shared"
    );
    let kept = |volume: &mut Volume| {
        volume.phase = Phase::Released;
        volume.reclaim = Reclaim::Retain;
    };
    assert_eq!(
        refused(kept),
        "which is Released and retains its data; to use the data, run: kubectl patch pv pvc-shared --type merge -p \
        '{\"spec\":{\"claimRef\":null}}' and create the claim with spec.volumeName: pvc-shared; to give the claim an empty \
        directory, run: kubectl delete pv pvc-shared and move the directory away"
    );
}

/// The volume to report for a directory of this server.
fn found<'a>(server: &str, directory: &str, others: &'a [Volume]) -> Option<(&'a Volume, Overlap)> {
    let (share, directory) = (
        Share::parse(server, "/export").unwrap(),
        Directory::parse(directory).unwrap(),
    );
    let location = Location {
        share: &share,
        directory: &directory,
        share_id: None,
        identity: None,
    };
    let overlap = |other: &Volume| location.overlap_with(&other.record.as_ref().unwrap().location());
    first_overlap(others.iter().filter_map(|other| Some((other, overlap(other)?))))
}

#[test]
fn a_volume_above_or_below_overlaps_and_a_sibling_does_not() {
    let others = |directory: &str| [Volume::read(&new(directory).build(Origin::New, &installation()))];
    let is_found = |other: &str| found("nas1", "a/b", &others(other)).is_some();
    assert!(is_found("a") && is_found("a/b/c") && is_found("a/b"));
    assert!(!is_found("a/bb") && !is_found("a/c") && !is_found("b"));
    assert!(found("nas2", "a/b", &others("a")).is_none());
}

#[test]
fn a_volume_that_may_hold_data_is_reported_first() {
    let volume = |directory: &str, ready: bool| {
        let mut volume = Volume::read(&new(directory).build(Origin::New, &installation()));
        volume.ready = ready;
        volume
    };
    let others = [volume("a", false), volume("a/b/c", true), volume("c", true)];
    let of = |others| found("nas1", "a/b", others).map(|(other, _)| other.name.as_str());
    assert_eq!(of(&others), Some("pvc-a/b/c"));
    assert_eq!(of(&others[..1]), Some("pvc-a"));
    assert_eq!(of(&others[2..]), None);
}

#[test]
fn the_same_directory_under_another_server_name_is_a_conflict() {
    let mut other = Volume::read(&new("shared").build(Origin::New, &installation()));
    other.record.as_mut().unwrap().share = Share::parse("10.0.0.5", "/export").unwrap();
    other.claim.as_mut().unwrap().name = "other".to_owned();
    let overlap = Overlap {
        relation: Relation::Same,
        evidence: crate::model::location::Evidence::Root,
    };
    let sentence = "directory shared of share nas1:/export is the same as directory shared of share 10.0.0.5:/export \
    of volume pvc-shared, which claim team-a/other uses; the two shares have the same file system number and root. If \
    they are two file systems (a copied disk, or fsid=0 on two servers), give one of the exports another fsid= or its \
    disk another UUID. If they are two btrfs subvolumes, export each by itself, and nothing above it";
    let refuse = Conflict::Refuse(format!("{sentence}; otherwise choose another directory for this claim"));
    assert_eq!(
        overlap_conflict(&new("shared"), &other, overlap, &installation()),
        refuse
    );
    other.deleting = true;
    let waits = Conflict::Releasing(sentence.replace("uses;", "uses and which is being cleaned up;"));
    assert_eq!(
        overlap_conflict(&new("shared"), &other, overlap, &installation()),
        waits
    );
    other.deleting = false;
    other.claim.as_mut().unwrap().name = "data".to_owned();
    let own = overlap_conflict(&new("shared"), &other, overlap, &installation());
    assert!(
        matches!(own, Conflict::Releasing(_)),
        "an earlier claim of this name: {own:?}"
    );
    other.claim.as_mut().unwrap().name = "other".to_owned();
    other.deleting = true;
    other.maker = None;
    assert_eq!(
        overlap_conflict(&new("shared"), &other, overlap, &installation()),
        refuse
    );
}

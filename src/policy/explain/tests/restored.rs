//! Claims that name an archive.

use super::*;
use crate::policy::restore::RestoreFacts;

/// A claim in a file that names an archive on `nas1:/export`, and a class with these parameters.
fn world(parameters: Value) -> World {
    let made = "2026-11-28T16:31:15Z";
    let tag = Directory::archive_tag("blue", "pvc-1");
    let directory = Directory::parse("team-a-data").unwrap();
    let directory = directory.archive(made.parse().unwrap(), &tag, None, None);
    let archive = json!({
        "apiVersion": "bindery.dev/v1alpha1",
        "kind": "Archive",
        "metadata": {"name": "data-1", "namespace": "team-a"},
        "spec": {
            "claimName": "data", "claimNamespace": "team-a", "claimUid": "c-1", "namespaceUid": "n-1",
            "volumeName": "pvc-1", "server": "nas1", "share": "/export", "nfsVersion": "4", "directory": directory.as_str(),
            "directoryId": "1.2:3", "capacity": "1Gi", "archivedAt": made,
            "provisioner": "bindery.dev/nfs", "instance": "blue",
        },
        "status": {"phase": "Available", "directory": directory.as_str()},
    });
    World::with(|world| {
        world.claim["metadata"]["name"] = json!("again");
        world.claim["spec"]["dataSourceRef"] = json!({"apiGroup": "bindery.dev", "kind": "Archive", "name": "data-1"});
        world.class["parameters"] = parameters;
        world.restore = Some(RestoreFacts {
            archives: Some(vec![serde_json::from_value(archive).unwrap()]),
            ..RestoreFacts::default()
        });
    })
}

#[test]
fn whether_the_class_is_for_the_share_of_the_archive_is_not_known_without_the_flags_of_serve() {
    let unknown = "could not check whether StorageClass fast is for the share of Archive data-1: give the --nfs-server \
                   and --nfs-share that bindery serve has";
    let both = json!({"server": "nas1", "share": "/export"});
    let table = [
        (both.clone(), None, None, false),
        (json!({}), None, None, true),
        (json!({"server": "nas1"}), None, None, true),
        (json!({}), Some("nas1"), None, true),
        (json!({}), Some("nas1"), Some("/export"), false),
    ];
    for (parameters, server, share, is_unknown) in table {
        let mut world = world(parameters);
        world.defaults.server = server.map(str::to_owned);
        world.defaults.share = share.map(str::to_owned);
        let explanation = world.explained();
        assert!(
            matches!(explanation.outcome, Outcome::Provisioned { .. }),
            "{explanation:?}"
        );
        let says = explanation.warnings.iter().any(|warning| warning == unknown);
        assert_eq!(says, is_unknown, "{:?}", explanation.warnings);
    }
    let mut other = world(json!({}));
    (other.defaults.server, other.defaults.share) = (Some("nas2".to_owned()), Some("/export".to_owned()));
    assert!(matches!(other.explained().outcome, Outcome::Refused { .. }));
}

#[test]
fn a_claim_that_was_restored_shows_its_archive_and_no_new_claim() {
    let mut world = world(json!({"server": "nas1", "share": "/export", "onDelete": "delete"}));
    let mut volume = world.volume();
    volume.ready = true;
    volume.claim.as_mut().unwrap().uid = Some("u".to_owned());
    world.claim["spec"]["volumeName"] = json!(volume.name);
    world.read_from = ReadFrom::Cluster;
    world.parameters(&json!({"onDelete": "archive"}));
    let expected = Outcome::HasVolume {
        volume: volume.name.clone(),
        new_claim: None,
    };
    world.volume = Some(volume);
    // The object of the archive is there until the claim is bound, and is removed some time after that.
    for archives in [world.restore.clone().unwrap().archives, Some(Vec::new())] {
        world.restore.as_mut().unwrap().archives = archives;
        let mut explanation = world.explained();
        explanation.exempt(Exempt::Object, "bindery");
        assert_eq!(explanation.outcome, expected);
        assert_eq!(explanation.restored_from.as_deref(), Some("Archive data-1"));
        assert!(
            explanation.policy.iter().all(|row| row.new_claim.is_none()),
            "{explanation:?}"
        );
    }
    let record = world.volume.as_mut().unwrap().record.as_mut().unwrap();
    record.restored.as_mut().unwrap().namespace = "bindery".to_owned();
    let shown = world.explained().restored_from;
    assert_eq!(shown.as_deref(), Some("Archive data-1 of namespace bindery"));
}

#[test]
fn a_source_of_another_kind_is_named() {
    let of_kind = |group: &str, kind: &str| {
        explained(|world| {
            world.claim["spec"]["dataSourceRef"] = json!({"apiGroup": group, "kind": kind, "name": "x"});
        })
    };
    let why = "its dataSourceRef names kind Image of group example.com, so the volume populator for that kind provides the \
               volume";
    assert_eq!(
        of_kind("example.com", "Image").outcome,
        Outcome::NotServed { why: why.to_owned() }
    );
    let why = "dataSourceRef.kind is Archives: write kind: Archive, because API group bindery.dev has no other kind that \
               Bindery can restore";
    assert_eq!(
        of_kind("bindery.dev", "Archives").outcome,
        Outcome::Refused { why: why.to_owned() }
    );
}

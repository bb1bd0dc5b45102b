//! The claim that gets the data of an archive back, for `bindery restore` and the console.

use std::cmp::Reverse;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::archives::is_kept;
use crate::model::archive::{Archive, ArchivePhase};
use crate::model::names::{ARCHIVE_KIND, GROUP, is_object_name};
use crate::model::quantity;

/// What the new claim has instead of what the archive says.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Its name, instead of that of the claim that was deleted.
    pub name: Option<String>,
    /// Its size.
    pub size: Option<String>,
    /// Its class.
    pub class: Option<String>,
    /// Its access modes.
    pub access_modes: Vec<String>,
}

/// Returns the archive with this name, else the newest archive of the claim with this name: one that is available, if there
/// is one. The result says whether the name is that of a claim.
pub fn choose<'a>(archives: &'a [Archive], name: &str) -> Option<(&'a Archive, bool)> {
    if let Some(archive) = archives.iter().find(|archive| archive.name_any() == name) {
        return Some((archive, false));
    }
    let of_claim = archives.iter().filter(|archive| is_of_claim(archive, name));
    // Of two of the same second, the webhook takes the first one by name, too.
    let newest = of_claim.max_by_key(|archive| {
        let is_available = phase(archive) == ArchivePhase::Available;
        (is_available, archive.spec.archived_at.0, Reverse(archive.name_any()))
    });
    newest.map(|archive| (archive, true))
}

/// Returns whether this is an archive of the claim with this name in the namespace of the archive. In Bindery's namespace
/// there are also archives of claims of deleted namespaces: only their own names mean them.
pub fn is_of_claim(archive: &Archive, name: &str) -> bool {
    let of = archive.spec.claim_namespace.as_ref();
    archive.spec.claim_name == name && of.is_none_or(|of| archive.metadata.namespace.as_ref() == Some(of))
}

/// Returns the claim that gets the data of an archive back. The error says why there is none, and what to do.
pub fn restore_claim(archive: &Archive, wishes: &Wishes, now: Timestamp) -> Result<Value, String> {
    let (spec, name) = (&archive.spec, archive.name_any());
    is_restorable(archive, now)?;
    let known = spec.claim_uid.as_ref().map(|_| spec.claim_name.clone());
    let claim = wishes
        .name
        .clone()
        .or(known)
        .ok_or_else(|| missing(&name, "claim", "--as"))?;
    if !is_object_name(&claim) {
        return Err(format!(
            "{claim:?} is not the name of a claim; write lower-case letters, digits, `-` and `.`"
        ));
    }
    let class = wishes.class.clone().or_else(|| spec.storage_class_name.clone());
    let class = class.ok_or_else(|| missing(&name, "StorageClass", "--class"))?;
    if !is_object_name(&class) {
        return Err(format!(
            "{class:?} is not the name of a StorageClass; write lower-case letters, digits, `-` and `.`"
        ));
    }
    let size = wishes.size.clone().or_else(|| spec.capacity.clone());
    let size = size.ok_or_else(|| missing(&name, "size", "--size"))?;
    check_size(&size, spec.capacity.as_deref(), &name)?;
    let modes = if wishes.access_modes.is_empty() {
        &spec.access_modes
    } else {
        &wishes.access_modes
    };
    if modes.is_empty() {
        return Err(missing(&name, "access modes", "--access-mode"));
    }
    Ok(json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim, "namespace": archive.namespace()},
        "spec": {
            "storageClassName": class,
            "accessModes": modes,
            "resources": {"requests": {"storage": size}},
            "dataSourceRef": {"apiGroup": GROUP, "kind": ARCHIVE_KIND, "name": name},
        },
    }))
}

fn phase(archive: &Archive) -> ArchivePhase {
    archive.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

/// Checks whether an archive can be given to a claim. The error says why not.
pub fn is_restorable(archive: &Archive, now: Timestamp) -> Result<(), String> {
    let name = archive.name_any();
    let restore = archive.status.as_ref().and_then(|status| status.restore.as_ref());
    let claim = restore.map_or_else(
        || "another claim".to_owned(),
        |to| format!("claim {} (PersistentVolume {})", to.claim_name, to.volume_name),
    );
    let has_expired = archive.expires().is_some_and(|time| time <= now) && !is_kept(archive.keep_until(), now);
    let why = match phase(archive) {
        ArchivePhase::Restored => format!("it was restored to {claim}, which has its directory"),
        _ if archive.metadata.deletion_timestamp.is_some() => "it is being deleted, and its data is removed".to_owned(),
        ArchivePhase::Available if has_expired => {
            return Err(format!(
                "archive {name} has expired, and its data is removed soon, if it is still there. To get it, keep it first: \
                 kubectl annotate archive {name} -n {} --overwrite bindery.dev/keep-until=forever",
                archive.namespace().unwrap_or_default()
            ));
        }
        ArchivePhase::Missing => "its directory is not on the share".to_owned(),
        ArchivePhase::Restoring => format!(
            "it is being restored to {claim}. If that claim is not created, the archive is put back after some minutes"
        ),
        ArchivePhase::Available => return Ok(()),
    };
    Err(format!("archive {name} cannot be restored: {why}"))
}

fn missing(archive: &str, what: &str, flag: &str) -> String {
    let have = if what.ends_with('s') && what != "StorageClass" {
        "are"
    } else {
        "is"
    };
    format!("archive {archive} does not say what its {what} {have}; set {flag}")
}

fn check_size(size: &str, of_archive: Option<&str>, archive: &str) -> Result<(), String> {
    let bytes = quantity::bytes(size).filter(|&bytes| bytes > 0);
    let Some(bytes) = bytes else {
        return Err(format!("{size:?} is not a size; write it as 10Gi"));
    };
    match of_archive {
        Some(least) if quantity::bytes(least).is_some_and(|least| bytes < least) => Err(format!(
            "size {size} is less than {least}, the size of archive {archive}; set {least} or more"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::names::annotation;

    const NOW: &str = "2026-11-30T00:00:00Z";

    fn archive(name: &str, spec: Value, phase: &str) -> Archive {
        let mut all = json!({
            "claimName": "data", "claimUid": "u", "server": "nas1", "share": "/export", "nfsVersion": "4",
            "directory": "d", "directoryId": "1.1:2", "capacity": "10Gi", "storageClassName": "fast",
            "accessModes": ["ReadWriteMany"], "archivedAt": "2026-11-29T00:00:00Z", "provisioner": "p", "instance": "i",
        });
        json_patch::merge(&mut all, &spec);
        serde_json::from_value(json!({
            "apiVersion": "bindery.dev/v1alpha1", "kind": "Archive",
            "metadata": {"name": name, "namespace": "team-a"}, "spec": all, "status": {"phase": phase},
        }))
        .unwrap()
    }

    fn restored(archive: &Archive, wishes: &Wishes) -> Result<Value, String> {
        restore_claim(archive, wishes, NOW.parse().unwrap())
    }

    #[test]
    fn a_claim_has_the_settings_of_the_archive_or_those_of_the_user() {
        let archive = archive("data-1", json!({}), "Available");
        let expected = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": "team-a"},
            "spec": {
                "storageClassName": "fast",
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "10Gi"}},
                "dataSourceRef": {"apiGroup": "bindery.dev", "kind": "Archive", "name": "data-1"},
            },
        });
        assert_eq!(restored(&archive, &Wishes::default()), Ok(expected.clone()));
        let wishes = Wishes {
            name: Some("other".to_owned()),
            size: Some("10240Mi".to_owned()),
            class: Some("slow".to_owned()),
            access_modes: vec!["ReadWriteOnce".to_owned()],
        };
        let mut other = expected;
        json_patch::merge(
            &mut other,
            &json!({
                "metadata": {"name": "other"},
                "spec": {
                    "storageClassName": "slow", "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "10240Mi"}},
                },
            }),
        );
        assert_eq!(restored(&archive, &wishes), Ok(other));
    }

    #[test]
    fn an_error_says_why_there_is_no_claim() {
        let known = |phase: &str| archive("data-1", json!({}), phase);
        let with = |spec: Value| archive("data-1", spec, "Available");
        let size = |size: &str| Wishes {
            size: Some(size.to_owned()),
            ..Wishes::default()
        };
        let name = |name: &str| Wishes {
            name: Some(name.to_owned()),
            ..Wishes::default()
        };
        let class = |class: &str| Wishes {
            class: Some(class.to_owned()),
            ..Wishes::default()
        };
        let none = Wishes::default;
        let table = [
            (
                known("Missing"),
                none(),
                "archive data-1 cannot be restored: its directory is not on the share",
            ),
            (
                known("Restoring"),
                none(),
                "archive data-1 cannot be restored: it is being restored to another claim. If that claim is not created, the \
                 archive is put back after some minutes",
            ),
            (
                known("Restored"),
                none(),
                "archive data-1 cannot be restored: it was restored to another claim, which has its directory",
            ),
            (
                known("Available"),
                class(""),
                "\"\" is not the name of a StorageClass; write lower-case letters, digits, `-` and `.`",
            ),
            (
                known("Available"),
                size("5Gi"),
                "size 5Gi is less than 10Gi, the size of archive data-1; set 10Gi or more",
            ),
            (
                known("Available"),
                size("much"),
                "\"much\" is not a size; write it as 10Gi",
            ),
            (known("Available"), size("0"), "\"0\" is not a size; write it as 10Gi"),
            (
                known("Available"),
                name("Data"),
                "\"Data\" is not the name of a claim; write lower-case letters, digits, `-` and `.`",
            ),
            (
                with(json!({"claimUid": null})),
                none(),
                "archive data-1 does not say what its claim is; set --as",
            ),
            (
                with(json!({"storageClassName": null})),
                none(),
                "archive data-1 does not say what its StorageClass is; set --class",
            ),
            (
                with(json!({"capacity": null})),
                none(),
                "archive data-1 does not say what its size is; set --size",
            ),
            (
                with(json!({"accessModes": []})),
                none(),
                "archive data-1 does not say what its access modes are; set --access-mode",
            ),
        ];
        for (archive, wishes, expected) in table {
            assert_eq!(restored(&archive, &wishes).unwrap_err(), expected);
        }
        let mut expired = known("Available");
        expired.status.as_mut().unwrap().expires_at = Some(serde_json::from_value(json!(NOW)).unwrap());
        let error = restored(&expired, &none()).unwrap_err();
        assert_eq!(
            error,
            "archive data-1 has expired, and its data is removed soon, if it is still there. To get it, keep it first: \
             kubectl annotate archive data-1 -n team-a --overwrite bindery.dev/keep-until=forever"
        );
        expired.metadata.annotations = Some([(annotation::KEEP_UNTIL.to_owned(), "forever".to_owned())].into());
        assert!(restored(&expired, &none()).is_ok(), "it was kept a moment ago");
        expired.metadata.deletion_timestamp = Some(serde_json::from_value(json!(NOW)).unwrap());
        let error = restored(&expired, &none()).unwrap_err();
        assert_eq!(
            error,
            "archive data-1 cannot be restored: it is being deleted, and its data is removed"
        );
    }

    #[test]
    fn an_archive_that_another_claim_gets_names_that_claim() {
        let why = |phase: &str| {
            let mut archive = archive("data-1", json!({}), phase);
            let to = json!({"claimName": "again", "volumeName": "pvc-1", "directory": "d"});
            archive.status.as_mut().unwrap().restore = serde_json::from_value(to).unwrap();
            archive.metadata.deletion_timestamp =
                serde_json::from_value(json!(NOW)).ok().filter(|_| phase == "Restored");
            restored(&archive, &Wishes::default()).unwrap_err()
        };
        assert_eq!(
            why("Restored"),
            "archive data-1 cannot be restored: it was restored to claim again (PersistentVolume pvc-1), which has its \
             directory"
        );
        assert_eq!(
            why("Restoring"),
            "archive data-1 cannot be restored: it is being restored to claim again (PersistentVolume pvc-1). If that claim \
             is not created, the archive is put back after some minutes"
        );
    }

    #[test]
    fn a_name_is_that_of_an_archive_or_of_a_claim_with_its_newest_archive() {
        let at = |name: &str, time: &str, phase: &str| archive(name, json!({"archivedAt": time}), phase);
        let archives = [
            at("a", "2026-01-01T00:00:00Z", "Available"),
            at("b", "2026-03-01T00:00:00Z", "Available"),
            at("c", "2026-05-01T00:00:00Z", "Missing"),
            archive("data", json!({"claimName": "b"}), "Available"),
            archive(
                "d",
                json!({"claimName": "moved", "claimNamespace": "team-b"}),
                "Available",
            ),
        ];
        let chosen =
            |archives: &[Archive], name: &str| choose(archives, name).map(|(archive, of)| (archive.name_any(), of));
        assert_eq!(chosen(&archives, "a"), Some(("a".to_owned(), false)));
        assert_eq!(
            chosen(&archives, "data"),
            Some(("data".to_owned(), false)),
            "an archive of that name"
        );
        assert_eq!(
            chosen(&archives[..3], "data"),
            Some(("b".to_owned(), true)),
            "the newest that is available"
        );
        assert_eq!(
            chosen(&archives[2..3], "data"),
            Some(("c".to_owned(), true)),
            "the only one"
        );
        assert_eq!(chosen(&archives, "nothing"), None);
        let same_second = [at("b", "2026-01-01T00:00:00Z", "Available"), archives[0].clone()];
        assert_eq!(chosen(&same_second, "data"), Some(("a".to_owned(), true)));
        assert_eq!(chosen(&archives, "moved"), None, "a claim of another namespace");
    }
}

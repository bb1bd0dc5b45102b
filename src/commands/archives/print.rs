//! Prints archives as a table.

use jiff::Timestamp;
use kube::ResourceExt;

use crate::commands::{age, bytes};
use crate::model::archive::{Archive, ArchivePhase};
use crate::model::usage::Usage;

/// Returns the lines of the table. The first line is the header.
pub fn table(archives: &[Archive], with_namespace: bool, wide: bool, now: Timestamp) -> Vec<Vec<String>> {
    let mut header = vec!["NAME", "CLAIM", "SIZE", "USED", "ARCHIVED", "EXPIRES", "PHASE"];
    if with_namespace {
        header.insert(0, "NAMESPACE");
    }
    if wide {
        header.extend(["STORAGECLASS", "SHARE", "DIRECTORY"]);
    }
    let mut lines = vec![header.into_iter().map(str::to_owned).collect()];
    for archive in archives {
        let spec = &archive.spec;
        let unknown = || bytes::UNKNOWN.to_owned();
        let mut line = vec![
            archive.name_any(),
            claim(archive),
            spec.capacity.clone().unwrap_or_else(unknown),
            used(archive),
            age::since(spec.archived_at.0, now),
            expires(archive, now),
            phase(archive),
        ];
        if with_namespace {
            line.insert(0, archive.namespace().unwrap_or_default());
        }
        if wide {
            line.extend([
                spec.storage_class_name.clone().unwrap_or_else(unknown),
                format!("{}:{}", spec.server, spec.share),
                directory(archive),
            ]);
        }
        lines.push(line);
    }
    lines
}

/// Returns one name a line, as kubectl prints them.
pub fn names(archives: &[Archive]) -> String {
    let name = |archive: &Archive| format!("archive.bindery.dev/{}\n", archive.name_any());
    archives.iter().map(name).collect()
}

/// Returns the claim; with its namespace if the object is in another one.
pub fn claim(archive: &Archive) -> String {
    let spec = &archive.spec;
    match &spec.claim_namespace {
        Some(namespace) if archive.namespace().as_ref() != Some(namespace) => {
            format!("{namespace}/{}", spec.claim_name)
        }
        _ => spec.claim_name.clone(),
    }
}

/// Returns the space that an archive uses, if it was measured. One that was restored uses none: a claim has the directory.
pub fn usage(archive: &Archive) -> Option<Usage> {
    archive.usage().filter(|_| !archive.is_restored())
}

fn used(archive: &Archive) -> String {
    let usage = usage(archive);
    let is_incomplete = usage.is_some_and(|usage| usage.unread > 0);
    bytes::used(usage.map(|usage| usage.bytes), is_incomplete)
}

/// Returns the path of an archive below the share. One that was restored is not there any more.
fn directory(archive: &Archive) -> String {
    if archive.is_restored() {
        return bytes::UNKNOWN.to_owned();
    }
    archive.current_directory().to_owned()
}

/// Returns when an archive is removed, as `in 30d`, `never` or `expired`. The data of one that was restored does not expire.
pub fn expires(archive: &Archive, now: Timestamp) -> String {
    match archive.expires() {
        _ if archive.is_restored() => bytes::UNKNOWN.to_owned(),
        None => "never".to_owned(),
        Some(time) => age::until(time, now).map_or_else(|| "expired".to_owned(), |left| format!("in {left}")),
    }
}

/// Returns the phase of an archive, or `Terminating`.
pub fn phase(archive: &Archive) -> String {
    let phase = archive.status.as_ref().map(|status| status.phase).unwrap_or_default();
    if archive.metadata.deletion_timestamp.is_some() && phase == ArchivePhase::Available {
        return "Terminating".to_owned();
    }
    phase.as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::names::volume_annotation;

    fn archive(namespace: &str, status: serde_json::Value) -> Archive {
        let spec = json!({
            "claimName": "data", "claimNamespace": "team-a", "server": "nas1", "share": "/export", "nfsVersion": "4",
            "directory": "archived-old", "directoryId": "1.1:2", "capacity": "10Gi", "storageClassName": "fast",
            "archivedAt": "2026-11-29T00:00:00Z", "provisioner": "bindery.dev/nfs", "instance": "one",
        });
        serde_json::from_value(json!({
            "apiVersion": "bindery.dev/v1alpha1", "kind": "Archive",
            "metadata": {"name": "data-1", "namespace": namespace}, "spec": spec, "status": status,
        }))
        .unwrap()
    }

    fn row(archive: &Archive, with_namespace: bool, wide: bool) -> String {
        let now = "2026-11-30T00:00:00Z".parse().unwrap();
        table(std::slice::from_ref(archive), with_namespace, wide, now)
            .remove(1)
            .join(" | ")
    }

    #[test]
    fn a_row_says_where_an_archive_is_and_until_when() {
        let available = json!({"phase": "Available", "directory": "archived-new", "expiresAt": "2026-12-30T00:00:00Z"});
        let kept = archive("team-a", json!({"phase": "Missing", "directory": "archived-old"}));
        let here = archive("team-a", available.clone());
        let moved = archive("bindery", available);
        assert_eq!(
            row(&kept, false, false),
            "data-1 | data | 10Gi | - | 24h | never | Missing"
        );
        assert_eq!(
            row(&here, false, true),
            "data-1 | data | 10Gi | - | 24h | in 30d | Available | fast | nas1:/export | archived-new"
        );
        assert_eq!(
            row(&moved, true, false),
            "bindery | data-1 | team-a/data | 10Gi | - | 24h | in 30d | Available"
        );
        let expired = archive(
            "team-a",
            json!({"phase": "Available", "expiresAt": "2026-11-30T00:00:00Z"}),
        );
        assert_eq!(
            row(&expired, false, false),
            "data-1 | data | 10Gi | - | 24h | expired | Available"
        );
        let mut measured = here;
        let usage = r#"{"bytes":3221225472,"files":12,"unread":1,"measuredAt":"2026-11-29T12:00:00Z"}"#;
        measured
            .annotations_mut()
            .insert(volume_annotation::USAGE.to_owned(), usage.to_owned());
        let row_of_measured = row(&measured, false, false);
        assert_eq!(
            row_of_measured,
            "data-1 | data | 10Gi | 3Gi+ | 24h | in 30d | Available"
        );
    }

    #[test]
    fn an_archive_that_was_restored_has_no_directory_and_does_not_expire() {
        let status = json!({"phase": "Restored", "directory": "archived-old", "expiresAt": "2026-12-30T00:00:00Z"});
        assert_eq!(
            row(&archive("team-a", status), false, true),
            "data-1 | data | 10Gi | - | 24h | - | Restored | fast | nas1:/export | -"
        );
    }
}

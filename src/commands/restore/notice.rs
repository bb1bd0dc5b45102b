//! Says which archive of a claim was chosen, and which older ones there are.

use std::cmp::Reverse;
use std::fmt::Write;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::commands::age;
use crate::commands::archives::print::usage;
use crate::commands::bytes;
use crate::commands::table::fitted;
use crate::model::archive::Archive;
use crate::policy::restore_claim::{is_of_claim, is_restorable};

/// The most older archives that are listed.
const MAX_LISTED: usize = 10;

/// Returns the lines about the archive that the name of a claim means. The newest one may be the empty one of a claim that
/// lived shortly, so the older ones follow, with the commands that restore them. `command` is the command without a name.
pub fn notice(chosen: &Archive, all: &[Archive], command: &str, now: Timestamp) -> String {
    let spec = &chosen.spec;
    let size = spec.capacity.as_ref().map(|size| format!(", size {size}"));
    let mut text = format!(
        "the newest archive of claim {} is {}: archived {} ago{}, {}\n",
        spec.claim_name,
        chosen.name_any(),
        age::since(spec.archived_at.0, now),
        size.unwrap_or_default(),
        used(chosen)
    );
    let is_older = |one: &&Archive| {
        is_of_claim(one, &spec.claim_name) && one.name_any() != chosen.name_any() && is_restorable(one, now).is_ok()
    };
    let mut older: Vec<&Archive> = all.iter().filter(is_older).collect();
    if older.is_empty() {
        return text;
    }
    older.sort_by_key(|one| Reverse(one.spec.archived_at.0));
    let _ = writeln!(
        text,
        "older archives of claim {}, each with the command for it:",
        spec.claim_name
    );
    let line = |one: &&Archive| {
        let ago = age::since(one.spec.archived_at.0, now);
        [
            format!("  {command} {}", one.name_any()),
            format!("archived {ago} ago"),
            used(one),
        ]
    };
    let lines: Vec<_> = older.iter().take(MAX_LISTED).map(line).collect();
    text += &fitted(&lines, None);
    if let Some(more @ 1..) = older.len().checked_sub(MAX_LISTED) {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}

fn used(archive: &Archive) -> String {
    let Some(usage) = usage(archive) else {
        return "used space not measured yet".to_owned();
    };
    let used = bytes::used(Some(usage.bytes), usage.unread > 0);
    let noun = if usage.files == 1 { "file" } else { "files" };
    format!("used {used} in {} {noun}", usage.files)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn archive(name: &str, day: u8, changes: &Value) -> Archive {
        let mut object = json!({
            "apiVersion": "bindery.dev/v1alpha1", "kind": "Archive",
            "metadata": {"name": name, "namespace": "team-a"},
            "spec": {
                "claimName": "data", "claimUid": "u", "server": "nas1", "share": "/export", "nfsVersion": "4",
                "directory": "d", "directoryId": "1.1:2", "capacity": "10Gi",
                "archivedAt": format!("2026-11-{day:02}T00:00:00Z"), "provisioner": "p", "instance": "i",
            },
            "status": {"phase": "Available"},
        });
        json_patch::merge(&mut object, changes);
        serde_json::from_value(object).unwrap()
    }

    fn measured(bytes: u64, files: u64) -> Value {
        let usage = json!({"bytes": bytes, "files": files, "measuredAt": "2026-11-29T12:00:00Z"});
        json!({"metadata": {"annotations": {"bindery.dev/usage": usage.to_string()}}})
    }

    #[test]
    fn an_empty_newest_archive_is_seen_and_the_older_ones_are_named() {
        let now = "2026-11-30T00:00:00Z".parse().unwrap();
        let all = [
            archive("data-1", 1, &measured(8 << 30, 120_417)),
            archive("data-2", 2, &json!({})),
            archive("data-3", 3, &json!({"status": {"phase": "Restored"}})),
            archive("other-4", 4, &json!({"spec": {"claimName": "other"}})),
            archive("data-29", 29, &measured(0, 1)),
        ];
        let said = |all: &[Archive]| notice(all.last().unwrap(), all, "kubectl bindery restore -n team-a", now);
        let chosen = "the newest archive of claim data is data-29: archived 24h ago, size 10Gi, used 0B in 1 file\n";
        assert_eq!(said(&all[2..]), chosen);
        assert_eq!(
            said(&all),
            format!(
                "{chosen}older archives of claim data, each with the command for it:\n\
                 \u{20} kubectl bindery restore -n team-a data-2  archived 28d ago  used space not measured yet\n\
                 \u{20} kubectl bindery restore -n team-a data-1  archived 29d ago  used 8Gi in 120417 files\n"
            )
        );
        let many: Vec<_> = (1..=12)
            .map(|day| archive(&format!("data-{day}"), day, &json!({})))
            .collect();
        let text = said(&many);
        assert!(text.ends_with("  and 1 more\n") && text.lines().count() == 13, "{text}");
    }
}

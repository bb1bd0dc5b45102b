//! What the page shows of objects.

use k8s_openapi::api::events::v1::Event;
use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-11-30T12:00:00Z";

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn event(kind: &str, by: &str, time: &str, note: &str) -> Event {
    from(json!({
        "metadata": {"name": note}, "type": kind, "reportingController": by, "eventTime": time, "note": note,
        "regarding": {"kind": "PersistentVolumeClaim", "namespace": "team-a", "name": "data", "uid": "u"},
        "action": "TimedOut", "reason": "ProvisioningFailed",
    }))
}

fn objects(events: Vec<Event>) -> Objects {
    let claim = json!({
        "metadata": {"name": "data", "namespace": "team-a", "uid": "u", "creationTimestamp": "2026-11-30T11:59:00Z"},
        "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}},
    });
    let other = json!({"metadata": {"name": "other", "namespace": "team-a"}, "spec": {"storageClassName": "slow"}});
    let class = |name: &str, provisioner: &str, server: &str| {
        from(json!({
            "metadata": {"name": name}, "provisioner": provisioner, "parameters": {"server": server, "share": "/export"},
        }))
    };
    Objects {
        cluster: String::new(),
        namespace: None,
        why_one_namespace: None,
        provisioner: "bindery.dev/nfs".to_owned(),
        claims: Ok(vec![from(claim), from(other)]),
        volumes: Ok(Vec::new()),
        classes: Ok(vec![
            class("fast", "bindery.dev/nfs", "nas1"),
            class("slow", "example.com/nfs", "nas2"),
        ]),
        archives: Ok(Vec::new()),
        events: Ok(events),
        shares: Ok(None),
    }
}

/// Returns why the claim waits, and the message about the only server.
fn shown(events: Vec<Event>) -> (String, Option<String>) {
    let view = of(&objects(events), NOW.parse().unwrap());
    let (Section::Rows(waiting), Section::Rows(servers)) = (view.waiting, view.servers) else {
        panic!("all is readable");
    };
    assert_eq!(
        (waiting.len(), waiting[0].claim.as_str()),
        (1, "data"),
        "only claims of Bindery"
    );
    assert_eq!(
        (servers.len(), servers[0].name.as_str()),
        (1, "nas1"),
        "only servers of Bindery"
    );
    let problem = servers[0].problem.as_ref();
    (waiting[0].why.clone(), problem.map(|problem| problem.message.clone()))
}

#[test]
fn the_newest_warning_of_bindery_says_why_a_claim_waits_and_that_its_server_has_a_problem() {
    let down = || event("Warning", "bindery", "2026-11-30T11:59:30.000000Z", "down");
    let older = || event("Warning", "bindery", "2026-11-30T11:59:10.000000Z", "older");
    let other = || {
        event(
            "Normal",
            "persistentvolume-controller",
            "2026-11-30T11:59:50.000000Z",
            "waits",
        )
    };
    let later = || event("Normal", "bindery", "2026-11-30T11:59:40.000000Z", "provisioned");
    let old = || event("Warning", "bindery", "2026-11-30T11:00:00.000000Z", "old");
    let none = "No Event says why.";
    let table = [
        (vec![], none, None),
        (vec![older(), down()], "down", Some("down")),
        (vec![down(), older(), other()], "down", Some("down")),
        (vec![other()], "waits", None),
        (vec![down(), later()], "provisioned", None),
        (vec![old()], "old", None),
    ];
    for (events, why, problem) in table {
        assert_eq!(shown(events), (why.to_owned(), problem.map(str::to_owned)));
    }
}

#[test]
fn the_last_repetition_of_an_event_counts() {
    let mut repeated = event("Warning", "bindery", "2026-11-30T11:00:00.000000Z", "repeated");
    repeated.series = Some(from(
        json!({"count": 9, "lastObservedTime": "2026-11-30T11:59:00.000000Z"}),
    ));
    assert_eq!(shown(vec![repeated]).1.as_deref(), Some("repeated"));
}

/// Returns the problem of server nas1, with the claim bound or not, and with this record of its share.
fn problem(mut event: Event, action: &str, reason: &str, is_bound: bool, record: Value) -> Option<(String, String)> {
    (event.action, event.reason) = (Some(action.to_owned()), Some(reason.to_owned()));
    let mut all = objects(vec![event]);
    if is_bound {
        let claims = all.claims.as_mut().unwrap();
        claims[0].status = Some(from(json!({"phase": "Bound"})));
    }
    let mut share = json!({"server": "nas1", "share": "/export", "size": 9, "available": 3});
    json_patch::merge(&mut share, &record);
    all.shares = Ok((!record.is_null()).then(|| from(json!({"data": {"shares.json": json!([share]).to_string()}}))));
    let Section::Rows(mut servers) = of(&all, NOW.parse().unwrap()).servers else {
        panic!("all is readable");
    };
    assert_eq!(servers.len(), 1);
    servers
        .remove(0)
        .problem
        .map(|problem| (problem.message, problem.source))
}

#[test]
fn only_a_warning_that_a_server_has_caused_and_that_still_holds_is_a_problem_of_the_server() {
    let warning = || event("Warning", "bindery", "2026-11-30T11:59:00.000000Z", "down");
    let of_claim = || {
        Some((
            "down".to_owned(),
            "PersistentVolumeClaim team-a/data, 60s ago".to_owned(),
        ))
    };
    let (failed, lost) = ("ProvisioningFailed", "DirectoryLost");
    let measured_at = |time: &str| json!({"measuredAt": format!("2026-11-30T{time}Z")});
    let (before, after) = (|| measured_at("11:58:30"), || measured_at("11:59:30"));
    let down = |measured_at: &str| json!({"measuredAt": measured_at, "downSince": "2026-11-30T11:57:30Z", "size": null, "available": null});
    let outage = || {
        Some((
            "It has not answered for 2m30s.".to_owned(),
            "kubectl bindery check --server nas1 --share /export tells more".to_owned(),
        ))
    };
    let table = [
        // The action, the reason, whether the claim is bound, the record of the share.
        ("TimedOut", failed, false, Value::Null, of_claim()),
        ("Denied", failed, false, Value::Null, of_claim()),
        ("NoSpaceAfterMoveKept", "CleanupFailed", false, Value::Null, of_claim()),
        ("Lost", lost, true, Value::Null, of_claim()),
        // The API server has caused it, or it is normal.
        ("Api", failed, false, Value::Null, None),
        ("BeingRestored", "ArchiveFailed", false, Value::Null, None),
        ("ProvisioningRefused-1", "ProvisioningRefused", false, Value::Null, None),
        // The claim has its volume.
        ("TimedOut", failed, true, Value::Null, None),
        // The server has answered since. Only that ends such a warning.
        ("TimedOut", failed, false, before(), of_claim()),
        ("TimedOut", failed, false, after(), None),
        ("Denied", failed, false, after(), of_claim()),
        // Bindery has recorded an outage.
        ("TimedOut", failed, false, down("2026-11-30T11:58:00Z"), outage()),
        ("Denied", failed, true, down("2026-11-30T11:58:00Z"), outage()),
        ("Denied", failed, true, down("2026-11-30T11:20:00Z"), None),
    ];
    for (action, reason, is_bound, record, expected) in table {
        let row = format!("{action} {reason} {is_bound} {record}");
        assert_eq!(problem(warning(), action, reason, is_bound, record), expected, "{row}");
    }
}

#[test]
fn a_server_that_no_class_names_is_shown_if_bindery_has_recorded_its_share() {
    let mut all = objects(Vec::new());
    all.classes = Ok(Vec::new());
    let share = json!({
        "server": "nas9", "share": "/flags", "measuredAt": "2026-11-30T11:59:30Z", "downSince": "2026-11-30T11:55:00Z",
    });
    all.shares = Ok(Some(from(json!({"data": {"shares.json": json!([share]).to_string()}}))));
    let shown = serde_json::to_value(of(&all, NOW.parse().unwrap())).unwrap();
    assert_eq!(shown["servers"]["rows"][0]["name"], "nas9");
    assert_eq!(
        shown["servers"]["rows"][0]["problem"]["message"],
        "It has not answered for 5m."
    );
    assert_eq!(shown["shares"]["rows"][0]["why"], "its server has not answered for 5m");
}

#[test]
fn an_archive_shows_its_size_and_its_use_with_the_age_of_the_measurement() {
    let mut all = objects(Vec::new());
    let archive = |annotations: Value| {
        from(json!({
            "apiVersion": "bindery.dev/v1alpha1", "kind": "Archive",
            "metadata": {"name": "data-1", "namespace": "team-a", "annotations": annotations},
            "spec": {
                "claimName": "data", "server": "nas1", "share": "/export", "nfsVersion": "4", "directory": "d",
                "directoryId": "1.1:2", "capacity": "1Gi", "archivedAt": "2026-11-29T00:00:00Z", "provisioner": "p",
                "instance": "i",
            },
        }))
    };
    let usage = json!({"bytes": 4096, "files": 3, "unread": 1, "measuredAt": "2026-11-30T09:00:00Z"}).to_string();
    all.archives = Ok(vec![archive(json!({"bindery.dev/usage": usage})), archive(json!({}))]);
    let shown = serde_json::to_value(of(&all, NOW.parse().unwrap()).archives).unwrap();
    let row = &shown["rows"][0];
    assert_eq!(
        row["used"],
        json!({"bytes": 4096, "isIncomplete": true, "measured": "3h"})
    );
    assert_eq!((&row["size"], &row["bytes"]), (&json!("1Gi"), &json!(1 << 30)));
    assert_eq!(shown["rows"][1]["used"], Value::Null);
}

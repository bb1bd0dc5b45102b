//! What the page shows of objects.

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

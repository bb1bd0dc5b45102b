//! Tests which claims are reconciled when a volume is gone.

use kube::runtime::{reflector, watcher};
use serde_json::{Value, json};

use super::*;
use crate::model::names::UNBOUND_UID;

const OWN: &str = "11111111-1111-1111-1111-111111111111";
const OTHER: &str = "22222222-2222-2222-2222-222222222222";

/// Returns the claims that are reconciled when a volume with this attempt and this uid in its `claimRef` is gone, of
/// two claims that wait. One of them names `named`.
fn after(attempt: &str, claim_uid: &str, named: Option<&str>) -> Vec<String> {
    let (claims, mut writer) = reflector::store();
    for (name, uid, volume) in [("own", OWN, named), ("other", OTHER, None)] {
        let claim: Value = json!({
            "metadata": {"namespace": "team-a", "name": name, "uid": uid},
            "spec": {"storageClassName": "fast", "volumeName": volume},
        });
        writer.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(claim).unwrap()));
    }
    let gone = serde_json::from_value(json!({
        "metadata": {"name": "pvc-1", "annotations": {"bindery.dev/attempt": attempt}},
        "spec": {"claimRef": {"namespace": "team-a", "name": "own", "uid": claim_uid}},
    }));
    let due = after_volume(&gone.unwrap(), &claims);
    let mut due: Vec<String> = due.into_iter().map(|claim| claim.name).collect();
    due.sort();
    due
}

#[test]
fn a_volume_that_an_attempt_removed_again_does_not_trigger_the_next_attempt_of_its_claim() {
    assert_eq!(after(OWN, UNBOUND_UID, None), ["other"]);
    assert_eq!(after(OWN, UNBOUND_UID, Some("pvc-1")), ["other"]);
}

#[test]
fn any_other_volume_triggers_all_claims_that_may_have_been_refused_because_of_it() {
    assert_eq!(
        after(OTHER, UNBOUND_UID, None),
        ["own"],
        "an attempt for the other claim"
    );
    assert_eq!(after("webhook", UNBOUND_UID, None), ["other", "own"]);
    assert_eq!(after(OWN, OWN, None), ["other", "own"], "the claim had the volume");
}

#[test]
fn a_claim_that_names_a_volume_is_triggered_only_by_this_volume() {
    assert_eq!(after("webhook", UNBOUND_UID, Some("pvc-1")), ["other", "own"]);
    assert_eq!(after("webhook", UNBOUND_UID, Some("pvc-2")), ["other"]);
}

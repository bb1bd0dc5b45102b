//! The shipped roles: Bindery has all permissions that it needs, and no others. Compares the requests of all other
//! tests with the roles.
//!
//! This is a separate binary that runs last. It reads the audit log of the API server, which contains each request of
//! Bindery's ServiceAccount and whether it was allowed.

#[path = "support/audit.rs"]
mod audit;

use std::collections::BTreeSet;

use serde_json::{Value, json};

const USER: &str = "system:serviceaccount:bindery:bindery";

/// A permission: verb, API group, and resource (for example `persistentvolumeclaims/status`).
type Right = (String, String, String);

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns every request, and whether it was allowed.
fn calls() -> Vec<(Right, bool, String)> {
    let call = |event: Value| {
        let (of, user) = (&event["objectRef"], text(&event["user"]["username"]));
        let subresource = text(&of["subresource"]);
        let mut resource = text(&of["resource"]);
        if !subresource.is_empty() {
            resource = format!("{resource}/{subresource}");
        }
        let right = (text(&of["apiGroup"]), resource, text(&event["verb"]));
        let allowed = event["annotations"]["authorization.k8s.io/decision"] == json!("allow");
        (user == USER).then(|| (right, allowed, text(&event["requestURI"])))
    };
    audit::calls().into_iter().filter_map(call).collect()
}

/// Returns every permission in the shipped roles.
fn shipped() -> BTreeSet<Right> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base/rbac.yaml");
    let roles: Vec<Value> = serde_saphyr::from_multiple(&std::fs::read_to_string(file).unwrap()).unwrap();
    let list = |rule: &Value, key: &str| rule[key].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let mut rights = BTreeSet::new();
    for rule in roles.iter().filter_map(|role| role["rules"].as_array()).flatten() {
        for group in list(rule, "apiGroups") {
            for resource in list(rule, "resources") {
                rights.extend(
                    list(rule, "verbs")
                        .into_iter()
                        .map(|verb| (group.clone(), resource.clone(), verb)),
                );
            }
        }
    }
    rights
}

#[test]
fn no_request_of_bindery_is_forbidden() {
    let refused: BTreeSet<_> = calls()
        .into_iter()
        .filter(|(_, allowed, _)| !allowed)
        .map(|(right, _, uri)| (right, uri))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn every_permission_in_the_shipped_roles_is_used() {
    let used: BTreeSet<_> = calls().into_iter().map(|(right, ..)| right).collect();
    let unused: BTreeSet<_> = shipped().difference(&used).cloned().collect();
    assert!(unused.is_empty(), "{unused:#?}");
}

//! The CEL expression that selects the claims for which the API server calls Bindery.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;
use serde_json::json;

use crate::model::names::annotation::{BETA_CLASS, STORAGE_PROVISIONER};

/// The longest list of other provisioners' classes, in bytes. The API server refuses expressions above 100,000
/// characters (cel-go), and evaluates the list for each claim.
const MAX_LIST: usize = 50_000;

/// Returns the condition of a webhook. It selects claims whose class is not listed as another provisioner's, so that
/// the first claim of a new class is included. With `failurePolicy: Fail`, or if that list is too long, it selects
/// claims of Bindery's listed classes only: claims of other provisioners must not be refused when Bindery does not
/// answer.
///
/// It also selects claims that Bindery has provisioned in this request, if another webhook then changed the class:
/// Bindery must delete the volume.
pub(super) fn condition(
    webhook: &MutatingWebhook,
    ours: &BTreeSet<String>,
    others: &BTreeSet<String>,
    provisioner: &str,
) -> String {
    let annotation = |key: &str| format!("has(object.metadata.annotations) && '{key}' in object.metadata.annotations");
    let beta = annotation(BETA_CLASS);
    let class = format!(
        "({beta} ? object.metadata.annotations['{BETA_CLASS}'] : \
         has(object.spec.storageClassName) ? object.spec.storageClassName : '')"
    );
    // A claim with an empty class gets no volume.
    let none = std::iter::once("");
    let others: Vec<&str> = none.chain(others.iter().map(String::as_str)).collect();
    let others = json!(others).to_string();
    let ignores = webhook.failure_policy.as_deref() == Some("Ignore");
    let may_be_ours = if ignores && others.len() <= MAX_LIST {
        format!("!({class} in {others})")
    } else {
        format!("{class} in {}", json!(ours))
    };
    let given = annotation(STORAGE_PROVISIONER);
    format!(
        "{may_be_ours} || ({given} && object.metadata.annotations['{STORAGE_PROVISIONER}'] == {})",
        json!(provisioner)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
        names.map(str::to_owned).into()
    }

    fn listed(policy: Option<&str>, others: &BTreeSet<String>) -> String {
        let webhook = MutatingWebhook {
            failure_policy: policy.map(str::to_owned),
            ..MutatingWebhook::default()
        };
        let expression = condition(&webhook, &names(["fast", "slow"]), others, "bindery.dev/nfs");
        let (may_be_ours, given) = expression.split_once(" || (").unwrap();
        assert!(given.ends_with(r#" == "bindery.dev/nfs")"#), "{expression}");
        let (_, list) = may_be_ours.rsplit_once(" in ").unwrap();
        list.to_owned()
    }

    #[test]
    fn other_classes_are_listed_or_with_failure_policy_fail_our_classes() {
        let others = names(["block", "disk"]);
        assert_eq!(listed(Some("Ignore"), &others), r#"["","block","disk"])"#);
        assert_eq!(listed(Some("Ignore"), &names([])), r#"[""])"#);
        assert_eq!(listed(Some("Fail"), &others), r#"["fast","slow"]"#);
        assert_eq!(listed(None, &others), r#"["fast","slow"]"#, "the API's default is Fail");
    }

    #[test]
    fn if_the_other_classes_are_too_many_our_classes_are_listed() {
        let others = (0..5_000).map(|number| format!("a-class-of-others-{number}")).collect();
        assert_eq!(listed(Some("Ignore"), &others), r#"["fast","slow"]"#);
    }
}

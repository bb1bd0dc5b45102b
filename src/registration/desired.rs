//! Computes the fields of the webhook configuration that Bindery manages.
//!
//! These are the CA, the token at the end of the path, and one match condition, so that the API server does not send
//! claims of other provisioners. All other fields belong to the administrator.

use std::collections::BTreeSet;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, WebhookClientConfig,
};
use serde_json::{Value, json};

use super::condition::condition;
use crate::certificate::pem;
use crate::model::names::WEBHOOK_PATH;

/// The name of the match condition that Bindery manages.
const CONDITION_NAME: &str = "may-be-ours";

/// The desired values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The CAs, in PEM; nothing if Bindery does not set them.
    pub ca: Option<String>,
    /// The token at the end of the path.
    pub token: String,
    /// The names of Bindery's classes.
    pub ours: BTreeSet<String>,
    /// The names of all other classes.
    pub others: BTreeSet<String>,
    /// The provisioner of Bindery's classes.
    pub provisioner: String,
}

impl Desired {
    /// Returns the object to apply; nothing if the configuration has all values already.
    pub fn apply(&self, to: &MutatingWebhookConfiguration) -> Option<Value> {
        let webhooks = to.webhooks.as_deref().unwrap_or_default();
        let desired: Vec<Value> = webhooks.iter().map(|webhook| self.webhook(webhook)).collect();
        let is_applied = |(webhook, desired): (&MutatingWebhook, &Value)| contains(&json!(webhook), desired);
        if webhooks.iter().zip(&desired).all(is_applied) {
            return None;
        }
        Some(json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": to.metadata.name},
            "webhooks": desired,
        }))
    }

    fn webhook(&self, webhook: &MutatingWebhook) -> Value {
        let path = format!("{WEBHOOK_PATH}/{}", self.token);
        let mut client = match &webhook.client_config {
            WebhookClientConfig { url: Some(url), .. } => json!({"url": with_path(url, &path)}),
            WebhookClientConfig { service: Some(_), .. } => json!({"service": {"path": path}}),
            // The API server does not allow this.
            WebhookClientConfig { .. } => json!({}),
        };
        if let Some(ca) = &self.ca {
            let before = webhook.client_config.ca_bundle.as_ref();
            client["caBundle"] = json!(bundle(ca, before));
        }
        let condition = MatchCondition {
            name: CONDITION_NAME.to_owned(),
            expression: condition(webhook, &self.ours, &self.others, &self.provisioner),
        };
        json!({"name": webhook.name, "clientConfig": client, "matchConditions": [condition]})
    }
}

/// Returns the CAs in the configuration. All its webhooks have the same.
pub fn registered_ca(configuration: &MutatingWebhookConfiguration) -> String {
    let webhooks = configuration.webhooks.iter().flatten();
    let mut bundles = webhooks.map(|webhook| text(webhook.client_config.ca_bundle.as_ref()));
    bundles.next().unwrap_or_default()
}

fn text(bundle: Option<&ByteString>) -> String {
    bundle.map_or_else(String::new, |bundle| String::from_utf8_lossy(&bundle.0).into_owned())
}

/// Returns whether `there` has all desired values. Objects in lists are compared by name.
fn contains(there: &Value, desired: &Value) -> bool {
    match (there, desired) {
        (Value::Object(there), Value::Object(desired)) => desired
            .iter()
            .all(|(key, desired)| there.get(key).is_some_and(|there| contains(there, desired))),
        (Value::Array(there), Value::Array(desired)) => desired.iter().all(|desired| {
            there
                .iter()
                .any(|there| there["name"] == desired["name"] && contains(there, desired))
        }),
        _ => there == desired,
    }
}

/// Replaces the path of a URL.
fn with_path(url: &str, path: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let host = rest.split('/').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// Returns the CAs to set: Bindery's, and the first one in the configuration, for replicas that do not have the new
/// certificate yet. If the configuration already has Bindery's, nothing changes. So two replicas with different CAs do
/// not overwrite each other's.
fn bundle(ours: &str, before: Option<&ByteString>) -> ByteString {
    let there = text(before);
    let there: Vec<&str> = pem::certificates(&there).collect();
    let mut bundle: Vec<&str> = pem::certificates(ours).collect();
    if let Some(before) = before
        && bundle.iter().all(|ca| there.contains(ca))
    {
        return before.clone();
    }
    bundle.extend(there.first().filter(|former| !bundle.contains(former)).copied());
    ByteString(bundle.join("\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(names: &[&str]) -> String {
        let one = |name: &&str| format!("-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n");
        names.iter().map(one).collect()
    }

    fn desired() -> Desired {
        Desired {
            ca: Some(pem(&["one"])),
            token: "t0".to_owned(),
            ours: ["fast".to_owned(), "slow".to_owned()].into(),
            others: ["disk".to_owned()].into(),
            provisioner: "bindery.dev/nfs".to_owned(),
        }
    }

    fn configuration(client: Value) -> MutatingWebhookConfiguration {
        let webhook = json!({
            "name": "claims.bindery.dev",
            "clientConfig": client,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "NoneOnDryRun",
            "failurePolicy": "Ignore",
            "matchConditions": [{"name": "mine", "expression": "true"}],
        });
        serde_json::from_value(json!({"metadata": {"name": "bindery"}, "webhooks": [webhook]})).unwrap()
    }

    /// Applies a patch as the API server does, to the fields of these tests.
    fn applied(mut to: Value, patch: &Value) -> MutatingWebhookConfiguration {
        let condition = patch["webhooks"][0]["matchConditions"][0].clone();
        json_patch::merge(
            &mut to["webhooks"][0]["clientConfig"],
            &patch["webhooks"][0]["clientConfig"],
        );
        to["webhooks"][0]["matchConditions"]
            .as_array_mut()
            .unwrap()
            .push(condition);
        serde_json::from_value(to).unwrap()
    }

    #[test]
    fn only_the_fields_that_bindery_manages_are_applied_and_only_once() {
        let service = json!({"service": {"namespace": "bindery", "name": "bindery", "port": 443}});
        for (client, expected) in [
            (service, json!({"service": {"path": "/mutate/t0"}})),
            (
                json!({"url": "https://127.0.0.1:8443/mutate/old"}),
                json!({"url": "https://127.0.0.1:8443/mutate/t0"}),
            ),
        ] {
            let there = configuration(client);
            let patch = desired().apply(&there).unwrap();
            let mut applied_client = patch["webhooks"][0]["clientConfig"].clone();
            assert!(applied_client.as_object_mut().unwrap().remove("caBundle").is_some());
            assert_eq!(applied_client, expected);
            let keys: Vec<_> = patch["webhooks"][0].as_object().unwrap().keys().cloned().collect();
            assert_eq!(keys, ["clientConfig", "matchConditions", "name"]);
            assert_eq!(desired().apply(&applied(json!(there), &patch)), None);
        }
    }

    #[test]
    fn a_class_that_comes_or_goes_is_applied() {
        let there = configuration(json!({"url": "https://host/"}));
        let patch = desired().apply(&there).unwrap();
        let there = applied(json!(there), &patch);
        let mut more = desired();
        more.others.insert("block".to_owned());
        let patch = more.apply(&there).unwrap();
        let expression = patch["webhooks"][0]["matchConditions"][0]["expression"]
            .as_str()
            .unwrap();
        assert!(expression.contains(r#" in ["","block","disk"]) ||"#), "{expression}");
    }

    #[test]
    fn a_ca_that_another_program_sets_is_not_touched() {
        let theirs = Desired { ca: None, ..desired() };
        let patch = theirs.apply(&configuration(json!({"url": "https://host/"}))).unwrap();
        assert_eq!(
            patch["webhooks"][0]["clientConfig"],
            json!({"url": "https://host/mutate/t0"})
        );
    }

    #[test]
    fn the_previous_ca_is_still_trusted_and_none_before_it() {
        let names = |bundle: &ByteString| {
            let text = String::from_utf8(bundle.0.clone()).unwrap();
            let lines = text.lines().filter(|line| !line.starts_with("---")).map(str::to_owned);
            lines.collect::<Vec<_>>()
        };
        let one = bundle(&pem(&["one"]), None);
        assert_eq!(bundle(&pem(&["one"]), Some(&one)), one, "ours is there already");
        let two = bundle(&pem(&["two"]), Some(&one));
        assert_eq!(names(&two), ["two", "one"]);
        assert_eq!(
            bundle(&pem(&["one"]), Some(&two)),
            two,
            "two replicas do not overwrite each other's"
        );
        assert_eq!(names(&bundle(&pem(&["three"]), Some(&two))), ["three", "two"]);
        assert_eq!(names(&bundle(&pem(&["two", "next"]), Some(&two))), ["two", "next"]);
        let garbage = ByteString(b"\n".to_vec());
        assert_eq!(names(&bundle(&pem(&["one"]), Some(&garbage))), ["one"]);
    }
}

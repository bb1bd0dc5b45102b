//! The selectors of the webhook configuration, which exempt claims from Bindery.
//!
//! The API server applies the selectors when a claim is created. The controller applies them, too, so that an exempt claim
//! gets no volume later. As in Kubernetes, all labels and all expressions must match.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

/// Labels of an object.
type Labels = BTreeMap<String, String>;

/// The selectors of a configuration. The default has none, and exempts no claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors(Vec<WebhookSelectors>);

/// The selectors of one webhook. A selector that is not valid selects nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WebhookSelectors {
    namespaces: Option<Selector>,
    objects: Option<Selector>,
}

/// The selector that exempts a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exempt {
    /// `namespaceSelector`: it does not select the claim's namespace.
    Namespace,
    /// `objectSelector`: it does not select the claim.
    Object,
}

impl Selectors {
    /// The selectors of a configuration; `None` if it has no webhook.
    pub fn read(configuration: &MutatingWebhookConfiguration) -> Option<Self> {
        let webhooks = configuration
            .webhooks
            .as_ref()
            .filter(|webhooks| !webhooks.is_empty())?;
        let selectors = webhooks.iter().map(|webhook| WebhookSelectors {
            namespaces: read(webhook.namespace_selector.as_ref()),
            objects: read(webhook.object_selector.as_ref()),
        });
        Some(Self(selectors.collect()))
    }

    /// Returns the selector because of which no webhook of the configuration receives a claim. `None` if a webhook receives
    /// it. `namespace` and `claim` are the labels of the two objects.
    pub fn exempts(&self, namespace: &Labels, claim: &Labels) -> Option<Exempt> {
        let selects = |selector: &Option<Selector>, labels| selector.as_ref().is_some_and(|all| all.matches(labels));
        let mut matching = self
            .0
            .iter()
            .filter(|webhook| selects(&webhook.namespaces, namespace))
            .peekable();
        if self.0.is_empty() {
            None
        } else if matching.peek().is_none() {
            Some(Exempt::Namespace)
        } else if matching.any(|webhook| selects(&webhook.objects, claim)) {
            None
        } else {
            Some(Exempt::Object)
        }
    }
}

fn read(selector: Option<&LabelSelector>) -> Option<Selector> {
    selector.cloned().unwrap_or_default().try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn selectors(webhooks: &Value) -> Option<Selectors> {
        let mut webhooks = webhooks.clone();
        for webhook in webhooks.as_array_mut().unwrap() {
            let rest =
                json!({"name": "w", "admissionReviewVersions": ["v1"], "clientConfig": {}, "sideEffects": "None"});
            json_patch::merge(webhook, &rest);
        }
        let configuration = serde_json::from_value(json!({"metadata": {}, "webhooks": webhooks}));
        Selectors::read(&configuration.unwrap())
    }

    fn exempts(webhooks: &Value, namespace: &Value, claim: &Value) -> Option<Exempt> {
        let labels = |all: &Value| serde_json::from_value(all.clone()).unwrap();
        selectors(webhooks).unwrap().exempts(&labels(namespace), &labels(claim))
    }

    #[test]
    fn selectors_match_as_in_kubernetes() {
        let expression = |operator: &str, values: Option<Value>| {
            let mut expression = json!({"key": "tier", "operator": operator});
            if let Some(values) = values {
                expression["values"] = values;
            }
            json!({"matchExpressions": [expression]})
        };
        let two = Some(json!(["gold", "silver"]));
        let (none, gold, iron) = (json!({}), json!({"tier": "gold"}), json!({"tier": "iron"}));
        // The selector, and whether it selects a namespace without the label, with one of the values, and with another
        // value.
        let table = [
            (json!({}), [true, true, true]),
            (json!({"matchLabels": {"tier": "gold"}}), [false, true, false]),
            (expression("In", two.clone()), [false, true, false]),
            (expression("NotIn", two), [true, false, true]),
            (expression("Exists", None), [false, true, true]),
            (expression("DoesNotExist", None), [true, false, false]),
            (
                json!({
                    "matchLabels": {"tier": "gold"},
                    "matchExpressions": [{"key": "team", "operator": "Exists"}],
                }),
                [false, false, false],
            ),
        ];
        for (selector, expected) in table {
            let selected = [&none, &gold, &iron]
                .map(|labels| exempts(&json!([{"namespaceSelector": selector}]), labels, &none).is_none());
            assert_eq!(selected, expected, "{selector}");
            let selected = [&none, &gold, &iron]
                .map(|labels| exempts(&json!([{"objectSelector": selector}]), &none, labels).is_none());
            assert_eq!(selected, expected, "of objects: {selector}");
        }
    }

    #[test]
    fn the_selector_that_exempts_is_reported() {
        let webhooks = json!([{
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "team-a"}},
            "objectSelector": {"matchExpressions": [{"key": "by-hand", "operator": "DoesNotExist"}]},
        }]);
        let [here, there] = ["team-a", "team-b"].map(|name| json!({"kubernetes.io/metadata.name": name}));
        let (plain, by_hand) = (json!({}), json!({"by-hand": ""}));
        assert_eq!(exempts(&webhooks, &here, &plain), None);
        assert_eq!(exempts(&webhooks, &here, &by_hand), Some(Exempt::Object));
        assert_eq!(exempts(&webhooks, &there, &plain), Some(Exempt::Namespace));
        assert_eq!(exempts(&webhooks, &there, &by_hand), Some(Exempt::Namespace));
    }

    #[test]
    fn one_matching_webhook_is_enough() {
        let of = |name: &str| json!({"namespaceSelector": {"matchLabels": {"team": name}}});
        let both = json!([of("a"), of("b")]);
        assert_eq!(exempts(&both, &json!({"team": "b"}), &json!({})), None);
        assert_eq!(
            exempts(&both, &json!({"team": "c"}), &json!({})),
            Some(Exempt::Namespace)
        );
    }

    #[test]
    fn a_configuration_without_webhooks_has_no_selectors() {
        assert_eq!(selectors(&json!([])), None);
        assert_eq!(Selectors::default().exempts(&Labels::new(), &Labels::new()), None);
    }
}

//! The nodes on which pods can use the volumes of a class: `allowedTopologies`.

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, VolumeNodeAffinity};
use k8s_openapi::api::storage::v1::StorageClass;

/// A list of alternatives. A node matches an alternative if each label has one of the values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topologies(Vec<Vec<(String, Vec<String>)>>);

impl Topologies {
    /// Reads the field of a class.
    pub fn read(class: &StorageClass) -> Self {
        let terms = class.allowed_topologies.iter().flatten().map(|term| {
            let labels = term.match_label_expressions.iter().flatten();
            labels.map(|label| (label.key.clone(), label.values.clone())).collect()
        });
        // Kubernetes ignores a term without expressions in a class. In a volume, such a term selects no node.
        Self(terms.filter(|term: &Vec<_>| !term.is_empty()).collect())
    }

    /// The node affinity of a volume; `None` if all nodes can use it.
    pub fn node_affinity(&self) -> Option<VolumeNodeAffinity> {
        let term = |labels: &Vec<(String, Vec<String>)>| NodeSelectorTerm {
            match_expressions: Some(labels.iter().map(requirement).collect()),
            match_fields: None,
        };
        (!self.0.is_empty()).then(|| VolumeNodeAffinity {
            required: Some(NodeSelector {
                node_selector_terms: self.0.iter().map(term).collect(),
            }),
        })
    }
}

fn requirement((key, values): &(String, Vec<String>)) -> NodeSelectorRequirement {
    NodeSelectorRequirement {
        key: key.clone(),
        operator: "In".to_owned(),
        values: Some(values.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node_affinity(topologies: Value) -> Value {
        let class = json!({"provisioner": "bindery.dev/nfs", "allowedTopologies": topologies});
        json!(Topologies::read(&serde_json::from_value(class).unwrap()).node_affinity())
    }

    #[test]
    fn each_alternative_becomes_a_node_selector_term() {
        let topologies = json!([
            {"matchLabelExpressions": [{"key": "zone", "values": ["a", "b"]}, {"key": "rack", "values": ["1"]}]},
            {"matchLabelExpressions": [{"key": "zone", "values": ["c"]}]},
        ]);
        let terms = json!([
            {"matchExpressions": [
                {"key": "zone", "operator": "In", "values": ["a", "b"]},
                {"key": "rack", "operator": "In", "values": ["1"]},
            ]},
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["c"]}]},
        ]);
        assert_eq!(
            node_affinity(topologies),
            json!({"required": {"nodeSelectorTerms": terms}})
        );
    }

    #[test]
    fn a_class_for_all_nodes_has_no_affinity() {
        assert_eq!(node_affinity(json!(null)), json!(null));
        assert_eq!(node_affinity(json!([])), json!(null));
        assert_eq!(node_affinity(json!([{}])), json!(null));
    }
}

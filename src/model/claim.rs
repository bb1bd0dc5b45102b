//! The fields of a PersistentVolumeClaim that Bindery uses.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use uuid::Uuid;

use super::data_source::DataSource;
use super::quantity;
use crate::model::names::{annotation, is_object_name};

/// A claim's name, or the prefix from which the API server makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// `metadata.name`.
    Given(String),
    /// `metadata.generateName`, a prefix.
    Generate(String),
}

impl Default for Name {
    fn default() -> Self {
        Self::Generate(String::new())
    }
}

/// A claim, read from an admission review or from the API.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: Name,
    /// Its uid; empty inside an admission review.
    pub uid: String,
    /// Whether it has a deletion timestamp.
    pub deleting: bool,
    /// The size of its volume, as its status says; `None` until it is bound.
    pub capacity: Option<Bytes>,
    /// The allocated size in its status: csi-resizer writes it before it writes the size of the volume.
    pub allocated: Option<Bytes>,
    /// When it was created; not known inside an admission review.
    pub created: Option<Timestamp>,
    /// Whether the scheduler has chosen a node for the pod that the claim waits for.
    pub has_node: bool,
    /// The class it names; `None` and `""` both mean no class.
    pub class: Option<String>,
    /// The volume it names.
    pub volume_name: Option<String>,
    /// Its access modes, in the order of the claim.
    pub access_modes: Vec<String>,
    /// The requested size; `None` if it is missing or is not a quantity.
    pub request: Option<Bytes>,
    /// Whether its `volumeMode` is `Block`.
    pub is_block: bool,
    /// The selector for existing volumes to which it may be bound.
    pub selector: Option<LabelSelector>,
    /// The data source from which its volume is filled.
    pub data_source: DataSource,
    /// Its `volumeAttributesClassName`, or `""`.
    pub attributes_class: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A size, as written in the API and as a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// As written: `10Gi`.
    pub written: String,
    /// In bytes, rounded up.
    pub bytes: u128,
}

impl Bytes {
    /// Reads a quantity. `None` if the text is not a quantity above zero.
    pub fn read(quantity: &Quantity) -> Option<Self> {
        let bytes = quantity::bytes(&quantity.0).filter(|&bytes| bytes > 0)?;
        Some(Self {
            written: quantity.0.clone(),
            bytes,
        })
    }
}

impl Claim {
    /// A claim of which only the namespace and the name are known.
    pub fn named(namespace: String, name: String) -> Self {
        Self {
            namespace,
            name: Name::Given(name),
            ..Self::default()
        }
    }

    /// Reads a claim. Never fails: [`crate::policy::decide`] handles missing and invalid fields.
    pub fn read(claim: &PersistentVolumeClaim, namespace: &str) -> Self {
        let spec = claim.spec.clone().unwrap_or_default();
        let meta = &claim.metadata;
        let annotations = claim.annotations();
        let status = claim.status.as_ref();
        Self {
            labels: claim.labels().clone(),
            annotations: annotations.clone(),
            data_source: DataSource::read(&spec),
            namespace: namespace.to_owned(),
            name: match (&meta.name, &meta.generate_name) {
                (Some(name), _) if !name.is_empty() => Name::Given(name.clone()),
                (_, prefix) => Name::Generate(prefix.clone().unwrap_or_default()),
            },
            uid: meta.uid.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            capacity: status.and_then(|status| status.capacity.as_ref()?.get("storage").and_then(Bytes::read)),
            allocated: status.and_then(|status| {
                status
                    .allocated_resources
                    .as_ref()?
                    .get("storage")
                    .and_then(Bytes::read)
            }),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            has_node: annotations.contains_key(annotation::SELECTED_NODE),
            class: annotations
                .get(annotation::BETA_CLASS)
                .cloned()
                .or(spec.storage_class_name)
                .filter(|name| !name.is_empty()),
            volume_name: spec.volume_name.filter(|name| !name.is_empty()),
            is_block: spec.volume_mode.as_deref() == Some("Block"),
            selector: spec.selector,
            attributes_class: spec.volume_attributes_class_name.unwrap_or_default(),
            access_modes: spec.access_modes.unwrap_or_default(),
            request: spec
                .resources
                .and_then(|resources| resources.requests)
                .and_then(|requests| requests.get("storage").and_then(Bytes::read)),
        }
    }

    /// Whether its request is larger than the capacity in its status.
    pub fn asks_for_more(&self) -> bool {
        let size = |size: &Option<Bytes>| size.as_ref().map_or(0, |size| size.bytes);
        size(&self.request) > size(&self.capacity)
    }

    /// The UUID from which the name of the volume for an existing claim is made. It is the same in every attempt.
    pub fn seed(&self) -> Uuid {
        // Kubernetes makes uids of this form, but does not guarantee it.
        let other = || Uuid::new_v5(&Uuid::NAMESPACE_OID, self.uid.as_bytes());
        self.uid.parse().unwrap_or_else(|_| other())
    }

    /// Whether provisioning must wait until a pod uses the claim and the scheduler has chosen a node. Call it only for an
    /// existing claim: a claim in an admission review cannot have a node yet.
    pub fn waits_for_its_pod(&self, class: &StorageClass) -> bool {
        self.volume_name.is_none()
            && !self.has_node
            && class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
    }

    /// Whether the API server will refuse the claim after admission. The API server validates names after it calls
    /// webhooks, so Bindery also gets names such as `../../x`.
    pub fn is_malformed(&self) -> bool {
        const MODES: [&str; 4] = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];
        let name_is_wrong = match &self.name {
            Name::Given(name) => !is_object_name(name),
            // With the suffix a prefix may end in a dash; other errors stay.
            Name::Generate(prefix) => prefix.is_empty() || !is_object_name(&format!("{prefix}x")),
        };
        name_is_wrong
            || !is_object_name(&self.namespace)
            || self.access_modes.is_empty()
            || self.access_modes.iter().any(|mode| !MODES.contains(&mode.as_str()))
            || self.request.is_none()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(change: impl FnOnce(&mut serde_json::Value)) -> Claim {
        let mut claim = json!({
            "metadata": {"name": "data"},
            "spec": {
                "storageClassName": "fast",
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        });
        change(&mut claim);
        Claim::read(&serde_json::from_value(claim).unwrap(), "team-a")
    }

    #[test]
    fn a_valid_claim_is_not_malformed() {
        let claim = read(|_| ());
        assert!(!claim.is_malformed());
        assert_eq!(claim.request.unwrap().bytes, 1 << 30);
    }

    #[test]
    fn a_claim_that_the_api_server_will_refuse_is_malformed() {
        let names = ["../../x", "a..b", "-a", "a-", "A", "a_b", "a/b", "", &"a".repeat(254)];
        for name in names {
            assert!(
                read(|claim| claim["metadata"]["name"] = json!(name)).is_malformed(),
                "{name}"
            );
        }
        assert!(read(|claim| claim["spec"]["accessModes"] = json!([])).is_malformed());
        assert!(read(|claim| claim["spec"]["accessModes"] = json!(["Everything"])).is_malformed());
        for size in ["0", "-1Gi", "many", ""] {
            let size = json!({"requests": {"storage": size}});
            assert!(
                read(|claim| claim["spec"]["resources"] = size.clone()).is_malformed(),
                "{size}"
            );
        }
    }

    #[test]
    fn a_generated_name_may_end_in_a_dash() {
        let generate = |prefix: &str| {
            let prefix = json!({"generateName": prefix});
            read(|claim| claim["metadata"] = prefix)
        };
        assert_eq!(generate("data-").name, Name::Generate("data-".to_owned()));
        assert!(!generate("data-").is_malformed());
        assert!(generate("Data-").is_malformed());
        assert!(generate("").is_malformed());
    }

    #[test]
    fn the_beta_annotation_wins_over_the_class_field() {
        let claim = read(|claim| claim["metadata"]["annotations"] = json!({annotation::BETA_CLASS: "slow"}));
        assert_eq!(claim.class.as_deref(), Some("slow"));
    }
}

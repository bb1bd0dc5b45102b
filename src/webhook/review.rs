//! Reads and writes AdmissionReview objects (`admission.k8s.io/v1`).
//!
//! The claim stays JSON, and the patch is the difference between two JSON objects. So the patch keeps fields that this
//! version of Bindery does not know.

use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::UserInfo;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::model::names::annotation::STORAGE_PROVISIONER;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// The request of a review.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The id of the review; the answer repeats it.
    pub uid: String,
    /// The namespace of the claim.
    #[serde(default)]
    pub namespace: String,
    /// The operation. Only `CREATE` is handled.
    pub operation: String,
    /// The claim.
    #[serde(default)]
    pub object: Value,
    /// Whether it is a dry run, which must not change anything.
    #[serde(default)]
    pub dry_run: bool,
    /// Who creates the claim.
    #[serde(default)]
    pub user_info: UserInfo,
    resource: Resource,
    #[serde(default)]
    sub_resource: String,
}

#[derive(Debug, Deserialize)]
struct Resource {
    group: String,
    resource: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Option<Request>,
}

impl Request {
    /// Parses the body of a request. The error says what is wrong with it.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let review: Review =
            serde_json::from_slice(body).map_err(|error| format!("the body is not an AdmissionReview: {error}"))?;
        if (review.api_version.as_str(), review.kind.as_str()) != (API_VERSION, KIND) {
            return Err(format!(
                "the body is a {} {}; expected {API_VERSION} {KIND}",
                review.api_version, review.kind
            ));
        }
        review.request.ok_or("the AdmissionReview has no request".to_owned())
    }

    /// Returns whether the request creates a claim. Bindery admits all other requests unchanged.
    pub fn creates_a_claim(&self) -> bool {
        let Resource { group, resource } = &self.resource;
        self.operation == "CREATE"
            && (group.as_str(), resource.as_str()) == ("", "persistentvolumeclaims")
            && self.sub_resource.is_empty()
    }
}

/// The answer to a review.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The claim is admitted unchanged.
    Allow,
    /// The claim is admitted with these changes.
    Change(json_patch::Patch),
    /// The claim is refused with this message.
    Deny(String),
}

impl Answer {
    /// Admits the claim with this name and this volume. An annotation records the provisioner. If another webhook then
    /// changes the class, the API server asks Bindery again, and Bindery deletes the volume.
    pub fn with_volume(claim: &Value, name: &str, volume: &str, provisioner: &str) -> Self {
        let mut changed = claim.clone();
        changed["metadata"]["name"] = json!(name);
        changed["metadata"]["annotations"][STORAGE_PROVISIONER] = json!(provisioner);
        changed["spec"]["volumeName"] = json!(volume);
        Self::change(claim, &changed)
    }

    /// Admits the claim without a volume.
    pub fn without_volume(claim: &Value) -> Self {
        if claim["spec"]["volumeName"].is_null() {
            return Self::Allow;
        }
        let mut changed = claim.clone();
        for (of, key) in [("/spec", "volumeName"), ("/metadata/annotations", STORAGE_PROVISIONER)] {
            if let Some(Value::Object(fields)) = changed.pointer_mut(of) {
                fields.remove(key);
            }
        }
        Self::change(claim, &changed)
    }

    /// Admits the claim as `changed`.
    fn change(original: &Value, changed: &Value) -> Self {
        Self::Change(json_patch::diff(original, changed))
    }

    /// Returns the AdmissionReview for the response. `kubectl` prints the warnings.
    pub fn review(&self, uid: &str, warnings: &[String]) -> Value {
        let mut response = match self {
            Self::Allow => json!({"uid": uid, "allowed": true}),
            Self::Change(patch) => json!({
                "uid": uid,
                "allowed": true,
                "patchType": "JSONPatch",
                "patch": ByteString(json!(patch).to_string().into_bytes()),
            }),
            Self::Deny(message) => json!({
                "uid": uid,
                "allowed": false,
                "status": {"code": 403, "reason": "Forbidden", "message": message},
            }),
        };
        if !warnings.is_empty() {
            response["warnings"] = json!(warnings);
        }
        json!({"apiVersion": API_VERSION, "kind": KIND, "response": response})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::claim::{Claim, Name};

    #[test]
    fn every_answer_has_the_uid_of_its_request() {
        let patch = Answer::change(&json!({"a": 1}), &json!({"a": 1, "b": 2}));
        for answer in [Answer::Allow, patch, Answer::Deny("no".to_owned())] {
            assert_eq!(answer.review("u-1", &[])["response"]["uid"], "u-1", "{answer:?}");
        }
    }

    #[test]
    fn a_change_is_a_base64_json_patch_that_keeps_unknown_fields() {
        let original = json!({"spec": {"futureField": {"x": [1]}}});
        let mut changed = original.clone();
        changed["spec"]["volumeName"] = json!("pvc-1");
        let review = Answer::change(&original, &changed).review("u", &["mind".to_owned()]);
        let patch: ByteString = serde_json::from_value(review["response"]["patch"].clone()).unwrap();
        let patch: Value = serde_json::from_slice(&patch.0).unwrap();
        assert_eq!(
            patch,
            json!([{"op": "add", "path": "/spec/volumeName", "value": "pvc-1"}])
        );
        assert_eq!(review["response"]["patchType"], "JSONPatch");
        assert_eq!(review["response"]["warnings"], json!(["mind"]));
    }

    #[test]
    fn a_body_that_is_not_an_admission_review_is_refused_with_a_reason() {
        let read = |body: Value| Request::read(body.to_string().as_bytes()).unwrap_err();
        assert!(read(json!([1])).starts_with("the body is not an AdmissionReview: "));
        assert_eq!(
            read(json!({"apiVersion": "v1", "kind": "Pod"})),
            "the body is a v1 Pod; expected admission.k8s.io/v1 AdmissionReview"
        );
        assert_eq!(
            read(json!({"apiVersion": API_VERSION, "kind": KIND})),
            "the AdmissionReview has no request"
        );
    }

    /// Reads a review that was recorded from an API server; `tests/reviews.rs` records these files and compares them.
    fn recorded(name: &str) -> (Request, Claim) {
        let file = format!("{}/webhook/reviews/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let request = Request::read(&std::fs::read(file).unwrap()).unwrap();
        let claim = serde_json::from_value(request.object.clone()).unwrap();
        let claim = Claim::read(&claim, &request.namespace);
        (request, claim)
    }

    #[test]
    fn recorded_reviews_are_read_as_claims_that_ask_for_a_volume() {
        let given = |name: &str| Name::Given(name.to_owned());
        let table = [
            ("create", given("created"), false),
            ("dry-run", given("dry"), true),
            ("generate-name", Name::Generate("scratch-".to_owned()), false),
            ("server-side-apply", given("applied"), false),
            ("stateful-set", given("data-db-0"), false),
        ];
        for (file, name, dry_run) in table {
            let (request, claim) = recorded(file);
            assert!(request.creates_a_claim(), "{file}");
            assert_eq!((&claim.name, request.dry_run), (&name, dry_run), "{file}");
            assert_eq!(
                (claim.namespace.as_str(), claim.class.as_deref()),
                ("scene", Some("scene")),
                "{file}"
            );
            assert!(!claim.is_malformed() && claim.volume_name.is_none(), "{file}");
        }
    }
}

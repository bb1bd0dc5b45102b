//! AdmissionReview v1 (`admission.k8s.io/v1`), as much of it as is used.
//!
//! The claim stays raw JSON beside its typed reading: the patch is the difference of two raw objects, so fields that this
//! version of Bindery does not know survive.

use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::names::annotation::STORAGE_PROVISIONER;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// What the API server asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Ties the answer to the question.
    pub uid: String,
    /// Of the claim.
    #[serde(default)]
    pub namespace: String,
    /// `CREATE` is the only one that is ours.
    pub operation: String,
    /// The claim.
    #[serde(default)]
    pub object: Value,
    /// Nothing may be touched.
    #[serde(default)]
    pub dry_run: bool,
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
    /// Reads a body. The error says what it is instead of an AdmissionReview.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let review: Review =
            serde_json::from_slice(body).map_err(|error| format!("the body is no AdmissionReview: {error}"))?;
        if (review.api_version.as_str(), review.kind.as_str()) != (API_VERSION, KIND) {
            return Err(format!(
                "the body is a {} {}; expected is {API_VERSION} {KIND}",
                review.api_version, review.kind
            ));
        }
        review.request.ok_or("the AdmissionReview has no request".to_owned())
    }

    /// Whether a claim is being created. A configuration that asks about anything else is answered with yes.
    pub fn creates_a_claim(&self) -> bool {
        let Resource { group, resource } = &self.resource;
        self.operation == "CREATE"
            && (group.as_str(), resource.as_str()) == ("", "persistentvolumeclaims")
            && self.sub_resource.is_empty()
    }
}

/// What the API server is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The claim is admitted as it is.
    Allow,
    /// The claim is admitted with these changes.
    Change(json_patch::Patch),
    /// The claim is refused; the user reads this.
    Deny(String),
}

impl Answer {
    /// The claim is admitted under this name, and names this volume. It also says whose it is: should it be given another
    /// class after this, Bindery is asked again, and takes the volume back.
    pub fn with_volume(claim: &Value, name: &str, volume: &str, provisioner: &str) -> Self {
        let mut changed = claim.clone();
        changed["metadata"]["name"] = json!(name);
        changed["metadata"]["annotations"][STORAGE_PROVISIONER] = json!(provisioner);
        changed["spec"]["volumeName"] = json!(volume);
        Self::change(claim, &changed)
    }

    /// The claim is admitted and names no volume any more.
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

    /// The claim is admitted as `changed` where it was `original`.
    fn change(original: &Value, changed: &Value) -> Self {
        Self::Change(json_patch::diff(original, changed))
    }

    /// The body of the response. The claim's user reads the warnings beside the answer.
    pub fn review(&self, uid: &str, warnings: &[String]) -> Value {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Change<'a> {
            uid: &'a str,
            allowed: bool,
            patch_type: &'static str,
            patch: ByteString,
        }
        let mut response = match self {
            Self::Allow => json!({"uid": uid, "allowed": true}),
            Self::Change(patch) => json!(Change {
                uid,
                allowed: true,
                patch_type: "JSONPatch",
                patch: ByteString(json!(patch).to_string().into_bytes()),
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
    fn every_answer_carries_the_uid_of_its_question() {
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
    fn what_is_no_admission_review_is_named() {
        let read = |body: Value| Request::read(body.to_string().as_bytes()).unwrap_err();
        assert!(read(json!([1])).starts_with("the body is no AdmissionReview: "));
        assert_eq!(
            read(json!({"apiVersion": "v1", "kind": "Pod"})),
            "the body is a v1 Pod; expected is admission.k8s.io/v1 AdmissionReview"
        );
        assert_eq!(
            read(json!({"apiVersion": API_VERSION, "kind": KIND})),
            "the AdmissionReview has no request"
        );
    }

    /// What the API server really sends: see `tests/reviews.rs`, which records these files and keeps them true.
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
            assert!(
                !claim.is_malformed() && claim.beyond.is_empty() && claim.volume_name.is_none(),
                "{file}"
            );
        }
    }
}

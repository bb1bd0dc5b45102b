//! Creates a claim, and returns what the API server and Bindery say.

use anyhow::{Context, Result, anyhow};
use axum::body::{Body as Read, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde_json::Value;

use crate::model::names;

/// The most bytes of an answer of the API server. Its own limit for objects is lower.
const LONGEST_ANSWER: usize = 8 << 20;

/// What happened to the claim.
pub enum Answer {
    /// It was created, or would be created.
    Created {
        /// The claim.
        claim: Value,
        /// The warnings of the API server and of webhooks.
        warnings: Vec<String>,
    },
    /// It was refused. The sentence says why, and by whom.
    Refused(String),
}

/// Creates a claim. It does not use [`kube::Api`], which does not return warnings.
pub async fn create(client: &Client, claim: &Value, dry_run: bool) -> Result<Answer> {
    let (namespace, name) = (&claim["metadata"]["namespace"], &claim["metadata"]["name"]);
    let (namespace, name) = (
        namespace.as_str().unwrap_or_default(),
        name.as_str().unwrap_or_default(),
    );
    let about = || format!("claim {name} could not be created in namespace {namespace}");
    let query = if dry_run { "?dryRun=All" } else { "" };
    let path = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims{query}");
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(Body::from(claim.to_string().into_bytes()))
        .with_context(about)?;
    let answer = client.send(request).await.with_context(about)?;
    let (head, body) = answer.into_parts();
    let body = to_bytes(Read::new(body), LONGEST_ANSWER).await;
    let body = body
        .map_err(|_| anyhow!("the API server's answer was incomplete or too long"))
        .with_context(about)?;
    if head.status.is_success() {
        let claim = serde_json::from_slice(&body)
            .map_err(kube::Error::SerdeError)
            .with_context(about)?;
        return Ok(Answer::Created {
            claim,
            warnings: warnings(&head.headers),
        });
    }
    let status: Status = serde_json::from_slice(&body)
        .map_err(kube::Error::SerdeError)
        .with_context(about)?;
    match refusal(&status, head.status, name, namespace) {
        Some(sentence) => Ok(Answer::Refused(sentence)),
        None => Err(kube::Error::Api(Box::new(status))).with_context(about),
    }
}

/// Returns why the claim was refused; `None` if the request failed for another reason.
fn refusal(status: &Status, code: StatusCode, name: &str, namespace: &str) -> Option<String> {
    let of_bindery = format!("admission webhook \"{}\" denied the request: ", names::WEBHOOK);
    if let Some((_, why)) = status.message.split_once(&of_bindery) {
        return Some(format!("Bindery refused claim {name}: {why}"));
    }
    if code == StatusCode::CONFLICT && status.reason == "AlreadyExists" {
        return Some(format!(
            "claim {name} exists already in namespace {namespace}; choose another name with --as"
        ));
    }
    let by_another = matches!(code, StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST)
        || status.message.contains("denied the request")
        || status.message.contains("exceeded quota");
    by_another.then(|| format!("the API server refused claim {name}: {}", status.message))
}

/// Returns the texts of warning headers (RFC 7234, 5.5): a code, an agent, and the text in quotes.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all("warning").into_iter();
    let text = |value: &str| {
        let (_, quoted) = value.split_once('"')?;
        let (text, _) = quoted.rsplit_once('"')?;
        Some(text.replace("\\\"", "\"").replace("\\\\", "\\"))
    };
    values.filter_map(|value| text(value.to_str().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_says_who_refused() {
        let said = |code: u16, reason: &str, message: &str| {
            let status = json!({"status": "Failure", "code": code, "reason": reason, "message": message});
            let status: Status = serde_json::from_value(status).unwrap();
            refusal(&status, StatusCode::from_u16(code).unwrap(), "data", "team-a")
        };
        let table = [
            (
                said(
                    403,
                    "Forbidden",
                    "admission webhook \"claims.bindery.dev\" denied the request: too small",
                ),
                Some("Bindery refused claim data: too small"),
            ),
            (
                said(409, "AlreadyExists", "persistentvolumeclaims \"data\" already exists"),
                Some("claim data exists already in namespace team-a; choose another name with --as"),
            ),
            (
                said(403, "Forbidden", "exceeded quota: storage"),
                Some("the API server refused claim data: exceeded quota: storage"),
            ),
            (said(403, "Forbidden", "User \"a\" cannot create resource"), None),
            (said(500, "InternalError", "etcd"), None),
        ];
        for (said, expected) in table {
            assert_eq!(said.as_deref(), expected);
        }
    }

    #[test]
    fn the_text_of_a_warning_is_in_quotes() {
        let mut headers = HeaderMap::new();
        headers.append("warning", r#"299 - "a \"b\" c""#.parse().unwrap());
        headers.append("warning", "nothing".parse().unwrap());
        assert_eq!(warnings(&headers), ["a \"b\" c"]);
    }
}

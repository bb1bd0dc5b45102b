//! Reads claims from YAML or JSON with one or more documents or lists. Other objects are skipped.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::Value;

/// Returns the claims in a text, in their order.
pub fn claims(text: &str) -> Result<Vec<PersistentVolumeClaim>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("this is not valid YAML or JSON")?;
    let mut claims = Vec::new();
    for document in documents {
        let items = match document.get("items").and_then(Value::as_array) {
            Some(items) if document["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => items.clone(),
            _ => vec![document],
        };
        for item in items.into_iter().filter(|item| item["kind"] == "PersistentVolumeClaim") {
            let name = item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let claim =
                serde_json::from_value(item).with_context(|| format!("PersistentVolumeClaim {name} is not valid"))?;
            claims.push(claim);
        }
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let claims = claims(text).unwrap();
        claims.into_iter().filter_map(|claim| claim.metadata.name).collect()
    }

    #[test]
    fn every_claim_of_a_file_is_found_and_all_else_is_skipped() {
        let text = "kind: ConfigMap\nmetadata: {name: other}\n---\nkind: PersistentVolumeClaim\nmetadata: {name: one}\n\
                    ---\n# nothing\n---\nkind: List\nitems:\n- kind: PersistentVolumeClaim\n  metadata: {name: two}\n\
                    - kind: Secret\n---\nkind: Service\n";
        assert_eq!(names(text), ["one", "two"]);
        assert_eq!(
            names(r#"{"kind": "PersistentVolumeClaim", "metadata": {"name": "json"}}"#),
            ["json"]
        );
        assert_eq!(names(""), Vec::<String>::new());
    }

    #[test]
    fn a_value_keeps_the_type_that_the_api_server_would_see() {
        let claim = |annotation: &str| {
            claims(&format!(
                "kind: PersistentVolumeClaim\nmetadata:\n  name: one\n  annotations: {{a: {annotation}}}\n"
            ))
        };
        let read = claim("\"false\"").unwrap().remove(0);
        assert_eq!(read.metadata.annotations.unwrap()["a"], "false");
        let error = format!("{:#}", claim("false").unwrap_err());
        assert!(error.starts_with("PersistentVolumeClaim one is not valid: "), "{error}");
    }

    #[test]
    fn text_that_is_not_yaml_is_an_error() {
        let error = format!("{:#}", claims("a: [").unwrap_err());
        assert!(error.starts_with("this is not valid YAML or JSON: "), "{error}");
    }
}

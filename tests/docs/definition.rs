//! The definition of archives in the manifests, as the type has it.

use std::fmt::Write;

use bindery::model::archive::Archive;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::page::check_file;

/// The first line of each file.
const NOTE: &str = "# Written by `UPDATE_DOCS=1 cargo test --test docs` from src/model/archive.\n";

#[test]
fn the_definition_of_archives_is_that_of_the_type() {
    let plain = json!(Archive::crd());
    let mut base = plain.clone();
    let labels = json!({"app.kubernetes.io/name": "bindery", "app.kubernetes.io/instance": "bindery"});
    base["metadata"]["labels"] = labels;
    for (file, definition) in [
        ("deploy/base/archives-definition.yaml", base),
        ("deploy/chart/files/archives-definition.yaml", plain),
    ] {
        let mut text = NOTE.to_owned();
        write_value(&mut text, &definition, 0);
        check_file(file, &text);
    }
}

/// Writes a value as YAML. Scalars are JSON, which is YAML, too.
fn write_value(text: &mut String, value: &Value, indent: usize) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                write_entry(text, &format!("{pad}{key}:"), value, indent + 2);
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = String::new();
                write_entry(&mut inner, "", item, indent + 2);
                let _ = write!(text, "{pad}- {}", inner.trim_start());
            }
        }
        scalar => drop(writeln!(text, "{pad}{scalar}")),
    }
}

fn write_entry(text: &mut String, front: &str, value: &Value, indent: usize) {
    let is_empty = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty) || *value == json!([]);
    if (value.is_object() || value.is_array()) && !is_empty(value) {
        text.push_str(front);
        text.push('\n');
        write_value(text, value, indent);
    } else {
        let _ = writeln!(text, "{front} {value}");
    }
}

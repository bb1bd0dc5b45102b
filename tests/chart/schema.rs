//! The schema of the values refuses typos, with a message that says what to correct.

use std::collections::BTreeSet;

use bindery::policy::key::Key;
use serde_json::Value;

use super::{CHART, EVERY_VALUE, helm};

/// Returns the message of helm for an invalid value.
fn refused(set: &str) -> String {
    let output = helm(&["template", "bindery", CHART, "--set", set]);
    assert!(!output.status.success(), "{set} is taken");
    let output = String::from_utf8(output.stderr).unwrap();
    let errors = output.lines().filter(|line| line.starts_with("- at "));
    errors.collect::<Vec<_>>().join("\n")
}

fn schema() -> Value {
    serde_json::from_str(&std::fs::read_to_string(format!("{CHART}/values.schema.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn the_error_names_a_misspelt_value() {
    assert_eq!(
        refused("replica=3"),
        "- at '': additional properties 'replica' not allowed"
    );
    assert_eq!(
        refused("webhook.failurepolicy=Fail"),
        "- at '/webhook': additional properties 'failurepolicy' not allowed"
    );
    assert_eq!(
        refused("classes[0].name=a,classes[0].parameters.onDelet=delete"),
        "- at '/classes/0/parameters': additional properties 'onDelet' not allowed"
    );
}

#[tokio::test]
async fn the_error_for_an_invalid_value_lists_the_allowed_ones() {
    assert_eq!(
        refused("classes[0].name=a,classes[0].parameters.onDelete=remove"),
        "- at '/classes/0/parameters/onDelete': value must be one of 'delete', 'retain', 'archive'"
    );
    // YAML reads 0777 without quotes as the octal number 511.
    assert_eq!(
        refused("classes[0].name=a,classes[0].parameters.mountPermissions=511"),
        "- at '/classes/0/parameters/mountPermissions': got number, want string"
    );
    assert_eq!(
        refused("share=export"),
        "- at '/share': 'export' does not match pattern '^(/.*)?$'"
    );
}

#[tokio::test]
async fn a_value_that_would_fail_later_is_refused_at_once() {
    for values in [
        "podDisruptionBudget.maxUnavailable=0%",
        "webhook.port=80",
        "webhook.timeoutSeconds=5",
        "certManager.issuerRef.kind=ClusterIssuer",
        "server=nfs.example.com:2049",
        "server=cafe:2049",
        "server=[fe80::1%eth0]",
        "classes[0].name=a,classes[0].parameters.server=nas:/export",
    ] {
        assert_ne!(refused(values), "", "{values}");
    }
    for mode in ["10000", "17777", "0888"] {
        let mode = format!("classes[0].parameters.mountPermissions={mode}");
        let values = [
            "template",
            "bindery",
            CHART,
            "--set",
            "classes[0].name=a",
            "--set-string",
            &mode,
        ];
        assert!(!helm(&values).status.success(), "{mode}");
    }
    for right in [
        "server=2001:db8::1",
        "server=[2001:db8::1]",
        "server=192.0.2.1",
        "webhook.port=8080,admin.port=8443",
        "extraEnv=null",
        "extraVolumes=null",
    ] {
        let values = ["template", "bindery", CHART, "--set", right];
        super::helm_ok(&values);
    }
}

#[tokio::test]
async fn the_schema_contains_exactly_the_class_parameters() {
    let parameters = &schema()["properties"]["classes"]["items"]["properties"]["parameters"];
    let [named, patterns] =
        ["properties", "patternProperties"].map(|list| parameters[list].as_object().unwrap().keys());
    let patterns = patterns.map(|pattern| pattern.trim_start_matches('^').trim_end_matches("/.+$"));
    let known: BTreeSet<&str> = named.map(String::as_str).chain(patterns).collect();
    assert_eq!(known, Key::ALL.map(Key::as_str).into_iter().collect());
}

#[tokio::test]
async fn every_object_of_values_rejects_unknown_keys_and_every_value_is_tested() {
    let values = |file: &str| -> Value { serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap() };
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let mut known = keys(&schema()["properties"]);
    // Helm itself uses this value for subcharts.
    assert!(known.remove("global"));
    assert_eq!(known, keys(&values(&format!("{CHART}/values.yaml"))));
    assert_eq!(known, keys(&values(EVERY_VALUE)));
    assert_eq!(open("", &schema()), Vec::<String>::new());
}

/// Returns the paths of all objects in the schema that list their keys and also accept other keys.
fn open(at: &str, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(properties) = schema["properties"].as_object() {
        if schema["additionalProperties"] != false {
            found.push(at.to_owned());
        }
        found.extend(
            properties
                .iter()
                .flat_map(|(key, property)| open(&format!("{at}/{key}"), property)),
        );
    }
    if let Some(items) = schema.get("items") {
        found.extend(open(&format!("{at}[]"), items));
    }
    found
}

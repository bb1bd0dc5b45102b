//! Class parameters and the annotations that override them.

use bindery::policy::class::{Class, Defaults};
use bindery::policy::effective::Policy;
use bindery::policy::key::Key;
use bindery::policy::settings::Settings;
use bindery::policy::template::Template;
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::{from_value, json};

use super::page::{Table, check_table, code_spans, read};

const PAGE: &str = "docs/classes.md";
const HEADER: &str = "| parameter | values | default | meaning |";

#[test]
fn every_class_parameter_has_its_row() {
    let row = |key: Key| vec![Some(format!("`{key}`")), None, None, None];
    check_table(PAGE, HEADER, &Key::ALL.map(row));
}

#[test]
fn every_annotation_has_its_row() {
    let rows = Key::ALL.into_iter().filter(|key| key.is_for_annotations()).map(|key| {
        let by_default = Key::NAMESPACE_DEFAULT.contains(&key);
        let on_namespace = if by_default {
            "yes, unless the class says otherwise"
        } else {
            "if listed"
        };
        let cells = [
            format!("`{}`", key.annotation()),
            format!("`{key}`"),
            on_namespace.to_owned(),
            "if listed".to_owned(),
        ];
        cells.into_iter().map(Some).collect()
    });
    let page = "docs/namespaces-and-claims.md";
    check_table(
        page,
        "| annotation | parameter | on a namespace | on a claim |",
        &rows.collect::<Vec<_>>(),
    );
    let of_classes = Key::ALL.into_iter().filter(|key| !key.is_for_annotations());
    let of_classes: Vec<String> = of_classes.map(|key| format!("`{key}`")).collect();
    let sentence = format!(
        "These parameters can be set by a class only: {}.",
        of_classes.join(", ")
    );
    let text = read(page).replace('\n', " ");
    assert!(text.contains(&sentence), "{page} should say: {sentence}");
}

#[test]
fn documented_values_are_allowed_and_documented_defaults_are_right() {
    let without = class(&[]);
    let text = read(PAGE);
    for row in Table::find(PAGE, &text, HEADER).rows {
        let key = row[0].trim_matches('`');
        for (_, value) in code_spans(&row[1]) {
            class(&[(key, &value)]);
        }
        let default = row[2].strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
        let Some(default) = default.filter(|default| !default.contains('`')) else {
            continue;
        };
        if key == Key::SubDir.as_str() {
            assert_eq!(default, Template::standard().to_string());
            continue;
        }
        let with = class(&[(key, default)]);
        let without = if key.starts_with("csi") {
            class(&[("volumeSource", "csi")])
        } else {
            without.clone()
        };
        assert_eq!(effective(&with), effective(&without), "default of {key}");
        assert_eq!(
            (&with.namespace_overrides, &with.claim_overrides),
            (&without.namespace_overrides, &without.claim_overrides),
            "default of {key}"
        );
    }
}

/// Parameters that a class of CSI needs.
const CSI: [(&str, &str); 7] = [
    ("volumeSource", "csi"),
    ("csiAttribute/clusterID", "c"),
    ("csiAttribute/fsName", "f"),
    ("csi.storage.k8s.io/node-stage-secret-name", "a"),
    ("csi.storage.k8s.io/node-stage-secret-namespace", "a"),
    ("csi.storage.k8s.io/node-publish-secret-name", "a"),
    ("csi.storage.k8s.io/node-publish-secret-namespace", "a"),
];

/// Returns a class with these parameters. Fails if the class is invalid.
fn class(parameters: &[(&str, &str)]) -> Class {
    let mut all = json!({"server": "nas", "share": "/export"});
    for (key, value) in parameters {
        let key = if *key == "csiAttribute" {
            "csiAttribute/name"
        } else {
            key
        };
        all[key] = json!(value);
        // A class with parameters of CSI needs all of them.
        if key.starts_with("csi") {
            for (key, value) in CSI {
                all[key] = all.get(key).cloned().unwrap_or(json!(value));
            }
        }
        // gid: auto and gidRange are valid only together.
        match (key, *value) {
            ("gid", "auto") => all["gidRange"] = json!("50000-60000"),
            ("gidRange", _) => all["gid"] = json!("auto"),
            _ => {}
        }
    }
    let class: StorageClass = from_value(json!({
        "metadata": {"name": "documented"},
        "provisioner": "bindery.dev/nfs",
        "parameters": all,
    }))
    .unwrap();
    let read = Class::read(&class, &Defaults::default());
    read.unwrap_or_else(|invalid| panic!("{PAGE} shows {parameters:?}: {invalid}"))
}

/// Returns the settings of a claim of a class, without their source.
fn effective(class: &Class) -> String {
    let nothing = Settings::default();
    let policy = Policy::resolve(&nothing, &nothing, &class.settings);
    format!("{policy:?}").replace(": Class", ": Default")
}

//! A template as anybody may write it, with values as nobody should: what comes out lies below the share.
//!
//! The input is the template, then the claim's name, its namespace, the volume's name, and a label and an annotation of the
//! claim and of the namespace, with a byte 0xff before each: no text has that byte. What is left out is harmless.

#![no_main]

use std::collections::BTreeMap;

use bindery::model::location::Relation;
use bindery::policy::template::{Dialect, Template, Values};
use bindery_fuzz::check;
use libfuzzer_sys::fuzz_target;

const HARMLESS: [&str; 7] = ["data", "team-a", "pvc-1", "db", "deep/er", "blue", "42"];

fuzz_target!(|input: &[u8]| {
    let mut parts = input.split(|&byte| byte == 0xff).map(String::from_utf8_lossy);
    let text = parts.next().unwrap_or_default();
    let texts = HARMLESS.map(|harmless| parts.next().unwrap_or(harmless.into()));
    let [
        claim,
        namespace,
        volume,
        label,
        annotation,
        namespace_label,
        namespace_annotation,
    ] = &texts;
    let both = |value: &str| BTreeMap::from(["k", "app"].map(|key| (key.to_owned(), value.to_owned())));
    let values = Values {
        claim,
        namespace,
        volume,
        labels: &both(label),
        annotations: &both(annotation),
        namespace_labels: &both(namespace_label),
        namespace_annotations: &both(namespace_annotation),
    };
    for dialect in [Dialect::SubDir, Dialect::PathPattern] {
        if let Ok(template) = Template::parse(&text, dialect) {
            assert_eq!(Template::parse(&template.to_string(), dialect).as_ref(), Ok(&template));
            let _ = template.check();
            expand(&template, &values);
            let lenient = template.lenient();
            if let Ok(directory) = lenient.expand(&values) {
                check(&directory);
            }
        }
    }
});

fn expand(template: &Template, values: &Values<'_>) {
    let Ok(directory) = template.expand(values) else { return };
    check(&directory);
    // What the webhook lets through as names of volumes and namespaces is all that these two promise something for.
    let named = |volume| template.expand(&Values { volume, ..*values });
    if let (true, Ok(one), Ok(other)) = (template.is_unique(), named("pvc-1"), named("pvc-2")) {
        assert_ne!(one, other, "{template}");
    }
    let neighbour = |namespace, claim| {
        template.expand(&Values {
            namespace,
            claim,
            volume: "pvc-1",
            ..*values
        })
    };
    if let (true, Ok(ours), Ok(theirs)) = (
        template.separates_namespaces(),
        neighbour("team-a", "data"),
        neighbour("team-b", values.claim),
    ) {
        let meets = Relation::of(ours.segments(), theirs.segments(), str::eq);
        assert!(meets.is_none(), "{template}: {ours}, {theirs}");
    }
}

//! Text that looks like a token is refused with the right spelling, unless its special characters have backslashes.

use super::*;

/// Each text, and the tokens that messages propose for it in both syntaxes.
const LOOK_ALIKES: [(&str, &str, &str); 26] = [
    ("{{ .PVC.name }}", "${pvc.metadata.name}", "${.PVC.name}"),
    ("{{.PVC.namespace}}", "${pvc.metadata.namespace}", "${.PVC.namespace}"),
    ("$${pvc.metadata.name}", "${pvc.metadata.name}", "${.PVC.name}"),
    ("$${.PVC.name}", "${pvc.metadata.name}", "${.PVC.name}"),
    ("{pvc.metadata.name}", "${pvc.metadata.name}", "${.PVC.name}"),
    ("${PVC.name}", "${pvc.metadata.name}", "${.PVC.name}"),
    ("${ pvc.metadata.name }", "${pvc.metadata.name}", "${.PVC.name}"),
    ("${pvc.name}", "${pvc.metadata.name}", "${.PVC.name}"),
    ("${{ pvc.namespace }}", "${pvc.metadata.namespace}", "${.PVC.namespace}"),
    ("$(PVC_NAME)", "${pvc.metadata.name}", "${.PVC.name}"),
    ("$PVC_NAMESPACE", "${pvc.metadata.namespace}", "${.PVC.namespace}"),
    ("%{pv.name}", "${pv.metadata.name}", "${.PV.name}"),
    ("#{pvc.name}", "${pvc.metadata.name}", "${.PVC.name}"),
    ("<namespace>", "${pvc.metadata.namespace}", "${.PVC.namespace}"),
    ("<pv>", "${pv.metadata.name}", "${.PV.name}"),
    ("%namespace%", "${pvc.metadata.namespace}", "${.PVC.namespace}"),
    ("@pvc.name@", "${pvc.metadata.name}", "${.PVC.name}"),
    ("[namespace]", "${pvc.metadata.namespace}", "${.PVC.namespace}"),
    ("(namespace)", "${pvc.metadata.namespace}", "${.PVC.namespace}"),
    ("__NAMESPACE__", "${pvc.metadata.namespace}", "${.PVC.namespace}"),
    ("pvc.metadata.name", "${pvc.metadata.name}", "${.PVC.name}"),
    (".PVC.name", "${pvc.metadata.name}", "${.PVC.name}"),
    (
        "{pvc.labels.app}",
        "${pvc.metadata.labels['app']}",
        "${.PVC.labels.app}",
    ),
    (
        "{{ .PVC.annotations.nfs.io/path }}",
        "${pvc.metadata.annotations['nfs.io/path']}",
        "${.PVC.annotations.nfs.io/path}",
    ),
    (
        "${pvc.metadata.labels[\"app\"]}",
        "${pvc.metadata.labels['app']}",
        "${.PVC.labels.app}",
    ),
    (
        "{namespace.labels.team}",
        "${namespace.metadata.labels['team']}",
        "in subDir only",
    ),
];

#[test]
fn text_that_looks_like_a_token_is_refused_with_the_right_spelling() {
    for (text, in_sub_dir, in_path_pattern) in LOOK_ALIKES {
        for (dialect, expected) in [(Dialect::SubDir, in_sub_dir), (Dialect::PathPattern, in_path_pattern)] {
            for (text, at) in [(text.to_owned(), 1), (format!("vol-{text}/x"), 5)] {
                let error = expand(&text, dialect).unwrap_err();
                assert!(error.contains(expected), "{text}: {error}");
                assert!(error.starts_with(&format!("character {at}: ")), "{text}: {error}");
            }
        }
    }
    assert_eq!(
        sub_dir("{{ .PVC.name }}/x").unwrap_err(),
        "character 1: {{ .PVC.name }} is not a value but text, the same for every claim; did you mean \
        ${pvc.metadata.name}?; to write it as text, put a backslash before each special character, such as \\{"
    );
    // Only the first error is reported.
    assert!(
        sub_dir("<namespace>/${x}")
            .unwrap_err()
            .starts_with("character 1: <namespace> is not a value")
    );
    assert!(sub_dir("a}b").is_err() && sub_dir("<b").is_err() && sub_dir("{x}").is_err());
}

#[test]
fn a_token_of_the_other_syntax_names_the_other_parameter() {
    assert_eq!(
        sub_dir("a/${.PVC.name}").unwrap_err(),
        "character 3: ${.PVC.name} is the syntax of pathPattern; in subDir, write ${pvc.metadata.name}"
    );
    assert_eq!(
        path_pattern("${namespace.metadata.labels['team']}").unwrap_err(),
        "character 1: ${namespace.metadata.labels['team']} is a value in subDir only; set subDir instead"
    );
}

#[test]
fn a_backslash_makes_the_next_character_text() {
    assert_eq!(sub_dir(r"\{a\}").unwrap(), "{a}");
    assert_eq!(
        sub_dir(r"\${pvc.metadata.name}").unwrap_err(),
        "character 3: {pvc.metadata.name} is not a value but text, the \
        same for every claim; did you mean ${pvc.metadata.name}?; to write it as text, put a backslash before each special \
        character, such as \\{"
    );
    assert_eq!(sub_dir(r"pvc\.name").unwrap(), "pvc.name");
    assert_eq!(sub_dir(r"a\\b").unwrap(), r"a\b");
    assert_eq!(
        sub_dir(r"a\").unwrap_err(),
        r"character 2: a backslash at the end; write \\ for a backslash"
    );
}

#[test]
fn text_in_round_and_square_brackets_is_text_unless_it_names_a_value() {
    for text in [
        "photos (old)",
        "a[1]",
        "50% of 100%",
        "me@host",
        "__x__",
        "namespace",
        "my.name",
        "pv",
    ] {
        assert_eq!(sub_dir(text).as_deref(), Ok(text));
    }
}

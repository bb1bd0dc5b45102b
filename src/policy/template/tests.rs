//! All tokens in both syntaxes, all errors, and a check that no path leads out of the share.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

mod look_alikes;

const HOSTILE: &str = "(\\PC|[./$\\x00-\\x1f]|\\.\\./){0,12}";

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn expand(text: &str, dialect: Dialect) -> Result<String, String> {
    let template = Template::parse(text, dialect).map_err(|error| error.to_string())?;
    let values = Values {
        claim: "data",
        namespace: "team-a",
        volume: "pvc-1",
        labels: &map(&[("app", "db"), ("example.com/part", "x")]),
        annotations: &map(&[("nfs.io/storage-path", "deep/er"), ("empty", "")]),
        namespace_labels: &map(&[("team", "blue")]),
        namespace_annotations: &map(&[("cost.example.com/centre", "42")]),
    };
    template
        .expand(&values)
        .map(|directory| directory.to_string())
        .map_err(|error| error.to_string())
}

fn with_annotation(text: &str, key: &str, value: &str) -> Result<String, String> {
    let empty = BTreeMap::new();
    let directory = Template::parse(text, Dialect::SubDir).unwrap().expand(&Values {
        claim: "data",
        namespace: "team-a",
        volume: "pvc-1",
        labels: &empty,
        annotations: &map(&[(key, value)]),
        namespace_labels: &empty,
        namespace_annotations: &empty,
    });
    directory
        .map(|directory| directory.to_string())
        .map_err(|error| error.to_string())
}

fn sub_dir(text: &str) -> Result<String, String> {
    expand(text, Dialect::SubDir)
}

fn path_pattern(text: &str) -> Result<String, String> {
    expand(text, Dialect::PathPattern)
}

#[test]
fn every_token_of_csi_driver_nfs_is_known() {
    let ok = |text: &str| sub_dir(text).unwrap();
    assert_eq!(ok("${pvc.metadata.namespace}/${pvc.metadata.name}"), "team-a/data");
    assert_eq!(ok("x-${pv.metadata.name}"), "x-pvc-1");
    assert_eq!(
        ok("${pvc.metadata.labels['app']}${pvc.metadata.labels['example.com/part']}"),
        "dbx"
    );
    assert_eq!(ok("a/${pvc.metadata.annotations['nfs.io/storage-path']}"), "a/deep/er");
    assert_eq!(ok("${namespace.metadata.labels['team']}"), "blue");
    assert_eq!(ok("${namespace.metadata.annotations['cost.example.com/centre']}"), "42");
    assert_eq!(ok("cost$$s"), "cost$s");
}

#[test]
fn every_token_of_nfs_subdir_external_provisioner_is_known() {
    let ok = |text: &str| path_pattern(text).unwrap();
    assert_eq!(ok("${.PVC.namespace}/${.PVC.name}-${.PV.name}"), "team-a/data-pvc-1");
    assert_eq!(ok("${.PVC.labels.app}/${.PVC.labels.example.com/part}"), "db/x");
    assert_eq!(
        ok("${.PVC.namespace}/${.PVC.annotations.nfs.io/storage-path}"),
        "team-a/deep/er"
    );
}

#[test]
fn an_invalid_label_key_is_refused() {
    let error = |text: &str| sub_dir(text).unwrap_err();
    for key in ["", "a b", "-a", "a/", "/a", "a/b/c", "Example.com/a", &"a".repeat(64)] {
        let expected = format!("character 3: {key:?} is not a valid label or annotation key: ");
        let error = error(&format!("x/${{pvc.metadata.labels['{key}']}}"));
        assert!(error.starts_with(&expected), "{error}");
    }
    // Kubernetes allows upper case in the DNS name of an annotation.
    assert!(error("${pvc.metadata.annotations['Example.com/a']}").contains("is not set"));
}

#[test]
fn a_missing_value_is_an_error() {
    let missing = sub_dir("a/${pvc.metadata.labels['zone']}").unwrap_err();
    assert_eq!(
        missing,
        "label zone of the claim is needed for the directory and is not set"
    );
    let missing = path_pattern("${.PVC.annotations.nfs.io/path}").unwrap_err();
    assert_eq!(
        missing,
        "annotation nfs.io/path of the claim is needed for the directory and is not set"
    );
    let empty = sub_dir("a/${pvc.metadata.annotations['empty']}/b").unwrap_err();
    assert_eq!(
        empty,
        "annotation empty of the claim is \"\", which has an empty segment"
    );
}

#[test]
fn a_parse_error_has_its_position() {
    assert_eq!(sub_dir("").unwrap_err(), "character 1: the template is empty");
    assert_eq!(
        sub_dir("ä/$x").unwrap_err(),
        "character 3: a $ without { after it; write $$ for a dollar sign, ${...} for a value"
    );
    assert_eq!(sub_dir("a${pvc").unwrap_err(), "character 2: ${ without }");
    assert_eq!(
        path_pattern("${.PVC.nmae}").unwrap_err(),
        "character 1: ${.PVC.nmae} is not known; known are ${.PVC.name}, ${.PVC.namespace}, ${.PV.name}, \
         ${.PVC.labels.KEY}, ${.PVC.annotations.KEY}"
    );
}

#[test]
fn a_result_that_is_not_a_directory_is_refused() {
    for text in ["/", ".", "..", "a/../b", "a//b", "./a", ".bindery-trash/x"] {
        assert!(sub_dir(text).unwrap_err().starts_with("directory \""), "{text}");
    }
}

#[test]
fn slashes_at_the_ends_of_a_path_are_dropped() {
    for text in ["/abs", "abs/", "//abs//", "${pvc.metadata.annotations['slashes']}"] {
        let directory = with_annotation(text, "slashes", "/abs/");
        assert_eq!(directory.as_deref(), Ok("abs"), "{text}");
    }
    let empty = with_annotation("${pvc.metadata.namespace}/${pvc.metadata.annotations['p']}", "p", "/");
    assert!(
        empty.unwrap_err().contains("has an empty segment"),
        "an empty value does not lead to the directory above"
    );
    let inside = with_annotation(
        "${pvc.metadata.namespace}/${pvc.metadata.annotations['p']}/x",
        "p",
        "/a/b/",
    );
    assert_eq!(inside.as_deref(), Ok("team-a/a/b/x"));
}

#[test]
fn the_annotation_that_makes_a_path_invalid_is_named() {
    let error = |value: &str| {
        with_annotation("${pvc.metadata.namespace}/${pvc.metadata.annotations['p']}", "p", value).unwrap_err()
    };
    assert_eq!(
        error("./x"),
        "annotation p of the claim is \"./x\", which has the segment \".\", which means the directory itself; leave it out"
    );
    assert_eq!(
        error("a//b"),
        "annotation p of the claim is \"a//b\", which has an empty segment"
    );
    assert!(error("a/../b").starts_with("annotation p of the claim is \"a/../b\", which has the segment \"..\""));
}

#[test]
fn a_directory_is_in_normalization_form_c() {
    let directory = with_annotation("${pvc.metadata.annotations['p']}", "p", "cafe\u{301}");
    assert_eq!(directory.as_deref(), Ok("caf\u{e9}"));
}

#[test]
fn the_standard_template_is_a_directory_for_each_volume() {
    let standard = Template::standard();
    assert_eq!(
        standard.to_string(),
        "${pvc.metadata.namespace}-${pvc.metadata.name}-${pv.metadata.name}"
    );
    assert!(standard.is_unique() && !standard.separates_namespaces());
}

#[test]
fn a_template_separates_namespaces_only_if_no_claim_can_choose_the_part_before_the_namespace() {
    let separates = |text: &str| Template::parse(text, Dialect::SubDir).unwrap().separates_namespaces();
    for text in [
        "${pvc.metadata.namespace}/${pvc.metadata.name}",
        "${pvc.metadata.namespace}",
        "volumes/${pvc.metadata.namespace}/x/${pvc.metadata.labels['a']}",
        "${namespace.metadata.labels['team']}/${pvc.metadata.namespace}/${pvc.metadata.name}",
    ] {
        assert!(separates(text), "{text}");
    }
    for text in [
        "${pvc.metadata.namespace}-${pvc.metadata.name}",
        "x${pvc.metadata.namespace}/${pvc.metadata.name}",
        "${pvc.metadata.name}/${pvc.metadata.namespace}/x",
        "${pvc.metadata.labels['a']}/${pvc.metadata.namespace}",
        "${namespace.metadata.annotations['a']}/${pvc.metadata.namespace}/x",
        "fixed",
    ] {
        assert!(!separates(text), "{text}");
    }
}

fn token(dialect: Dialect) -> impl Strategy<Value = Token> {
    let key = || "([a-z]{1,5}([.][a-z0-9]{1,5}){0,2}/)?[A-Za-z]([A-Za-z0-9._-]{0,10}[a-z0-9])?";
    let claims = prop_oneof![
        Just(Token::ClaimName),
        Just(Token::ClaimNamespace),
        Just(Token::VolumeName),
        key().prop_map(Token::ClaimLabel),
        key().prop_map(Token::ClaimAnnotation),
    ];
    let namespaces = prop_oneof![
        key().prop_map(Token::NamespaceLabel),
        key().prop_map(Token::NamespaceAnnotation)
    ];
    match dialect {
        Dialect::SubDir => prop_oneof![claims, namespaces].boxed(),
        Dialect::PathPattern => claims.boxed(),
    }
}

fn template() -> impl Strategy<Value = Template> {
    prop_oneof![Just(Dialect::SubDir), Just(Dialect::PathPattern)].prop_flat_map(|dialect| {
        let text = "[a-z$/{}. -]{1,6}".prop_map(Piece::Text);
        let piece = prop_oneof![text, token(dialect).prop_map(Piece::Token)];
        prop::collection::vec(piece, 1..8).prop_map(move |all| {
            // Adjacent texts are joined.
            let mut pieces: Vec<Piece> = Vec::new();
            for piece in all {
                match (pieces.last_mut(), piece) {
                    (Some(Piece::Text(text)), Piece::Text(more)) => text.push_str(&more),
                    (_, piece) => pieces.push(piece),
                }
            }
            Template {
                dialect,
                pieces,
                lenient: false,
                standard: false,
            }
        })
    })
}

proptest! {
    #[test]
    fn a_printed_template_is_parsed_back(template in template()) {
        prop_assert_eq!(Template::parse(&template.to_string(), template.dialect), Ok(template));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(\\PC|[${}.']|pvc|PVC){0,30}") {
        let _ = Template::parse(&text, Dialect::SubDir);
        let _ = Template::parse(&text, Dialect::PathPattern);
    }

    /// Also tries labels and annotations that the API server would refuse.
    #[test]
    fn no_value_leads_out_of_the_share(
        template in template(),
        lenient in any::<bool>(),
        values in prop::collection::vec(HOSTILE, 7),
    ) {
        let template = if lenient { template.lenient() } else { template };
        let any = |value: &str| {
            let keys = template.tokens().filter_map(|token| match token {
                Token::ClaimLabel(key) | Token::ClaimAnnotation(key) => Some(key),
                Token::NamespaceLabel(key) | Token::NamespaceAnnotation(key) => Some(key),
                Token::ClaimName | Token::ClaimNamespace | Token::VolumeName => None,
            });
            keys.map(|key| (key.clone(), value.to_owned())).collect::<BTreeMap<_, _>>()
        };
        let directory = template.expand(&Values {
            claim: &values[0],
            namespace: &values[1],
            volume: &values[2],
            labels: &any(&values[3]),
            annotations: &any(&values[4]),
            namespace_labels: &any(&values[5]),
            namespace_annotations: &any(&values[6]),
        });
        if let Ok(directory) = directory {
            for segment in directory.segments() {
                prop_assert!(!["", ".", ".."].contains(&segment));
                prop_assert!(segment.len() <= 255 && !segment.contains(['/', '\0']));
                prop_assert!(!segment.starts_with(".bindery-"));
            }
        }
    }
}

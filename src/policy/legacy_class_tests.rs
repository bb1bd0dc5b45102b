//! Translation of classes of nfs-subdir-external-provisioner.

use super::*;
use crate::policy::template::Values;

fn translated(written: &[(&str, &str)]) -> (Vec<(String, String)>, Vec<String>) {
    let written = written
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let (parameters, warnings) = translate(&written);
    (parameters.into_iter().collect(), warnings)
}

fn one(key: &str, value: &str) -> (Option<String>, Vec<String>) {
    let (parameters, warnings) = translated(&[(key, value)]);
    (parameters.into_iter().next().map(|(_, value)| value), warnings)
}

#[test]
fn a_provisioner_name_is_legacy_unless_it_is_a_bindery_name() {
    for old in [
        "k8s-sigs.io/nfs-subdir-external-provisioner",
        "fuseim.pri/ifs",
        "cluster.local/nas-nfs-subdir-external-provisioner",
        "bindery.development/nfs",
    ] {
        assert!(is_legacy(old), "{old}");
    }
    for ours in [names::PROVISIONER, "bindery.dev/second"] {
        assert!(!is_legacy(ours), "{ours}");
    }
}

#[test]
fn booleans_are_read_as_in_go() {
    for (word, spellings) in [
        ("true", ["1", "t", "T", "true", "TRUE", "True"]),
        ("false", ["0", "f", "F", "false", "FALSE", "False"]),
    ] {
        for written in spellings {
            assert_eq!(
                one("archiveOnDelete", written),
                (Some(word.to_owned()), vec![]),
                "{written}"
            );
        }
    }
}

#[test]
fn an_unclear_policy_archives() {
    for written in ["yes", "tRUE", "", "2", " true"] {
        let warning = format!("archiveOnDelete is {written:?}: allowed are true or false; directories are archived");
        assert_eq!(
            one("archiveOnDelete", written),
            (Some("true".to_owned()), vec![warning])
        );
    }
    let warning = "onDelete is \"Delete\": allowed are delete, retain or archive; directories are archived";
    let (parameters, warnings) = translated(&[("archiveOnDelete", "false"), ("onDelete", "Delete")]);
    // `onDelete` wins.
    assert_eq!(parameters[1], ("onDelete".to_owned(), "archive".to_owned()));
    assert_eq!(warnings, [warning]);
    assert_eq!(one("onDelete", ""), (None, vec![]));
    assert_eq!(one("onDelete", "delete"), (Some("delete".to_owned()), vec![]));
}

#[test]
fn an_unknown_key_is_ignored_with_a_warning() {
    let warning = "parameter archiveOnDelet is not known: did you mean archiveOnDelete?; it is ignored";
    assert_eq!(one("archiveOnDelet", "false"), (None, vec![warning.to_owned()]));
    assert_eq!(
        one("server", "nas1"),
        (Some("nas1".to_owned()), vec![]),
        "a parameter of Bindery"
    );
}

#[test]
fn every_pattern_is_accepted() {
    let pattern = |text| one("pathPattern", text);
    let plain = |text: &str| (Some(text.to_owned()), vec![]);
    assert_eq!(
        pattern("/vols/${.PVC.namespace}-${.PVC.labels.a/b}"),
        plain("/vols/${.PVC.namespace}-${.PVC.labels.a/b}")
    );
    assert_eq!(pattern("cost$s/$${.PVC.name}/$"), plain("cost$$s/$$${.PVC.name}/$$"));
    assert_eq!(pattern("${pvc.metadata.name}"), plain(r"$$\{pvc\.metadata\.name\}"));
    assert_eq!(pattern("a${.PVC.name"), plain(r"a$$\{\.PVC\.name"));
    // Text on both sides of a dollar sign is one text, and looks like a token only as a whole.
    assert_eq!(directory("(name$)/x").0.as_deref(), Ok("(name$)/x"));
    assert_eq!(directory("(na${.PVC.other}me)/x").0.as_deref(), Ok("(name)/x"));
    assert_eq!(pattern(""), (None, vec![]));
    assert_eq!(
        pattern("a/${.PVC.nmae}"),
        (
            Some("a/".to_owned()),
            vec!["pathPattern: ${.PVC.nmae} is not known and is replaced by an empty text".to_owned()]
        )
    );
}

/// The directory of claim `team-a/data` with label `app: db`, and the warnings for its user.
fn directory(pattern: &str) -> (Result<String, String>, Vec<String>) {
    let mut warnings = Vec::new();
    let pattern = path_pattern(pattern, &mut warnings);
    let template = Template::parse(&pattern, Dialect::PathPattern).unwrap().lenient();
    let labels = [("app".to_owned(), "db".to_owned())].into();
    let (empty, up) = (BTreeMap::new(), [("up".to_owned(), "../../x".to_owned())].into());
    let values = Values {
        claim: "data",
        namespace: "team-a",
        volume: "pvc-1",
        labels: &labels,
        annotations: &up,
        namespace_labels: &empty,
        namespace_annotations: &empty,
    };
    let template = template.for_claim(&values, &mut warnings);
    let directory = template.expand(&values);
    let directory = directory.map(|directory| directory.to_string());
    (directory.map_err(|error| error.to_string()), warnings)
}

#[test]
fn a_missing_value_is_empty_if_the_result_is_safe() {
    let given = |pattern, expected: &str, missing: &[&str]| {
        let warning = missing
            .iter()
            .map(|missing| format!("{missing} is not set and is left empty in {pattern}"));
        assert_eq!(
            directory(pattern),
            (Ok(expected.to_owned()), warning.collect()),
            "{pattern}"
        );
    };
    given("${.PVC.namespace}/${.PVC.labels.app}", "team-a/db", &[]);
    given("/vols//./${.PVC.name}/", "vols/data", &[]);
    given(
        "${.PVC.namespace}/${.PVC.labels.zone}",
        "team-a",
        &["label zone of the claim"],
    );
    given(
        "${.PVC.labels.zone}/${.PVC.annotations.nfs.io/path}/x",
        "x",
        &["label zone of the claim", "annotation nfs.io/path of the claim"],
    );
    given("${.PVC.labels.zone}", "team-a-data-pvc-1", &["label zone of the claim"]);
}

#[test]
fn a_result_outside_the_share_is_refused() {
    let refused = |pattern| directory(pattern).0.unwrap_err();
    assert_eq!(
        refused("${.PVC.annotations.up}"),
        "annotation up of the claim is \"../../x\", which has the segment \"..\", which means the directory above; \
        write the path without it"
    );
    for pattern in [
        ".",
        "/",
        "/${.PVC.labels.zone}/",
        "a/../b",
        ".bindery-${.PVC.name}",
        "${.PVC.labels.zone} ",
    ] {
        refused(pattern);
    }
}

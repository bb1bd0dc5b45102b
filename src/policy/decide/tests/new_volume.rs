//! The directory of a claim and the name of its volume.

use super::*;
use crate::model::choices::ExistingDirectory;

#[test]
fn a_generated_name_is_completed_as_in_kubernetes() {
    let name = |prefix: &str| {
        provisioned(|world| world.claim["metadata"] = json!({"generateName": prefix}))
            .claim
            .1
    };
    assert_eq!(name("data-"), "data-bbbbb");
    assert_eq!(name(&"a".repeat(100)).len(), 63);
}

#[test]
fn a_name_of_any_length_gets_a_default_directory() {
    let directory = |claim: &str| {
        let new = provisioned(|world| world.claim["metadata"]["name"] = json!(claim));
        assert!(new.directory.cannot_overlap(&new.name), "{}", new.directory);
        new.directory.to_string()
    };
    let fits = "a".repeat(207);
    assert_eq!(directory(&fits), format!("team-a-{fits}-{VOLUME}"));
    assert_eq!(directory(&fits).len(), 255);
    let long = |end: &str| format!("{}{end}", "a".repeat(252));
    let [one, other] = [directory(&long("b")), directory(&long("c"))];
    for cut in [&one, &other] {
        assert_eq!(cut.len(), 255);
        assert!(
            cut.starts_with("team-a-aaa") && cut.ends_with(&format!("-{VOLUME}")),
            "{cut}"
        );
    }
    assert_ne!(one, other, "a hash of what is cut off stays");
}

#[test]
fn the_result_of_a_custom_template_is_never_cut() {
    let name = "a".repeat(250);
    let denied = decision(|world| {
        world.parameters(&json!({"subDir": "${pvc.metadata.namespace}-${pvc.metadata.name}-${pv.metadata.name}"}));
        world.claim["metadata"]["name"] = json!(name);
    });
    // A very long path is shortened to its ends.
    let path = format!("team-a-{name}-{VOLUME}");
    let message = format!(
        "${{pvc.metadata.namespace}}-${{pvc.metadata.name}}-${{pv.metadata.name}} (subDir of StorageClass fast) gives \
        no valid directory for this claim: directory \"{}[...]{}\" has a segment of 298 bytes; NFS servers allow at \
        most 255; change the name, labels or annotations that the template uses, or choose another StorageClass",
        &path[..100],
        &path[path.len() - 100..],
    );
    assert_eq!(denied, Decision::Deny(message));
}

fn with_template(parameters: &Value) -> NewVolume {
    provisioned(|world| {
        world.parameters(parameters);
        world.claim["metadata"]["labels"] = json!({"app": "db"});
    })
}

#[test]
fn a_volume_name_is_derived_from_a_directory_that_does_not_contain_it() {
    let layout = |share: &str, template: &str| with_template(&json!({"share": share, "subDir": template}));
    let one = layout("/export", "${pvc.metadata.namespace}/${pvc.metadata.name}");
    assert_eq!(one.directory.as_str(), "team-a/data");
    assert_ne!(one.name, VOLUME);
    let same_path = layout("/export/team-a", "${pvc.metadata.name}");
    assert_eq!(same_path.name, one.name);
    assert_ne!(layout("/export", "${pvc.metadata.labels['app']}").name, one.name);
    let unique = layout("/export", "${pvc.metadata.namespace}/${pv.metadata.name}");
    assert_eq!(
        (unique.name.as_str(), unique.directory.as_str()),
        (VOLUME, format!("team-a/{VOLUME}").as_str())
    );
}

#[test]
fn an_existing_directory_is_adopted_only_in_its_namespace_or_by_the_class() {
    let existing = |parameters| with_template(&parameters).existing;
    let own = json!({"pathPattern": "${.PVC.namespace}/${.PVC.name}"});
    let open = json!({"pathPattern": "${.PVC.labels.app}"});
    assert_eq!(existing(own), ExistingDirectory::Adopt);
    assert_eq!(existing(open), ExistingDirectory::Deny);
    let parameters = json!({"pathPattern": "${.PVC.labels.app}", "existingDirectory": "adopt"});
    assert_eq!(existing(parameters), ExistingDirectory::Adopt);
}

#[test]
fn a_missing_label_of_the_template_refuses_the_claim() {
    let denied = |template: &str| decision(|world| world.class["parameters"]["subDir"] = json!(template));
    let message = "${pvc.metadata.labels['zone']} (subDir of StorageClass fast) gives no valid directory for this \
    claim: label zone of the claim is needed for the directory and is not set; set it";
    assert_eq!(
        denied("${pvc.metadata.labels['zone']}"),
        Decision::Deny(message.to_owned())
    );
    let two = "${pvc.metadata.labels['zone']}/${namespace.metadata.annotations['cost']}";
    let message = format!(
        "{two} (subDir of StorageClass fast) gives no valid directory for this claim: label zone of the claim and \
        annotation cost of the namespace are needed for the directory and are not set; set them"
    );
    assert_eq!(denied(two), Decision::Deny(message));
}

#[test]
fn a_template_of_the_claim_adopts_only_if_the_claim_may_set_existing_directory() {
    let existing = |overrides: &str, annotations: Value| {
        let new = provisioned(|world| {
            let parameters = json!({"existingDirectory": "adopt", "claimOverrides": overrides});
            world.parameters(&parameters);
            world.claim["metadata"]["annotations"] = annotations;
        });
        new.existing
    };
    let template = "team-b/${pvc.metadata.namespace}";
    let chosen = json!({"bindery.dev/sub-dir": template});
    assert_eq!(existing("subDir", chosen), ExistingDirectory::Deny);
    let both = json!({"bindery.dev/sub-dir": template, "bindery.dev/existing-directory": "adopt"});
    assert_eq!(existing("subDir, existingDirectory", both), ExistingDirectory::Adopt);
}

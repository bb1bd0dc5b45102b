//! Mount options of a class. The kubelet uses them; Bindery only reads which NFS version they ask for.

use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

use crate::model::directory::NfsVersion;
use crate::model::names::annotation::BETA_MOUNT_OPTIONS;

/// The options of the field `mountOptions`, then those of the older annotation.
pub fn read(class: &StorageClass) -> Vec<String> {
    let annotated = class.annotations().get(BETA_MOUNT_OPTIONS);
    let annotated = annotated.map_or("", String::as_str).split(',').map(str::trim);
    let annotated = annotated.filter(|option| !option.is_empty()).map(str::to_owned);
    class.mount_options.iter().flatten().cloned().chain(annotated).collect()
}

/// The warning about pods that may use another version of NFS than Bindery. `None` if both use the same version.
pub fn version_warning(options: &[String], version: NfsVersion) -> Option<String> {
    let asks_for = |option: &&String| {
        let value = ["nfsvers=", "vers=", "v"]
            .into_iter()
            .find_map(|key| option.strip_prefix(key));
        value.is_some_and(|value| value.starts_with(|c: char| c.is_ascii_digit()))
    };
    let option = options.iter().rfind(asks_for);
    let is_version_3 = option.is_some_and(|option| option.trim_start_matches(|c: char| !c.is_ascii_digit()) == "3");
    match (version, option) {
        (NfsVersion::V4, Some(option)) if is_version_3 => Some(format!(
            "mountOptions has {option}, so pods use NFSv3, but Bindery uses NFSv4: if the server has no NFSv4, set \
            parameter nfsVersion: \"3\"; otherwise remove the option"
        )),
        (NfsVersion::V3, _) if !is_version_3 => Some(format!(
            "nfsVersion is 3, so Bindery uses NFSv3, but mountOptions {}: if the server has no NFSv4, set the mount option \
             nfsvers=3",
            option.map_or_else(|| "sets no version".to_owned(), |option| format!("has {option}"))
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_options_of_field_and_annotation_are_used() {
        let class = json!({
            "metadata": {"annotations": {"volume.beta.kubernetes.io/mount-options": "hard, nfsvers=4.1,"}},
            "provisioner": "bindery.dev/nfs",
            "mountOptions": ["noatime"],
        });
        assert_eq!(
            read(&serde_json::from_value(class).unwrap()),
            ["noatime", "hard", "nfsvers=4.1"]
        );
    }

    #[test]
    fn different_versions_of_pods_and_bindery_are_a_warning() {
        let warns = |options: &[&str], version| {
            let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
            version_warning(&options, version)
        };
        for option in ["nfsvers=3", "vers=3", "v3"] {
            let warning = warns(&["hard", option], NfsVersion::V4).unwrap();
            assert!(
                warning.contains(&format!("mountOptions has {option}, so pods use NFSv3")),
                "{warning}"
            );
            assert_eq!(warns(&[option], NfsVersion::V3), None);
        }
        for options in [&[][..], &["hard"], &["nfsvers=4.1"], &["vers=4"]] {
            assert_eq!(warns(options, NfsVersion::V4), None);
            assert!(warns(options, NfsVersion::V3).is_some(), "{options:?}");
        }
        // mount.nfs uses the last one.
        assert_eq!(warns(&["vers=3", "vers=4.2"], NfsVersion::V4), None);
    }
}

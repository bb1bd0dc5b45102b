//! What a StorageClass says, read once into a value.

use std::collections::BTreeMap;

use k8s_openapi::api::storage::v1::StorageClass;

use super::directory::Share;
use super::key::Key;
use super::mistake::Mistake;
use super::old_name;
use super::settings::Settings;
use super::template::Template;

/// Server and export for classes that name none: the flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// `--nfs-server`.
    pub server: Option<String>,
    /// `--nfs-share`.
    pub share: Option<String>,
}

/// What Kubernetes does with a volume whose claim is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaim {
    /// It is deleted, and `onDelete` says what becomes of the directory.
    Delete,
    /// Volume and directory are kept.
    Retain,
}

impl Reclaim {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Retain => "Retain",
        }
    }
}

/// A class of ours, without mistakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Where its directories are made.
    pub share: Share,
    /// What it says about directories.
    pub settings: Settings,
    /// What a namespace may say instead.
    pub namespace_overrides: Vec<Key>,
    /// What a claim may say instead.
    pub claim_overrides: Vec<Key>,
    /// What becomes of volumes.
    pub reclaim: Reclaim,
    /// For the kubelet's mount.
    pub mount_options: Vec<String>,
    /// What it says and nobody can do: mistakes, but for a class that was written for another program.
    pub warnings: Vec<String>,
}

impl Class {
    /// Reads a class whose provisioner is ours. The error lists everything that is wrong. Under a name that Bindery has
    /// taken over it is read with [`old_name`]'s patience.
    pub fn read(class: &StorageClass, defaults: &Defaults) -> Result<Self, Vec<Mistake>> {
        let empty = BTreeMap::new();
        let written = class.parameters.as_ref().unwrap_or(&empty);
        let old = old_name::is_old(&class.provisioner);
        let (parameters, warnings) = if old {
            old_name::translate(written)
        } else {
            (written.clone(), Vec::new())
        };
        let parameters = &parameters;
        let mut mistakes = Vec::new();
        let known = parameters
            .iter()
            .filter_map(|(spelt, value)| match Key::parameter(spelt) {
                Ok(key) => Some((key, spelt.as_str(), value.as_str())),
                Err(unknown) => {
                    mistakes.push(Mistake(unknown.to_string()));
                    None
                }
            });
        let written: Vec<_> = known.collect();
        let mut settings = Settings::read(&written, &mut mistakes);
        if old && parameters.contains_key(Key::PathPattern.name()) {
            settings.template = settings.template.map(Template::forgiving);
        }
        let mut overrides = |key: Key, default: &[Key]| match parameters.get(key.name()) {
            None => default.to_vec(),
            Some(list) => overrides(key, list, &mut mistakes),
        };
        let namespace_overrides = overrides(Key::NamespaceOverrides, &Key::NAMESPACE_DEFAULT);
        let claim_overrides = overrides(Key::ClaimOverrides, &[]);
        let share = share(parameters, defaults).map_err(|mistake| mistakes.push(mistake));
        let reclaim = match class.reclaim_policy.as_deref() {
            None | Some("Delete") => Ok(Reclaim::Delete),
            Some("Retain") => Ok(Reclaim::Retain),
            Some(other) => {
                mistakes.push(Mistake(format!(
                    "reclaimPolicy is {other:?}: allowed are Delete and Retain; what becomes of the directory is said with onDelete"
                )));
                Err(())
            }
        };
        match (share, reclaim) {
            (Ok(share), Ok(reclaim)) if mistakes.is_empty() => Ok(Self {
                name: class.metadata.name.clone().unwrap_or_default(),
                share,
                settings,
                namespace_overrides,
                claim_overrides,
                reclaim,
                mount_options: class.mount_options.clone().unwrap_or_default(),
                warnings,
            }),
            _ => Err(mistakes),
        }
    }
}

fn share(parameters: &BTreeMap<String, String>, defaults: &Defaults) -> Result<Share, Mistake> {
    let pick = |key: &str, default: &Option<String>, flag: &str| {
        parameters.get(key).or(default.as_ref()).cloned().ok_or_else(|| {
            Mistake(format!(
                "{key} is not set: set the parameter on the class, or run Bindery with {flag}"
            ))
        })
    };
    let server = pick("server", &defaults.server, "--nfs-server")?;
    let path = pick("share", &defaults.share, "--nfs-share")?;
    Share::parse(&server, &path).map_err(|wrong| Mistake(wrong.to_string()))
}

/// A comma list of keys that annotations may set.
fn overrides(list: Key, value: &str, mistakes: &mut Vec<Mistake>) -> Vec<Key> {
    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
    let mut keys = Vec::new();
    for name in names {
        match Key::parameter(name) {
            Ok(key) if key.is_for_annotations() => keys.push(key),
            Ok(key) => mistakes.push(Mistake(format!("{list} lists {key}, which only a class may set"))),
            Err(unknown) => mistakes.push(Mistake(format!("{list}: {unknown}"))),
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::directory::NfsVersion;
    use crate::policy::on_delete::OnDelete;
    use crate::policy::retention::Retention;
    use crate::policy::settings::{ExistingDirectory, OnStorageFailure};

    fn read(fields: serde_json::Value) -> Result<Class, String> {
        let mut class = json!({"metadata": {"name": "fast"}, "provisioner": "bindery.dev/nfs"});
        class
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let defaults = Defaults {
            server: Some("nas1".to_owned()),
            share: Some("/export".to_owned()),
        };
        Class::read(&serde_json::from_value(class).unwrap(), &defaults).map_err(|mistakes| Mistake::join(&mistakes))
    }

    #[test]
    fn a_class_without_parameters_uses_the_flags() {
        let class = read(json!({})).unwrap();
        assert_eq!(class.share.to_string(), "nas1:/export");
        assert_eq!((class.settings, class.reclaim), (Settings::default(), Reclaim::Delete));
        assert_eq!(class.namespace_overrides, Key::NAMESPACE_DEFAULT);
        assert_eq!(class.claim_overrides, []);
    }

    #[test]
    fn parameters_win_over_the_flags() {
        let class = read(json!({
            "parameters": {"server": "NAS2.example.com.", "share": "//vol/one/", "onDelete": "delete"},
            "reclaimPolicy": "Retain",
            "mountOptions": ["nfsvers=4.1"],
        }));
        let class = class.unwrap();
        assert_eq!(class.share.to_string(), "nas2.example.com:/vol/one");
        assert_eq!(
            (class.settings.on_delete, class.reclaim),
            (Some(OnDelete::Delete), Reclaim::Retain)
        );
        assert_eq!(class.mount_options, ["nfsvers=4.1"]);
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let mistakes = read(json!({
            "parameters": {"archiveOnDelet": "true", "onDelete": "erase", "share": "export"},
            "reclaimPolicy": "Recycle",
        }));
        assert_eq!(
            mistakes.unwrap_err(),
            "parameter archiveOnDelet is not known: did you mean archiveOnDelete?; \
             onDelete is \"erase\": allowed are delete, retain or archive; \
             share \"export\" is not an absolute path; write it as the server exports it, such as /export/volumes; \
             reclaimPolicy is \"Recycle\": allowed are Delete and Retain; what becomes of the directory is said with onDelete"
        );
    }

    #[test]
    fn a_server_must_come_from_somewhere() {
        let class = serde_json::from_value(json!({"metadata": {"name": "x"}, "provisioner": "p"})).unwrap();
        assert_eq!(
            Mistake::join(&Class::read(&class, &Defaults::default()).unwrap_err()),
            "server is not set: set the parameter on the class, or run Bindery with --nfs-server"
        );
    }

    #[test]
    fn every_key_is_read_and_every_wrong_value_is_named() {
        let class = read(json!({"parameters": {
            "mountPermissions": "02775", "uid": "1000", "gid": "0", "existingDirectory": "deny",
            "archiveRetention": "30d", "onStorageFailure": "deny", "nfsVersion": "3",
            "namespaceOverrides": "uid, gid", "claimOverrides": "",
        }}));
        let class = class.unwrap();
        let settings = class.settings;
        assert_eq!(
            (settings.mode, settings.uid, settings.gid),
            (Some(0o2775), Some(1000), Some(0))
        );
        assert_eq!(
            (
                settings.existing,
                settings.retention,
                settings.on_failure,
                settings.version
            ),
            (
                Some(ExistingDirectory::Deny),
                Some(Retention::Seconds(30 * 24 * 60 * 60)),
                Some(OnStorageFailure::Deny),
                Some(NfsVersion::V3)
            )
        );
        assert_eq!(
            (class.namespace_overrides, class.claim_overrides),
            (vec![Key::Uid, Key::Gid], vec![])
        );

        let mistakes = read(json!({"parameters": {
            "mountPermissions": "0o777", "uid": "-1", "gid": "4294967295", "existingDirectory": "take",
            "archiveRetention": "30", "onStorageFailure": "wait", "nfsVersion": "4.1",
            "namespaceOverrides": "uids,server", "claimOverrides": "claimOverrides",
        }}));
        assert_eq!(
            mistakes.unwrap_err(),
            "mountPermissions is \"0o777\": write it in octal, 0001 to 7777, such as 0770 or 2775; \
             uid is \"-1\": write a number from 0 to 4294967294; \
             gid is \"4294967295\": write a number from 0 to 4294967294; \
             existingDirectory is \"take\": allowed are adopt or deny; \
             archiveRetention is \"30\": write a time such as 30d, 12h or 2w, up to 36500d, or forever; \
             onStorageFailure is \"wait\": allowed are queue or deny; \
             nfsVersion is \"4.1\": allowed are 4 (4.2, else 4.1) or 3; what pods mount with is said in mountOptions; \
             namespaceOverrides: parameter uids is not known: did you mean uid?; \
             namespaceOverrides lists server, which only a class may set; \
             claimOverrides lists claimOverrides, which only a class may set"
        );
        let nothing = read(json!({"parameters": {"mountPermissions": "0"}})).unwrap_err();
        let expected =
            "mountPermissions is \"0\": a directory that nobody may enter is of no use; write a mode such as 0770";
        assert_eq!(nothing, expected);
    }
}

//! What a StorageClass says, read once into a value.

use std::collections::BTreeMap;

use k8s_openapi::api::storage::v1::StorageClass;

use super::directory::Share;
use super::mistake::Mistake;
use super::on_delete::{self, OnDelete};

/// The parameters that a class may have.
const KEYS: [&str; 4] = ["server", "share", "onDelete", "archiveOnDelete"];
/// The mode of new directories.
const MODE: u32 = 0o777;

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
    /// What it says about directories of claims that are gone, if anything.
    pub on_delete: Option<OnDelete>,
    /// What becomes of volumes.
    pub reclaim: Reclaim,
    /// For the kubelet's mount.
    pub mount_options: Vec<String>,
    /// Mode of new directories.
    pub mode: u32,
}

impl Class {
    /// Reads a class whose provisioner is ours. The error lists everything that is wrong.
    pub fn read(class: &StorageClass, defaults: &Defaults) -> Result<Self, Vec<Mistake>> {
        let empty = BTreeMap::new();
        let parameters = class.parameters.as_ref().unwrap_or(&empty);
        let mut mistakes: Vec<Mistake> = parameters.keys().filter_map(|key| unknown(key)).collect();
        let written = |key| parameters.get(key).map(|value| (key, value.as_str()));
        let (on_delete, wrong) = on_delete::read(written("onDelete"), written("archiveOnDelete"));
        mistakes.extend(wrong);
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
                on_delete,
                reclaim,
                mount_options: class.mount_options.clone().unwrap_or_default(),
                mode: MODE,
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

fn unknown(key: &str) -> Option<Mistake> {
    (!KEYS.contains(&key)).then(|| Mistake(format!("parameter {key} is not known: allowed are {}", KEYS.join(", "))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        assert_eq!(
            (class.on_delete, class.reclaim, class.mode),
            (None, Reclaim::Delete, 0o777)
        );
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
            (class.on_delete, class.reclaim),
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
            "parameter archiveOnDelet is not known: allowed are server, share, onDelete, archiveOnDelete; \
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
}

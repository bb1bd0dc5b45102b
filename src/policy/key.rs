//! The keys of settings: parameters of a StorageClass, and annotations.
//!
//! `onDelete` on a class is `bindery.dev/on-delete` on a namespace or a claim.

use crate::model::choices::choices;
use crate::model::names;

choices! {
    /// A key, with its name as a class parameter. The order is that of the documentation.
    #[derive(Hash, PartialOrd, Ord)]
    Key, {
        /// NFS host.
        Server = "server",
        /// Export.
        Share = "share",
        /// Directory template, with the tokens of csi-driver-nfs.
        SubDir = "subDir",
        /// Directory template, with the tokens of nfs-subdir-external-provisioner.
        PathPattern = "pathPattern",
        /// What happens to the directory when the claim is gone.
        OnDelete = "onDelete",
        /// The parameter of nfs-subdir-external-provisioner with the same meaning.
        ArchiveOnDelete = "archiveOnDelete",
        /// Mode of the directory.
        MountPermissions = "mountPermissions",
        /// Owner of the directory.
        Uid = "uid",
        /// Group of the directory.
        Gid = "gid",
        /// The groups that `gid: auto` gives to volumes, one to each.
        GidRange = "gidRange",
        /// What happens if the directory already exists.
        ExistingDirectory = "existingDirectory",
        /// How long an archive is kept.
        ArchiveRetention = "archiveRetention",
        /// Whether claims may get their volumes from archives.
        ArchiveRestore = "archiveRestore",
        /// Mode and owner of a directory that was an archive.
        RestoreAttributes = "restoreAttributes",
        /// What happens to the claim if its server does not answer.
        OnStorageFailure = "onStorageFailure",
        /// The NFS version that Bindery uses.
        NfsVersion = "nfsVersion",
        /// When the volume is created.
        Provision = "provision",
        /// Labels of volumes.
        VolumeLabels = "volumeLabels",
        /// What the nodes mount.
        VolumeSource = "volumeSource",
        /// The CSI driver that mounts the directory.
        CsiDriver = "csiDriver",
        /// An attribute for the CSI driver: `csiAttribute/<name>`.
        CsiAttribute = "csiAttribute",
        /// Secret for staging the volume on a node (a name of CSI's external-provisioner).
        NodeStageSecretName = "csi.storage.k8s.io/node-stage-secret-name",
        /// The namespace of that Secret.
        NodeStageSecretNamespace = "csi.storage.k8s.io/node-stage-secret-namespace",
        /// Secret for mounting the volume for a pod (a name of CSI's external-provisioner).
        NodePublishSecretName = "csi.storage.k8s.io/node-publish-secret-name",
        /// The namespace of that Secret.
        NodePublishSecretNamespace = "csi.storage.k8s.io/node-publish-secret-namespace",
        /// Whether a claim must fit into the free space of its share.
        FreeSpace = "freeSpace",
        /// Whether the server limits the size of the directory.
        SizeLimit = "sizeLimit",
        /// Which keys a namespace may set.
        NamespaceOverrides = "namespaceOverrides",
        /// Which keys a claim may set.
        ClaimOverrides = "claimOverrides",
    }
}

/// The prefix of a parameter that sets an attribute for the CSI driver.
pub const CSI_ATTRIBUTE: &str = "csiAttribute/";

impl Key {
    /// The keys that a namespace may set by default. None of them chooses a path or an owner, because on many platforms
    /// tenants can edit their namespace.
    pub const NAMESPACE_DEFAULT: [Self; 5] = [
        Self::OnDelete,
        Self::ArchiveOnDelete,
        Self::MountPermissions,
        Self::ArchiveRetention,
        Self::OnStorageFailure,
    ];

    /// The name as an annotation: `onDelete` is `bindery.dev/on-delete`.
    pub fn annotation(self) -> String {
        self.as_str().chars().fold(names::PREFIX.to_owned(), |text, c| {
            if c.is_ascii_uppercase() {
                format!("{text}-{}", c.to_ascii_lowercase())
            } else {
                format!("{text}{c}")
            }
        })
    }

    /// The key of a class parameter. The error suggests the most similar key.
    pub fn of_parameter(name: &str) -> Result<Self, UnknownKey> {
        if name.starts_with(CSI_ATTRIBUTE) {
            return Ok(Self::CsiAttribute);
        }
        let mut named = Self::ALL.into_iter().filter(|key| *key != Self::CsiAttribute);
        let key = named.find(|key| key.as_str() == name);
        key.ok_or_else(|| {
            let letters: String = name.chars().filter(char::is_ascii_alphabetic).collect();
            if letters.eq_ignore_ascii_case("mountOptions") {
                let advice = "write mount options in the field mountOptions of the StorageClass, next to parameters";
                return UnknownKey {
                    kind: "parameter",
                    written: name.to_owned(),
                    advice: advice.to_owned(),
                };
            }
            let known = Self::ALL.into_iter().map(|key| match key {
                Self::CsiAttribute => format!("{CSI_ATTRIBUTE}<name>"),
                key => key.as_str().to_owned(),
            });
            UnknownKey::new("parameter", name, known.collect())
        })
    }

    /// The key of an annotation. The error suggests the most similar key.
    pub fn of_annotation(name: &str) -> Result<Self, UnknownKey> {
        let key = Self::ALL.into_iter().find(|key| key.annotation() == name);
        key.ok_or_else(|| {
            let known = Self::ALL.into_iter().filter(|key| key.is_for_annotations());
            UnknownKey::new("annotation", name, known.map(Self::annotation).collect())
        })
    }

    /// Whether it has an effect only on volumes that a CSI driver mounts.
    pub fn is_of_csi(self) -> bool {
        matches!(
            self,
            Self::CsiDriver
                | Self::CsiAttribute
                | Self::NodeStageSecretName
                | Self::NodeStageSecretNamespace
                | Self::NodePublishSecretName
                | Self::NodePublishSecretNamespace
        )
    }

    /// Whether an annotation may set it, if the class allows that.
    pub fn is_for_annotations(self) -> bool {
        !matches!(
            self,
            Self::Server
                | Self::Share
                | Self::Provision
                | Self::VolumeLabels
                | Self::FreeSpace
                | Self::SizeLimit
                | Self::GidRange
                | Self::CsiAttribute
                | Self::NodeStageSecretName
                | Self::NodeStageSecretNamespace
                | Self::NodePublishSecretName
                | Self::NodePublishSecretNamespace
                | Self::ArchiveRestore
                | Self::RestoreAttributes
                | Self::NamespaceOverrides
                | Self::ClaimOverrides
        )
    }
}

/// The error of a key that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {written} is not known: {advice}")]
pub struct UnknownKey {
    kind: &'static str,
    written: String,
    advice: String,
}

impl UnknownKey {
    fn new(kind: &'static str, written: &str, all: Vec<String>) -> Self {
        let word = |name: &'_ str| name.strip_prefix(names::PREFIX).unwrap_or(name).to_lowercase();
        let nearest = all.iter().min_by_key(|known| distance(&word(written), &word(known)));
        // If more than a third of the letters differ, the key is not a misspelt one.
        let near = nearest.filter(|known| distance(&word(written), &word(known)) * 3 <= word(known).len());
        Self {
            kind,
            written: written.to_owned(),
            advice: match near {
                Some(near) => format!("did you mean {near}?"),
                None => format!("allowed are {}", all.join(", ")),
            },
        }
    }
}

/// The number of letters that differ (Levenshtein distance).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().take(100).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_camel_case_on_a_class_and_kebab_case_in_an_annotation() {
        assert_eq!(Key::MountPermissions.as_str(), "mountPermissions");
        assert_eq!(Key::MountPermissions.annotation(), "bindery.dev/mount-permissions");
        assert_eq!(Key::of_parameter("csiAttribute/clusterID"), Ok(Key::CsiAttribute));
        assert!(Key::of_parameter("csiAttribute").is_err());
        for key in Key::ALL.into_iter().filter(|key| *key != Key::CsiAttribute) {
            assert_eq!(
                (Key::of_parameter(key.as_str()), Key::of_annotation(&key.annotation())),
                (Ok(key), Ok(key))
            );
        }
    }

    #[test]
    fn a_misspelt_key_gets_a_suggestion_and_an_unknown_key_the_list() {
        let message = |name| Key::of_parameter(name).unwrap_err().to_string();
        assert_eq!(
            message("ondelete"),
            "parameter ondelete is not known: did you mean onDelete?"
        );
        assert_eq!(
            message("mountPermission"),
            "parameter mountPermission is not known: did you mean mountPermissions?"
        );
        assert_eq!(
            message("mountOptions"),
            "parameter mountOptions is not known: write mount options in the field mountOptions of the StorageClass, \
            next to parameters"
        );
        assert_eq!(
            message("replicas"),
            "parameter replicas is not known: allowed are server, share, subDir, pathPattern, onDelete, \
             archiveOnDelete, mountPermissions, uid, gid, gidRange, existingDirectory, archiveRetention, archiveRestore, \
             restoreAttributes, onStorageFailure, nfsVersion, provision, volumeLabels, volumeSource, csiDriver, \
             csiAttribute/<name>, csi.storage.k8s.io/node-stage-secret-name, \
             csi.storage.k8s.io/node-stage-secret-namespace, csi.storage.k8s.io/node-publish-secret-name, \
             csi.storage.k8s.io/node-publish-secret-namespace, freeSpace, sizeLimit, namespaceOverrides, claimOverrides"
        );
    }
}

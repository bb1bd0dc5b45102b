//! The keys of settings: parameters of a StorageClass, and annotations.
//!
//! `onDelete` on a class is `bindery.dev/on-delete` on a namespace or a claim.

use std::fmt;

use crate::model::names;

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// NFS host.
    Server,
    /// Export.
    Share,
    /// Directory template, with the tokens of csi-driver-nfs.
    SubDir,
    /// Directory template, with the tokens of nfs-subdir-external-provisioner.
    PathPattern,
    /// What happens to the directory when the claim is gone.
    OnDelete,
    /// The same, as nfs-subdir-external-provisioner spells it.
    ArchiveOnDelete,
    /// Mode of the directory.
    MountPermissions,
    /// Owner of the directory.
    Uid,
    /// Group of the directory.
    Gid,
    /// What happens if the directory already exists.
    ExistingDirectory,
    /// How long an archive is kept.
    ArchiveRetention,
    /// What happens to the claim if its server does not answer.
    OnStorageFailure,
    /// The NFS version that Bindery uses.
    NfsVersion,
    /// When the volume is created.
    Provision,
    /// Labels of volumes.
    VolumeLabels,
    /// Which keys a namespace may set.
    NamespaceOverrides,
    /// Which keys a claim may set.
    ClaimOverrides,
}

impl Key {
    /// All keys, in the order of the documentation.
    pub const ALL: [Self; 17] = [
        Self::Server,
        Self::Share,
        Self::SubDir,
        Self::PathPattern,
        Self::OnDelete,
        Self::ArchiveOnDelete,
        Self::MountPermissions,
        Self::Uid,
        Self::Gid,
        Self::ExistingDirectory,
        Self::ArchiveRetention,
        Self::OnStorageFailure,
        Self::NfsVersion,
        Self::Provision,
        Self::VolumeLabels,
        Self::NamespaceOverrides,
        Self::ClaimOverrides,
    ];
    /// The keys that a namespace may set by default. No key that chooses a path or an owner: on many platforms tenants
    /// can edit their namespace.
    pub const NAMESPACE_DEFAULT: [Self; 5] = [
        Self::OnDelete,
        Self::ArchiveOnDelete,
        Self::MountPermissions,
        Self::ArchiveRetention,
        Self::OnStorageFailure,
    ];

    /// The name as a class parameter.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Share => "share",
            Self::SubDir => "subDir",
            Self::PathPattern => "pathPattern",
            Self::OnDelete => "onDelete",
            Self::ArchiveOnDelete => "archiveOnDelete",
            Self::MountPermissions => "mountPermissions",
            Self::Uid => "uid",
            Self::Gid => "gid",
            Self::ExistingDirectory => "existingDirectory",
            Self::ArchiveRetention => "archiveRetention",
            Self::OnStorageFailure => "onStorageFailure",
            Self::NfsVersion => "nfsVersion",
            Self::Provision => "provision",
            Self::VolumeLabels => "volumeLabels",
            Self::NamespaceOverrides => "namespaceOverrides",
            Self::ClaimOverrides => "claimOverrides",
        }
    }

    /// The name as an annotation: `onDelete` is `bindery.dev/on-delete`.
    pub fn annotation(self) -> String {
        self.name().chars().fold(names::PREFIX.to_owned(), |text, c| {
            if c.is_ascii_uppercase() {
                format!("{text}-{}", c.to_ascii_lowercase())
            } else {
                format!("{text}{c}")
            }
        })
    }

    /// The key of a class parameter. The error suggests the most similar key.
    pub fn parameter(name: &str) -> Result<Self, Unknown> {
        let key = Self::ALL.into_iter().find(|key| key.name() == name);
        key.ok_or_else(|| {
            let known = Self::ALL.into_iter().map(|key| key.name().to_owned());
            Unknown::new("parameter", name, known.collect())
        })
    }

    /// The key of an annotation. The error suggests the most similar key.
    pub fn annotated(name: &str) -> Result<Self, Unknown> {
        let key = Self::ALL.into_iter().find(|key| key.annotation() == name);
        key.ok_or_else(|| {
            let known = Self::ALL.into_iter().filter(|key| key.is_for_annotations());
            Unknown::new("annotation", name, known.map(Self::annotation).collect())
        })
    }

    /// Whether a class can allow an annotation to set it.
    pub fn is_for_annotations(self) -> bool {
        !matches!(
            self,
            Self::Server
                | Self::Share
                | Self::Provision
                | Self::VolumeLabels
                | Self::NamespaceOverrides
                | Self::ClaimOverrides
        )
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The key is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {written} is not known: {advice}")]
pub struct Unknown {
    kind: &'static str,
    written: String,
    advice: String,
}

impl Unknown {
    fn new(kind: &'static str, written: &str, all: Vec<String>) -> Self {
        let word = |name: &'_ str| name.strip_prefix(names::PREFIX).unwrap_or(name).to_lowercase();
        let nearest = all.iter().min_by_key(|known| distance(&word(written), &word(known)));
        // If more than a third of the letters differ, it is another word.
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
        assert_eq!(Key::MountPermissions.name(), "mountPermissions");
        assert_eq!(Key::MountPermissions.annotation(), "bindery.dev/mount-permissions");
        for key in Key::ALL {
            assert_eq!(
                (Key::parameter(key.name()), Key::annotated(&key.annotation())),
                (Ok(key), Ok(key))
            );
        }
    }

    #[test]
    fn a_misspelt_key_gets_a_suggestion_and_an_unknown_key_the_list() {
        let told = |name| Key::parameter(name).unwrap_err().to_string();
        assert_eq!(
            told("ondelete"),
            "parameter ondelete is not known: did you mean onDelete?"
        );
        assert_eq!(
            told("mountPermission"),
            "parameter mountPermission is not known: did you mean mountPermissions?"
        );
        assert_eq!(
            told("replicas"),
            "parameter replicas is not known: allowed are server, share, subDir, pathPattern, onDelete, \
             archiveOnDelete, mountPermissions, uid, gid, existingDirectory, archiveRetention, onStorageFailure, \
             nfsVersion, provision, volumeLabels, namespaceOverrides, claimOverrides"
        );
    }
}

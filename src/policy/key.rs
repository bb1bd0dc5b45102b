//! The keys with which administrators say what shall happen: parameters of a StorageClass, and annotations.
//!
//! `onDelete` on a class is `bindery.dev/on-delete` on a namespace or a claim.

use std::fmt;

use crate::names;

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// NFS host.
    Server,
    /// Export.
    Share,
    /// Directory template, csi-driver-nfs's tokens.
    SubDir,
    /// Directory template, nfs-subdir-external-provisioner's tokens.
    PathPattern,
    /// Fate of the directory.
    OnDelete,
    /// The same in nfs-subdir-external-provisioner's words.
    ArchiveOnDelete,
    /// Mode of the directory.
    MountPermissions,
    /// Owner of the directory.
    Uid,
    /// Group of the directory.
    Gid,
    /// What to do with a directory that is there already.
    ExistingDirectory,
    /// How long an archive is kept.
    ArchiveRetention,
    /// What to do while the storage fails.
    OnStorageFailure,
    /// Which keys a namespace may set.
    NamespaceOverrides,
    /// Which keys a claim may set.
    ClaimOverrides,
    /// Version of the protocol.
    NfsVersion,
}

impl Key {
    /// All keys, in the order of the documentation.
    pub const ALL: [Self; 15] = [
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
        Self::NamespaceOverrides,
        Self::ClaimOverrides,
        Self::NfsVersion,
    ];
    /// What a namespace may set where its class says nothing: no place and no owner, since tenants can edit their
    /// namespace on many platforms.
    pub const NAMESPACE_DEFAULT: [Self; 5] = [
        Self::OnDelete,
        Self::ArchiveOnDelete,
        Self::MountPermissions,
        Self::ArchiveRetention,
        Self::OnStorageFailure,
    ];

    /// As a parameter of a class.
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
            Self::NamespaceOverrides => "namespaceOverrides",
            Self::ClaimOverrides => "claimOverrides",
            Self::NfsVersion => "nfsVersion",
        }
    }

    /// As an annotation: `onDelete` is `bindery.dev/on-delete`.
    pub fn annotation(self) -> String {
        self.name().chars().fold(names::PREFIX.to_owned(), |text, c| {
            if c.is_ascii_uppercase() { format!("{text}-{}", c.to_ascii_lowercase()) } else { format!("{text}{c}") }
        })
    }

    /// The key of a parameter. The error suggests the nearest.
    pub fn parameter(name: &str) -> Result<Self, Unknown> {
        Self::ALL.into_iter().find(|key| key.name() == name).ok_or_else(|| Unknown::new(name, |key| key.name().to_owned()))
    }

    /// Whether an annotation may ever set it, if the class allows.
    pub fn is_for_annotations(self) -> bool {
        !matches!(self, Self::Server | Self::Share | Self::NamespaceOverrides | Self::ClaimOverrides)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No key of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    written: String,
    nearest: Option<String>,
}

impl Unknown {
    fn new(written: &str, spell: impl Fn(Key) -> String) -> Self {
        let near = Key::ALL.into_iter().map(spell).map(|known| (distance(written, &known), known)).min();
        // A third of the letters wrong is another word.
        let nearest = near.filter(|(distance, known)| distance * 3 <= known.len()).map(|(_, known)| known);
        Self {
            written: written.to_owned(),
            nearest,
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.nearest {
            Some(nearest) => write!(f, "parameter {} is not known: did you mean {nearest}?", self.written),
            None => {
                let all: Vec<&str> = Key::ALL.into_iter().map(Key::name).collect();
                write!(f, "parameter {} is not known: allowed are {}", self.written, all.join(", "))
            }
        }
    }
}

/// How many letters differ, upper and lower case being the same (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.to_lowercase().chars().take(100).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

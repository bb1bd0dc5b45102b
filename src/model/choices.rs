//! Enums with a fixed text for each value, and the class parameters that have one.

/// Defines an enum whose values have a text, with `ALL`, `as_str` and `Display`. With `allowed` it also has `FromStr`, whose
/// error lists the allowed texts.
macro_rules! choices {
    (
        $(#[$meta:meta])*
        $name:ident, $(allowed: $allowed:literal,)? { $($(#[$doc:meta])* $value:ident = $text:literal,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $value,)+
        }

        impl $name {
            /// All values, in their order.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$value),+];

            /// The text of the value.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        $(impl std::str::FromStr for $name {
            type Err = crate::model::choices::NotAllowed;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let value = Self::ALL.into_iter().find(|value| value.as_str() == text);
                value.ok_or(crate::model::choices::NotAllowed($allowed))
            }
        })?
    };
}
pub(crate) use choices;

/// The error of a text that is not allowed. Contains the list of the allowed texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("allowed are {0}")]
pub struct NotAllowed(pub &'static str);

choices! {
    /// What happens if the directory already exists.
    ExistingDirectory, allowed: "adopt or deny", {
        /// The volume uses it, with its files.
        Adopt = "adopt",
        /// The claim is refused.
        Deny = "deny",
    }
}

choices! {
    /// What happens to a claim if the NFS server does not answer.
    OnStorageFailure, allowed: "queue or deny", {
        /// It is admitted without a volume, and gets one as soon as the server answers.
        Queue = "queue",
        /// It is refused.
        Deny = "deny",
    }
}

choices! {
    /// What the nodes mount.
    SourceKind, allowed: "nfs or csi", {
        /// The kubelet mounts the directory from the NFS server.
        Nfs = "nfs",
        /// A CSI driver mounts the directory.
        Csi = "csi",
    }
}

choices! {
    /// Whether a new claim must fit into the free space of its share.
    FreeSpace, allowed: "ignore or require", {
        /// The free space is not read.
        Ignore = "ignore",
        /// A claim that requests more than what is free is refused.
        Require = "require",
    }
}

choices! {
    /// Whether claims may get their volumes from archives.
    ArchiveRestore, allowed: "allow or deny", {
        /// A claim that names an archive gets its directory.
        Allow = "allow",
        /// Such a claim is refused.
        Deny = "deny",
    }
}

choices! {
    /// The CSI driver that mounts the directory.
    CsiDriver, allowed: "nfs.csi.k8s.io or cephfs.csi.ceph.com", {
        /// csi-driver-nfs.
        Nfs = "nfs.csi.k8s.io",
        /// The driver of ceph-csi for CephFS.
        CephFs = "cephfs.csi.ceph.com",
    }
}

choices! {
    /// The mode and the owner of a directory that was an archive.
    RestoreAttributes, allowed: "keep or class", {
        /// Those that it had.
        Keep = "keep",
        /// Those of a new directory.
        Class = "class",
    }
}

choices! {
    /// Whether the server limits the size of a directory.
    SizeLimit, allowed: "ignore, require or set", {
        /// It may, or may not.
        Ignore = "ignore",
        /// A claim is refused if its directory has no limit of its own on the server.
        Require = "require",
        /// Bindery sets the limit: on a `CephFS` mount.
        Set = "set",
    }
}

choices! {
    /// When the volume of a claim is created.
    Provision, allowed: "onCreate or afterCreate", {
        /// During the request that creates the claim; the claim then names the volume.
        OnCreate = "onCreate",
        /// After the claim was created. The webhook only checks the request.
        AfterCreate = "afterCreate",
    }
}

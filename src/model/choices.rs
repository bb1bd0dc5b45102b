//! Class parameters with a fixed set of values.

/// What happens if the directory already exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExistingDirectory {
    /// The volume uses it, with its files.
    Adopt,
    /// The claim is refused.
    Deny,
}

impl ExistingDirectory {
    /// The value as a class parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adopt => "adopt",
            Self::Deny => "deny",
        }
    }
}

/// What happens to a claim if the NFS server does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStorageFailure {
    /// It is admitted without a volume, and gets one as soon as the server answers.
    Queue,
    /// It is refused.
    Deny,
}

impl OnStorageFailure {
    /// The value as a class parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Deny => "deny",
        }
    }
}

/// When the volume of a claim is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provision {
    /// During the request that creates the claim; the claim then names the volume.
    OnCreate,
    /// After the claim was created. The webhook only checks the request.
    AfterCreate,
}

impl Provision {
    /// The value as a class parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnCreate => "onCreate",
            Self::AfterCreate => "afterCreate",
        }
    }
}

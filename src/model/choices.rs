//! Values of class parameters that are one word of a few.

/// What is done with a directory that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExistingDirectory {
    /// It becomes the volume's, with all that is in it.
    Adopt,
    /// The claim is refused.
    Deny,
}

impl ExistingDirectory {
    /// The parameter's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adopt => "adopt",
            Self::Deny => "deny",
        }
    }
}

/// What happens to a claim whose NFS server does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStorageFailure {
    /// It is admitted without a volume, and gets one as soon as the server answers.
    Queue,
    /// It is refused.
    Deny,
}

impl OnStorageFailure {
    /// The parameter's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Deny => "deny",
        }
    }
}

/// When a claim's volume is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provision {
    /// Inside the request that creates the claim, which then names it.
    OnCreate,
    /// As soon as the claim is there. The request is only judged.
    AfterCreate,
}

impl Provision {
    /// The parameter's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnCreate => "onCreate",
            Self::AfterCreate => "afterCreate",
        }
    }
}

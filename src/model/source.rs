//! The source of a value.

/// The object that sets a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An annotation of the claim.
    Claim,
    /// An annotation of its namespace.
    Namespace,
    /// A parameter of its class.
    Class,
    /// No object: it is the default.
    Default,
}

//! Which object sets a value.

/// Whose word a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An annotation of the claim.
    Claim,
    /// An annotation of its namespace.
    Namespace,
    /// A parameter of its class.
    Class,
    /// Nobody's.
    Default,
}

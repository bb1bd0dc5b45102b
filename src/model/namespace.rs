//! Labels and annotations of a namespace.

use std::collections::BTreeMap;

/// The labels and annotations that policy reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

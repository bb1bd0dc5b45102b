//! What is wrong with a class or an annotation, told all at once.
//!
//! Whoever reads them can act on each alone: it names the key, the value and what is allowed.

use std::fmt;

use super::directory::Shown;

/// One thing that is wrong with a class or an annotation: which key, which value, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// A value that does not parse; `allowed` says what would.
    pub fn value(key: &str, value: &str, allowed: &dyn fmt::Display) -> Self {
        Self(format!("{key} is {:?}: {allowed}", Shown(value)))
    }

    /// All of them in one sentence.
    pub fn join(invalid: &[Self]) -> String {
        let texts: Vec<&str> = invalid.iter().map(|invalid| invalid.0.as_str()).collect();
        texts.join("; ")
    }
}

//! Errors in a class or an annotation.
//!
//! All errors are reported together. Each names the key, the value and what is allowed.

use std::fmt;

use super::directory::Shown;

/// One error in a class or an annotation: the key, the value, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// A value that cannot be parsed; `allowed` describes the valid values.
    pub fn value(key: &str, value: &str, allowed: &dyn fmt::Display) -> Self {
        Self(format!("{key} is {:?}: {allowed}", Shown(value)))
    }

    /// All errors in one sentence.
    pub fn join(invalid: &[Self]) -> String {
        let texts: Vec<&str> = invalid.iter().map(|invalid| invalid.0.as_str()).collect();
        texts.join("; ")
    }
}

//! Reads the annotations of a volume. An error names the annotation and its value.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::model::invalid::Invalid;

/// The annotations of a volume.
pub(super) struct Annotations<'a>(pub &'a BTreeMap<String, String>);

impl Annotations<'_> {
    pub fn invalid(&self, key: &str, error: &dyn Display) -> String {
        let value = self.0.get(key).map_or("", String::as_str);
        format!("annotation {}", Invalid::value(key, value, error))
    }

    pub fn get<T: FromStr<Err: Display>>(&self, key: &str) -> Result<Option<T>, String> {
        let value = self.0.get(key).map(|value| value.parse());
        value.transpose().map_err(|error| self.invalid(key, &error))
    }

    pub fn require<T: FromStr<Err: Display>>(&self, key: &str) -> Result<T, String> {
        self.get(key)?.ok_or_else(|| format!("annotation {key} is missing"))
    }
}

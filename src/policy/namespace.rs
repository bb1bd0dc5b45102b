//! What a namespace's annotations say about the claims in it.

use std::collections::BTreeMap;

use super::mistake::Mistake;
use super::on_delete::{self, OnDelete};
use crate::names::annotation;

/// A namespace's wishes. A namespace without annotations has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Whether its claims are ours to serve.
    pub enabled: bool,
    /// What it says about directories of claims that are gone, if anything.
    pub on_delete: Option<OnDelete>,
}

impl Namespace {
    /// Reads the annotations of a namespace. The error lists everything that is wrong.
    pub fn read(annotations: &BTreeMap<String, String>) -> Result<Self, Vec<Mistake>> {
        let written = |key| annotations.get(key).map(|value| (key, value.as_str()));
        let (on_delete, mut mistakes) =
            on_delete::read(written(annotation::ON_DELETE), written(annotation::ARCHIVE_ON_DELETE));
        let enabled = match written(annotation::ENABLED) {
            None | Some((_, "true")) => true,
            Some((_, "false")) => false,
            Some((key, other)) => {
                mistakes.push(Mistake::value(key, other, &"allowed are true or false"));
                true
            }
        };
        if mistakes.is_empty() {
            Ok(Self { enabled, on_delete })
        } else {
            Err(mistakes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(annotations: &[(&str, &str)]) -> Result<Namespace, String> {
        let annotations = annotations
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Namespace::read(&annotations).map_err(|mistakes| Mistake::join(&mistakes))
    }

    #[test]
    fn a_namespace_says_nothing_unless_it_is_annotated() {
        let nothing = Namespace {
            enabled: true,
            on_delete: None,
        };
        assert_eq!(read(&[]), Ok(nothing.clone()));
        assert_eq!(read(&[("example.com/on-delete", "nonsense")]), Ok(nothing));
    }

    #[test]
    fn annotations_in_both_dialects_count() {
        assert_eq!(
            read(&[("bindery.dev/on-delete", "retain")]).unwrap().on_delete,
            Some(OnDelete::Retain)
        );
        assert_eq!(
            read(&[("bindery.dev/archive-on-delete", "false")]).unwrap().on_delete,
            Some(OnDelete::Delete)
        );
        assert!(!read(&[("bindery.dev/enabled", "false")]).unwrap().enabled);
    }

    #[test]
    fn a_wrong_value_is_named_with_its_annotation() {
        assert_eq!(
            read(&[("bindery.dev/on-delete", "keep"), ("bindery.dev/enabled", "no")]).unwrap_err(),
            "bindery.dev/on-delete is \"keep\": allowed are delete, retain or archive; \
             bindery.dev/enabled is \"no\": allowed are true or false"
        );
    }
}

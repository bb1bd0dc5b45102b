//! What the annotations of a namespace or a claim say.
//!
//! The class decides which keys count in each of the two. One that does not count is told, not silently dropped; one that
//! is not known at all is a mistake, for a misspelt `bindery.dev/on-delete: retain` would cost data.

use std::collections::BTreeMap;

use super::key::Key;
use super::mistake::Mistake;
use super::settings::Settings;
use crate::names::{self, annotation};

/// What one object's annotations say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// What counts.
    pub settings: Settings,
    /// Keys that the class does not let this object set.
    pub ignored: Vec<Key>,
    /// What cannot be read.
    pub mistakes: Vec<Mistake>,
}

impl Said {
    /// Reads annotations; `allowed` are the keys that count.
    pub fn read(annotations: &BTreeMap<String, String>, allowed: &[Key]) -> Self {
        let mut said = Self::default();
        let mut written = Vec::new();
        for (spelt, value) in annotations.range(names::PREFIX.to_owned()..) {
            if !spelt.starts_with(names::PREFIX) {
                break;
            }
            match Key::annotated(spelt) {
                Ok(key) if allowed.contains(&key) => written.push((key, spelt.as_str(), value.as_str())),
                Ok(key) => said.ignored.push(key),
                Err(_) if spelt == annotation::ENABLED => {}
                Err(unknown) => said.mistakes.push(Mistake(unknown.to_string())),
            }
        }
        said.settings = Settings::read(&written, &mut said.mistakes);
        said
    }

    /// A warning for each key that does not count on this object.
    pub fn warnings<'a>(&'a self, object: &'a str, class: &'a str, list: Key) -> impl Iterator<Item = String> + 'a {
        self.ignored.iter().map(move |key| {
            format!(
                "{} on the {object} does not count: {list} of StorageClass {class} does not list {key}",
                key.annotation()
            )
        })
    }
}

/// Whether a namespace's claims are ours to serve. A value that is neither true nor false is a mistake.
pub fn enabled(annotations: &BTreeMap<String, String>) -> Result<bool, Mistake> {
    match annotations.get(annotation::ENABLED).map(String::as_str) {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(Mistake::value(annotation::ENABLED, other, &"allowed are true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::on_delete::OnDelete;

    fn read(annotations: &[(&str, &str)], allowed: &[Key]) -> Said {
        let annotations = annotations
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Said::read(&annotations, allowed)
    }

    #[test]
    fn an_object_says_nothing_unless_it_is_annotated() {
        assert_eq!(read(&[], &Key::ALL), Said::default());
        let others = [
            ("a.example/on-delete", "x"),
            ("bindery.dew/on-delete", "x"),
            ("zz", "x"),
            ("bindery.dev/enabled", "false"),
        ];
        assert_eq!(read(&others, &Key::ALL), Said::default());
    }

    #[test]
    fn annotations_in_both_dialects_count() {
        let on_delete = |key, value| read(&[(key, value)], &Key::ALL).settings.on_delete;
        assert_eq!(on_delete("bindery.dev/on-delete", "retain"), Some(OnDelete::Retain));
        assert_eq!(
            on_delete("bindery.dev/archive-on-delete", "false"),
            Some(OnDelete::Delete)
        );
    }

    #[test]
    fn what_the_class_does_not_allow_is_ignored_and_told() {
        let said = read(
            &[("bindery.dev/uid", "0"), ("bindery.dev/mount-permissions", "0700")],
            &[Key::MountPermissions],
        );
        assert_eq!((said.settings.uid, said.settings.mode), (None, Some(0o700)));
        let warnings: Vec<_> = said.warnings("namespace", "fast", Key::NamespaceOverrides).collect();
        let expected = "bindery.dev/uid on the namespace does not count: \
                        namespaceOverrides of StorageClass fast does not list uid";
        assert_eq!(warnings, [expected]);
    }

    #[test]
    fn a_wrong_value_and_an_unknown_key_are_mistakes() {
        let said = read(
            &[("bindery.dev/on-delet", "retain"), ("bindery.dev/gid", "wheel")],
            &Key::ALL,
        );
        assert_eq!(
            Mistake::join(&said.mistakes),
            "annotation bindery.dev/on-delet is not known: did you mean bindery.dev/on-delete?; \
             bindery.dev/gid is \"wheel\": write a number from 0 to 4294967294"
        );
    }

    #[test]
    fn a_namespace_is_enabled_unless_it_says_no() {
        let enabled = |value: &str| enabled(&[(annotation::ENABLED.to_owned(), value.to_owned())].into());
        assert_eq!((enabled("true"), enabled("false")), (Ok(true), Ok(false)));
        let wrong = enabled("no").unwrap_err();
        assert_eq!(wrong.0, "bindery.dev/enabled is \"no\": allowed are true or false");
    }
}

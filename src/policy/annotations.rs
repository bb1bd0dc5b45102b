//! Annotations of a namespace or a claim that set class parameters.
//!
//! The class lists the keys that a namespace and a claim may set. Other keys are ignored with a warning. An unknown key is
//! an error: if a misspelt `bindery.dev/on-delete: retain` were ignored, data could be lost.

use std::collections::BTreeMap;

use super::key::Key;
use super::settings::Settings;
use crate::model::invalid::Invalid;
use crate::model::names::{self, annotation};

/// The kind of object that has the annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnotatedObject {
    /// A namespace.
    Namespace,
    /// A claim.
    Claim,
}

impl AnnotatedObject {
    /// The word for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Claim => "claim",
        }
    }

    /// The class parameter that lists the keys which this object may set.
    pub fn list(self) -> Key {
        match self {
            Self::Namespace => Key::NamespaceOverrides,
            Self::Claim => Key::ClaimOverrides,
        }
    }
}

/// The annotations of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotations {
    /// The kind of object.
    pub object: AnnotatedObject,
    /// The settings that apply.
    pub settings: Settings,
    /// Annotations that are ignored on this object.
    pub ignored: Vec<Ignored>,
    /// Annotations that are not valid.
    pub invalid: Vec<Invalid>,
}

/// An annotation that is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// The class does not allow the key on this object, or no class can allow it.
    Key(Key),
    /// `bindery.dev/enabled` on a claim.
    Enabled,
}

impl Annotations {
    /// Reads annotations; `allowed` are the keys that this object may set.
    pub fn read(object: AnnotatedObject, annotations: &BTreeMap<String, String>, allowed: &[Key]) -> Self {
        let (mut ignored, mut invalid) = (Vec::new(), Vec::new());
        let mut written = Vec::new();
        for (name, value) in annotations.range(names::PREFIX.to_owned()..) {
            if !name.starts_with(names::PREFIX) {
                break;
            }
            match Key::of_annotation(name) {
                Ok(key) if allowed.contains(&key) => written.push((key, name.as_str(), value.as_str())),
                Ok(key) => ignored.push(Ignored::Key(key)),
                Err(_) if name == annotation::ENABLED => {
                    ignored.extend((object == AnnotatedObject::Claim).then_some(Ignored::Enabled));
                }
                Err(unknown) => invalid.push(Invalid(unknown.to_string())),
            }
        }
        let settings = Settings::read(&written, &mut invalid);
        invalid.extend(settings.template_error(&written));
        Self {
            object,
            settings,
            ignored,
            invalid,
        }
    }

    /// A warning for each annotation that is ignored on this object.
    pub fn warnings<'a>(&'a self, class: &'a str) -> impl Iterator<Item = String> + 'a {
        let (object, list) = (self.object.as_str(), self.object.list());
        self.ignored.iter().map(move |ignored| match ignored {
            Ignored::Key(key) if key.is_for_annotations() => format!(
                "{} on the {object} is ignored: StorageClass {class} does not list {key} in {list}; remove it, or ask \
                an administrator to allow it",
                key.annotation()
            ),
            Ignored::Key(key) => format!(
                "{} on the {object} is ignored: only a StorageClass may set {key}; remove it",
                key.annotation()
            ),
            Ignored::Enabled => format!(
                "{} on the {object} is ignored: it works on namespaces only; remove it",
                annotation::ENABLED
            ),
        })
    }
}

/// Whether Bindery serves the claims of a namespace. Any value other than `true` and `false` is an error.
pub fn enabled(annotations: &BTreeMap<String, String>) -> Result<bool, Invalid> {
    match annotations.get(annotation::ENABLED).map(String::as_str) {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(Invalid::value(annotation::ENABLED, other, &"allowed are true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::on_delete::OnDelete;

    fn read(annotations: &[(&str, &str)], allowed: &[Key]) -> Annotations {
        let annotations = annotations
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Annotations::read(AnnotatedObject::Claim, &annotations, allowed)
    }

    fn warnings(annotations: &Annotations) -> Vec<String> {
        annotations.warnings("fast").collect()
    }

    #[test]
    fn an_object_without_annotations_has_no_settings() {
        let empty = read(&[], &Key::ALL);
        assert_eq!((&empty.settings, warnings(&empty)), (&Settings::default(), vec![]));
        assert_eq!(empty.invalid, []);
        let others = [
            ("a.example/on-delete", "x"),
            ("bindery.dew/on-delete", "x"),
            ("zz", "x"),
        ];
        assert_eq!(read(&others, &Key::ALL), empty);
        let enabled = [("bindery.dev/enabled".to_owned(), "false".to_owned())].into();
        assert_eq!(
            Annotations::read(AnnotatedObject::Namespace, &enabled, &Key::ALL).ignored,
            []
        );
    }

    #[test]
    fn both_keys_of_on_delete_are_read() {
        let on_delete = |key, value| read(&[(key, value)], &Key::ALL).settings.on_delete;
        assert_eq!(on_delete("bindery.dev/on-delete", "retain"), Some(OnDelete::Retain));
        assert_eq!(
            on_delete("bindery.dev/archive-on-delete", "false"),
            Some(OnDelete::Delete)
        );
    }

    #[test]
    fn a_key_that_the_class_does_not_allow_is_ignored_with_a_warning() {
        let annotations = read(
            &[("bindery.dev/uid", "0"), ("bindery.dev/mount-permissions", "0700")],
            &[Key::MountPermissions],
        );
        assert_eq!(
            (annotations.settings.uid, annotations.settings.mode),
            (None, Some(0o700))
        );
        let expected = "bindery.dev/uid on the claim is ignored: StorageClass fast does not list uid in \
        claimOverrides; remove it, or ask an administrator to allow it";
        assert_eq!(warnings(&annotations), [expected]);
    }

    #[test]
    fn a_key_that_no_class_can_allow_is_ignored_with_a_warning() {
        let annotations = read(
            &[("bindery.dev/enabled", "false"), ("bindery.dev/server", "nas2")],
            &Key::ALL.map(|key| if key.is_for_annotations() { key } else { Key::Uid }),
        );
        assert_eq!(
            warnings(&annotations),
            [
                "bindery.dev/enabled on the claim is ignored: it works on namespaces only; remove it",
                "bindery.dev/server on the claim is ignored: only a StorageClass may set server; remove it",
            ]
        );
    }

    #[test]
    fn a_template_that_gives_no_claim_a_valid_directory_is_an_error() {
        let annotations = read(&[("bindery.dev/sub-dir", "../${pvc.metadata.name}")], &[Key::SubDir]);
        assert_eq!(
            Invalid::join(&annotations.invalid),
            "bindery.dev/sub-dir is \"../${pvc.metadata.name}\": this template gives no claim a valid directory: it \
            has the segment \"..\", which means the directory above; write the path without it"
        );
    }

    #[test]
    fn a_wrong_value_and_an_unknown_key_are_errors() {
        let annotations = read(
            &[("bindery.dev/on-delet", "retain"), ("bindery.dev/gid", "wheel")],
            &Key::ALL,
        );
        assert_eq!(
            Invalid::join(&annotations.invalid),
            "annotation bindery.dev/on-delet is not known: did you mean bindery.dev/on-delete?; \
             bindery.dev/gid is \"wheel\": write a number from 0 to 4294967294"
        );
    }

    #[test]
    fn a_namespace_is_enabled_by_default() {
        let enabled = |value: &str| enabled(&[(annotation::ENABLED.to_owned(), value.to_owned())].into());
        assert_eq!((enabled("true"), enabled("false")), (Ok(true), Ok(false)));
        let error = enabled("no").unwrap_err();
        assert_eq!(error.0, "bindery.dev/enabled is \"no\": allowed are true or false");
    }
}

//! The tokens of a template, in both syntaxes.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::names::is_label_key;

/// The syntax of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// csi-driver-nfs: `subDir`.
    SubDir,
    /// nfs-subdir-external-provisioner: `pathPattern`.
    PathPattern,
}

impl Dialect {
    /// The class parameter with this syntax.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::SubDir => "subDir",
            Self::PathPattern => "pathPattern",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::SubDir => Self::PathPattern,
            Self::PathPattern => Self::SubDir,
        }
    }
}

/// The values of the tokens for one claim.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The claim's name.
    pub claim: &'a str,
    /// The claim's namespace.
    pub namespace: &'a str,
    /// The volume's name.
    pub volume: &'a str,
    /// The claim's labels.
    pub labels: &'a BTreeMap<String, String>,
    /// The claim's annotations.
    pub annotations: &'a BTreeMap<String, String>,
    /// The namespace's labels.
    pub namespace_labels: &'a BTreeMap<String, String>,
    /// The namespace's annotations.
    pub namespace_annotations: &'a BTreeMap<String, String>,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// The claim's name.
    ClaimName,
    /// The claim's namespace.
    ClaimNamespace,
    /// The volume's name.
    VolumeName,
    /// A label of the claim.
    ClaimLabel(String),
    /// An annotation of the claim.
    ClaimAnnotation(String),
    /// A label of the namespace.
    NamespaceLabel(String),
    /// An annotation of the namespace.
    NamespaceAnnotation(String),
}

impl Token {
    /// Functions that make each token from the key of a label or annotation. Tokens without a key ignore it.
    const ALL: [fn(String) -> Self; 7] = [
        |_| Self::ClaimName,
        |_| Self::ClaimNamespace,
        |_| Self::VolumeName,
        Self::ClaimLabel,
        Self::ClaimAnnotation,
        Self::NamespaceLabel,
        Self::NamespaceAnnotation,
    ];

    /// Reads the text between `${` and `}`.
    pub(super) fn parse(text: &str, dialect: Dialect) -> Option<Self> {
        Self::ALL.into_iter().find_map(|of_key| {
            let (before, after) = of_key(String::new()).spelling(dialect)?;
            let key = text.strip_prefix(before)?.strip_suffix(after)?;
            let token = of_key(key.to_owned());
            (token.key().is_some() || key.is_empty()).then_some(token)
        })
    }

    /// The text between `${` and `}`, as two parts: before the key, and after it. `None` if the syntax does not have the
    /// token.
    fn spelling(&self, dialect: Dialect) -> Option<(&'static str, &'static str)> {
        use Dialect::{PathPattern, SubDir};
        Some(match (self, dialect) {
            (Self::ClaimName, SubDir) => ("pvc.metadata.name", ""),
            (Self::ClaimName, PathPattern) => (".PVC.name", ""),
            (Self::ClaimNamespace, SubDir) => ("pvc.metadata.namespace", ""),
            (Self::ClaimNamespace, PathPattern) => (".PVC.namespace", ""),
            (Self::VolumeName, SubDir) => ("pv.metadata.name", ""),
            (Self::VolumeName, PathPattern) => (".PV.name", ""),
            (Self::ClaimLabel(_), SubDir) => ("pvc.metadata.labels['", "']"),
            (Self::ClaimLabel(_), PathPattern) => (".PVC.labels.", ""),
            (Self::ClaimAnnotation(_), SubDir) => ("pvc.metadata.annotations['", "']"),
            (Self::ClaimAnnotation(_), PathPattern) => (".PVC.annotations.", ""),
            (Self::NamespaceLabel(_), SubDir) => ("namespace.metadata.labels['", "']"),
            (Self::NamespaceAnnotation(_), SubDir) => ("namespace.metadata.annotations['", "']"),
            (Self::NamespaceLabel(_) | Self::NamespaceAnnotation(_), PathPattern) => return None,
        })
    }

    /// The token as it is written in a template.
    pub(super) fn written(&self, dialect: Dialect) -> Option<String> {
        let (before, after) = self.spelling(dialect)?;
        Some(format!("${{{before}{}{after}}}", self.key().unwrap_or_default()))
    }

    fn key(&self) -> Option<&str> {
        match self {
            Self::ClaimName | Self::ClaimNamespace | Self::VolumeName => None,
            Self::ClaimLabel(key)
            | Self::ClaimAnnotation(key)
            | Self::NamespaceLabel(key)
            | Self::NamespaceAnnotation(key) => Some(key),
        }
    }

    /// The key of the label or annotation, if the key is not valid in Kubernetes.
    pub(super) fn invalid_key(&self) -> Option<&str> {
        let is_annotation = matches!(self, Self::ClaimAnnotation(_) | Self::NamespaceAnnotation(_));
        // In annotation keys, Kubernetes allows upper case before the slash.
        let is_valid = |key: &str| is_label_key(key) || is_annotation && is_label_key(&key.to_ascii_lowercase());
        self.key().filter(|key| !is_valid(key))
    }

    /// Whether the value may be a path of several segments.
    pub(super) fn is_a_path(&self) -> bool {
        matches!(self, Self::ClaimAnnotation(_) | Self::NamespaceAnnotation(_))
    }

    pub(super) fn value<'a>(&self, values: &Values<'a>) -> Option<&'a str> {
        let get = |map: &'a BTreeMap<String, String>, key: &str| map.get(key).map(String::as_str);
        match self {
            Self::ClaimName => Some(values.claim),
            Self::ClaimNamespace => Some(values.namespace),
            Self::VolumeName => Some(values.volume),
            Self::ClaimLabel(key) => get(values.labels, key),
            Self::ClaimAnnotation(key) => get(values.annotations, key),
            Self::NamespaceLabel(key) => get(values.namespace_labels, key),
            Self::NamespaceAnnotation(key) => get(values.namespace_annotations, key),
        }
    }
}

/// The name of the value, for messages.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClaimName => f.write_str("the claim's name"),
            Self::ClaimNamespace => f.write_str("the claim's namespace"),
            Self::VolumeName => f.write_str("the volume's name"),
            Self::ClaimLabel(key) => write!(f, "label {key} of the claim"),
            Self::ClaimAnnotation(key) => write!(f, "annotation {key} of the claim"),
            Self::NamespaceLabel(key) => write!(f, "label {key} of the namespace"),
            Self::NamespaceAnnotation(key) => write!(f, "annotation {key} of the namespace"),
        }
    }
}

/// All tokens of a syntax, for messages.
pub(super) fn known(dialect: Dialect) -> String {
    let written = Token::ALL
        .into_iter()
        .filter_map(|of_key| of_key("KEY".to_owned()).written(dialect));
    written.collect::<Vec<_>>().join(", ")
}

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

/// What a token stands for.
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
    pub(super) fn parse(name: &str, dialect: Dialect) -> Option<Self> {
        match dialect {
            Dialect::SubDir => Self::parse_sub_dir(name),
            Dialect::PathPattern => Self::parse_path_pattern(name),
        }
    }

    fn parse_sub_dir(name: &str) -> Option<Self> {
        match name {
            "pvc.metadata.name" => return Some(Self::ClaimName),
            "pvc.metadata.namespace" => return Some(Self::ClaimNamespace),
            "pv.metadata.name" => return Some(Self::VolumeName),
            _ => {}
        }
        let (map, key) = name.strip_suffix("']")?.split_once("['")?;
        let key = key.to_owned();
        match map {
            "pvc.metadata.labels" => Some(Self::ClaimLabel(key)),
            "pvc.metadata.annotations" => Some(Self::ClaimAnnotation(key)),
            "namespace.metadata.labels" => Some(Self::NamespaceLabel(key)),
            "namespace.metadata.annotations" => Some(Self::NamespaceAnnotation(key)),
            _ => None,
        }
    }

    fn parse_path_pattern(name: &str) -> Option<Self> {
        match name {
            ".PVC.name" => return Some(Self::ClaimName),
            ".PVC.namespace" => return Some(Self::ClaimNamespace),
            ".PV.name" => return Some(Self::VolumeName),
            _ => {}
        }
        let key = |prefix| name.strip_prefix(prefix).map(str::to_owned);
        key(".PVC.labels.")
            .map(Self::ClaimLabel)
            .or_else(|| key(".PVC.annotations.").map(Self::ClaimAnnotation))
    }

    /// The key of the label or annotation, if that is not valid in Kubernetes.
    pub(super) fn impossible_key(&self) -> Option<&str> {
        match self {
            Self::ClaimName | Self::ClaimNamespace | Self::VolumeName => None,
            Self::ClaimLabel(key) | Self::NamespaceLabel(key) => Some(key.as_str()).filter(|key| !is_label_key(key)),
            // In annotation keys, Kubernetes allows upper case before the slash.
            Self::ClaimAnnotation(key) | Self::NamespaceAnnotation(key) => {
                Some(key.as_str()).filter(|key| !is_label_key(&key.to_ascii_lowercase()))
            }
        }
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

    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, dialect: Dialect) -> fmt::Result {
        use Dialect::{PathPattern, SubDir};
        match (self, dialect) {
            (Self::ClaimName, SubDir) => f.write_str("${pvc.metadata.name}"),
            (Self::ClaimName, PathPattern) => f.write_str("${.PVC.name}"),
            (Self::ClaimNamespace, SubDir) => f.write_str("${pvc.metadata.namespace}"),
            (Self::ClaimNamespace, PathPattern) => f.write_str("${.PVC.namespace}"),
            (Self::VolumeName, SubDir) => f.write_str("${pv.metadata.name}"),
            (Self::VolumeName, PathPattern) => f.write_str("${.PV.name}"),
            (Self::ClaimLabel(key), SubDir) => write!(f, "${{pvc.metadata.labels['{key}']}}"),
            (Self::ClaimLabel(key), PathPattern) => write!(f, "${{.PVC.labels.{key}}}"),
            (Self::ClaimAnnotation(key), SubDir) => write!(f, "${{pvc.metadata.annotations['{key}']}}"),
            (Self::ClaimAnnotation(key), PathPattern) => write!(f, "${{.PVC.annotations.{key}}}"),
            (Self::NamespaceLabel(key), _) => write!(f, "${{namespace.metadata.labels['{key}']}}"),
            (Self::NamespaceAnnotation(key), _) => write!(f, "${{namespace.metadata.annotations['{key}']}}"),
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
pub(super) fn known(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::SubDir => {
            "${pvc.metadata.name}, ${pvc.metadata.namespace}, ${pv.metadata.name}, ${pvc.metadata.labels['KEY']}, \
             ${pvc.metadata.annotations['KEY']}, ${namespace.metadata.labels['KEY']}, ${namespace.metadata.annotations['KEY']}"
        }
        Dialect::PathPattern => {
            "${.PVC.name}, ${.PVC.namespace}, ${.PV.name}, ${.PVC.labels.KEY}, ${.PVC.annotations.KEY}"
        }
    }
}

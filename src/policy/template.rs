//! Directory templates, in the two dialects of the field.
//!
//! `${pvc.metadata.namespace}/${pvc.metadata.labels['app']}` (csi-driver-nfs, parameter `subDir`) and
//! `${.PVC.namespace}/${.PVC.labels.app}` (nfs-subdir-external-provisioner, parameter `pathPattern`) are one template.
//! `$$` is a dollar sign. A template is parsed once, and expanded for each claim; a value that a claim does not have is
//! an error, never an empty string (but see [`Template::forgiving`]), and what comes out is checked as a [`Directory`] segment by segment.

use std::collections::BTreeMap;
use std::fmt;

use super::directory::{Directory, NotADirectory};

/// A parsed template. Prints as it is written in its dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    dialect: Dialect,
    pieces: Vec<Piece>,
    forgiving: bool,
}

/// How tokens are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// csi-driver-nfs: `subDir`.
    SubDir,
    /// nfs-subdir-external-provisioner: `pathPattern`.
    PathPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Token(Token),
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

/// What the tokens of one claim stand for.
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

/// A template that cannot be parsed: what is wrong, and the character where (counted from 1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("character {at}: {wrong}")]
pub struct NotATemplate {
    /// Where.
    pub at: usize,
    /// What.
    pub wrong: Wrong,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// There is nothing.
    #[error("the template is empty")]
    Empty,
    /// A `$` that begins nothing.
    #[error("a lone $; write $$ for a dollar sign, ${{...}} for a value")]
    LoneDollar,
    /// `${` without `}`.
    #[error("${{ without }}")]
    Open,
    /// No such token.
    #[error("${{{0}}} is not known; known are {known}", known = known(*.1))]
    Unknown(String, Dialect),
}

/// A claim for which a template gives no directory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDirectory {
    /// The claim or its namespace has no such label or annotation.
    #[error("{0} is needed for the directory and is not set")]
    Missing(Token),
    /// A value that may not bring further segments brings one.
    #[error("{0} is {1:?}: a slash is not allowed in it")]
    Slash(Token, String),
    /// The result is no directory below the share.
    #[error(transparent)]
    NotADirectory(#[from] NotADirectory),
}

impl Template {
    /// Parses a template.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, NotATemplate> {
        let wrong = |rest: &str, wrong| NotATemplate {
            at: text[..text.len() - rest.len()].chars().count() + 1,
            wrong,
        };
        if text.is_empty() {
            return Err(wrong(text, Wrong::Empty));
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            literal.push_str(&rest[..dollar]);
            rest = &rest[dollar..];
            if let Some(after) = rest.strip_prefix("$$") {
                literal.push('$');
                rest = after;
                continue;
            }
            let inner = rest.strip_prefix("${").ok_or_else(|| wrong(rest, Wrong::LoneDollar))?;
            let (name, after) = inner.split_once('}').ok_or_else(|| wrong(rest, Wrong::Open))?;
            let token = Token::parse(name, dialect);
            let token = token.ok_or_else(|| wrong(rest, Wrong::Unknown(name.to_owned(), dialect)))?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Token(token));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self {
            dialect,
            pieces,
            forgiving: false,
        })
    }

    /// The same as nfs-subdir-external-provisioner means it: a value that a claim does not have is empty, and slashes too
    /// many and `.` go before the result is checked.
    pub fn forgiving(self) -> Self {
        Self {
            forgiving: true,
            ..self
        }
    }

    /// Whether it is.
    pub fn is_forgiving(&self) -> bool {
        self.forgiving
    }

    /// What it needs and this claim does not have.
    pub fn missing<'a>(&'a self, values: &'a Values<'_>) -> impl Iterator<Item = &'a Token> {
        self.tokens().filter(|token| token.value(values).is_none())
    }

    /// Whether nothing at all comes out for this claim.
    pub fn comes_to_nothing(&self, values: &Values<'_>) -> bool {
        self.fill(values).is_ok_and(|path| path.is_empty())
    }

    /// The template of a class that names none: `<namespace>-<claim>-<volume>`.
    pub fn standard() -> Self {
        let text = |text: &str| Piece::Text(text.to_owned());
        let (namespace, claim, volume) = (Token::ClaimNamespace, Token::ClaimName, Token::VolumeName);
        Self {
            dialect: Dialect::SubDir,
            pieces: vec![
                Piece::Token(namespace),
                text("-"),
                Piece::Token(claim),
                text("-"),
                Piece::Token(volume),
            ],
            forgiving: false,
        }
    }

    /// The directory of one claim.
    pub fn expand(&self, values: &Values<'_>) -> Result<Directory, NoDirectory> {
        let path = self.fill(values)?;
        if self.forgiving {
            let segments: Vec<&str> = path
                .split('/')
                .filter(|segment| !matches!(*segment, "" | "."))
                .collect();
            if !segments.is_empty() {
                return Ok(Directory::parse(&segments.join("/"))?);
            }
        }
        Ok(Directory::parse(&path)?)
    }

    fn fill(&self, values: &Values<'_>) -> Result<String, NoDirectory> {
        let mut path = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Token(token) => {
                    let value = token.value(values).or(self.forgiving.then_some(""));
                    let value = value.ok_or_else(|| NoDirectory::Missing(token.clone()))?;
                    if value.contains('/') && !token.is_a_path() {
                        return Err(NoDirectory::Slash(token.clone(), value.to_owned()));
                    }
                    path.push_str(value);
                }
            }
        }
        Ok(path)
    }

    /// Whether each volume gets a directory of its own: the volume's name is in it.
    pub fn is_unique(&self) -> bool {
        self.tokens().any(|token| *token == Token::VolumeName)
    }

    /// Whether a directory that is there already can only belong to the claim's own namespace: the namespace is a whole
    /// segment, and nothing before it can be chosen by a claim, or bring segments of its own.
    pub fn keeps_namespaces_apart(&self) -> bool {
        let mut segment = Vec::new();
        let ends_in_the_namespace = |segment: &[&Piece]| matches!(segment, [Piece::Token(Token::ClaimNamespace)]);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => {
                    if text.starts_with('/') && ends_in_the_namespace(&segment) {
                        return true;
                    }
                    // What stands after the last slash begins the next segment.
                    match text.rsplit_once('/') {
                        Some((_, "")) => segment.clear(),
                        Some(_) => segment = vec![piece],
                        None => segment.push(piece),
                    }
                }
                Piece::Token(Token::ClaimNamespace | Token::NamespaceLabel(_) | Token::VolumeName) => {
                    segment.push(piece);
                }
                Piece::Token(
                    Token::ClaimName | Token::ClaimLabel(_) | Token::ClaimAnnotation(_) | Token::NamespaceAnnotation(_),
                ) => return false,
            }
        }
        ends_in_the_namespace(&segment)
    }

    fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Token(token) => Some(token),
            Piece::Text(_) => None,
        })
    }
}

impl Token {
    fn parse(name: &str, dialect: Dialect) -> Option<Self> {
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
        let key = (!key.is_empty()).then(|| key.to_owned())?;
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
        let key = |prefix| {
            name.strip_prefix(prefix)
                .filter(|key| !key.is_empty())
                .map(str::to_owned)
        };
        key(".PVC.labels.")
            .map(Self::ClaimLabel)
            .or_else(|| key(".PVC.annotations.").map(Self::ClaimAnnotation))
    }

    /// Whether its value stands for a path, so that it may bring several segments.
    fn is_a_path(&self) -> bool {
        matches!(self, Self::ClaimAnnotation(_) | Self::NamespaceAnnotation(_))
    }

    fn value<'a>(&self, values: &Values<'a>) -> Option<&'a str> {
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

    fn write(&self, f: &mut fmt::Formatter<'_>, dialect: Dialect) -> fmt::Result {
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

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(&text.replace('$', "$$"))?,
                Piece::Token(token) => token.write(f, self.dialect)?,
            }
        }
        Ok(())
    }
}

/// In words, for people.
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

fn known(dialect: Dialect) -> &'static str {
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

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;

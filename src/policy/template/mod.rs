//! Directory templates, in two syntaxes.
//!
//! `${pvc.metadata.namespace}/${pvc.metadata.labels['app']}` (csi-driver-nfs, parameter `subDir`) and
//! `${.PVC.namespace}/${.PVC.labels.app}` (nfs-subdir-external-provisioner, parameter `pathPattern`) are the same
//! template. `$$` is a dollar sign. The character after a backslash is text. Text that looks like a token is an error: it
//! would be the same for all claims. A template is parsed once, and expanded for each claim. A value that a
//! claim does not have is an error, not an empty string (except for [`Template::lenient`]). The result is checked as
//! a [`Directory`], segment by segment.

mod look_alike;
mod parse;
mod token;

use std::fmt;

pub use self::parse::{NotATemplate, Problem};
pub use self::token::{Dialect, Token, Values};
use crate::model::directory::{Directory, NotADirectory, Shown, WrongPath, normal};

/// A parsed template. It is printed in its own syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    dialect: Dialect,
    pieces: Vec<Piece>,
    /// Whether the rules of nfs-subdir-external-provisioner apply: see [`Template::lenient`].
    lenient: bool,
    /// Whether this is the standard template. A result that is too long for one name is then cut.
    standard: bool,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Token(Token),
}

/// Why a template gives no directory for a claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDirectory {
    /// The claim or its namespace does not have these labels or annotations.
    #[error("{}", missing(.0))]
    Missing(Vec<Token>),
    /// The value contains a slash, but must be part of one segment.
    #[error("{0} is {shown:?}: a slash is not allowed in it", shown = Shown(.1))]
    Slash(Token, String),
    /// The value of this annotation is not a path below the share.
    #[error("{0} is {shown:?}, which {2}", shown = Shown(.1))]
    Value(Token, String, WrongPath),
    /// The result is not a directory below the share.
    #[error(transparent)]
    NotADirectory(#[from] NotADirectory),
}

impl Template {
    /// The same template with the rules of nfs-subdir-external-provisioner: a missing value is empty, and extra slashes and
    /// segments `.` are removed before the result is checked.
    pub fn lenient(self) -> Self {
        Self { lenient: true, ..self }
    }

    /// The template for one claim. If the rules of nfs-subdir-external-provisioner apply, adds a warning for each missing
    /// value, and uses the standard directory if the path is empty, as that program does.
    pub fn for_claim(self, values: &Values<'_>, warnings: &mut Vec<String>) -> Self {
        if !self.lenient {
            return self;
        }
        let missing = self.tokens().filter(|token| token.value(values).is_none());
        warnings.extend(missing.map(|token| format!("{token} is not set and is left empty in {self}")));
        let path = self.fill(|token| token.value(values));
        if path.is_ok_and(|path| path.is_empty()) {
            return Self::standard();
        }
        self
    }

    /// Whether a text contains a token, in any syntax, also a misspelt one.
    pub fn is_in(text: &str) -> bool {
        let mut rest = text;
        while let Some((start, length)) = look_alike::find(rest) {
            let (found, after) = rest[start..].split_at(length);
            if look_alike::guess(found).is_some() {
                return true;
            }
            rest = after;
        }
        false
    }

    /// Checks whether at least one claim can get a directory: tries valid values, then empty ones. The error says what is
    /// wrong with the result.
    pub fn check(&self) -> Result<(), WrongPath> {
        let with = |value| match self.fill(|_| Some(value)).map(|path| self.parse_path(&path)) {
            Ok(Err(NotADirectory(_, error))) => Err(error),
            Ok(Ok(_)) | Err(_) => Ok(()),
        };
        with("x").or_else(|error| with("").map_err(|_| error))
    }

    /// The template of a class that sets no template: `<namespace>-<claim>-<volume>`. If the result is too long for one
    /// name, the part before the volume's name is cut and gets a hash. So every claim gets a directory.
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
            lenient: false,
            standard: true,
        }
    }

    /// The directory of one claim.
    pub fn expand(&self, values: &Values<'_>) -> Result<Directory, NoDirectory> {
        let mut path = self.fill(|token| token.value(values))?;
        if self.standard {
            path = Directory::fit(&path, &format!("-{}", values.volume));
        }
        self.parse_path(&path).map_err(|error| self.cause(error, values))
    }

    /// Returns the error of a path. Names the annotation whose value has the same error, if there is one.
    fn cause(&self, error: NotADirectory, values: &Values<'_>) -> NoDirectory {
        let paths = self.tokens().filter(|token| token.is_a_path());
        let invalid = paths
            .filter_map(|token| Some((token, token.value(values)?)))
            .find(|(_, value)| matches!(self.parse_path(value), Err(NotADirectory(_, also)) if also == error.1));
        match invalid {
            Some((token, value)) => NoDirectory::Value(token.clone(), value.to_owned(), error.1),
            None => NoDirectory::NotADirectory(error),
        }
    }

    fn parse_path(&self, path: &str) -> Result<Directory, NotADirectory> {
        if self.lenient {
            let segments: Vec<&str> = path
                .split('/')
                .filter(|segment| !matches!(*segment, "" | "."))
                .collect();
            if !segments.is_empty() {
                return Directory::parse(&segments.join("/"));
            }
        }
        Directory::parse(&normal(path))
    }

    fn fill<'a>(&self, value: impl Fn(&Token) -> Option<&'a str>) -> Result<String, NoDirectory> {
        let missing: Vec<Token> = self.tokens().filter(|token| value(token).is_none()).cloned().collect();
        if !missing.is_empty() && !self.lenient {
            return Err(NoDirectory::Missing(missing));
        }
        let mut path = String::new();
        for (index, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Text(text) if self.lenient => path.push_str(text),
                Piece::Text(text) => {
                    // Only slashes of the template are removed: with an empty value at an end, the path stays invalid, and
                    // does not become the directory above.
                    let text = if index == 0 { text.trim_start_matches('/') } else { text };
                    let is_last = index + 1 == self.pieces.len();
                    path.push_str(if is_last { text.trim_end_matches('/') } else { text });
                }
                Piece::Token(token) => {
                    let value = value(token).unwrap_or_default();
                    if value.contains('/') && !token.is_a_path() {
                        return Err(NoDirectory::Slash(token.clone(), value.to_owned()));
                    }
                    path.push_str(value.trim_matches('/'));
                }
            }
        }
        Ok(path)
    }

    /// Whether each volume gets a directory of its own, because the directory contains the volume's name.
    pub fn is_unique(&self) -> bool {
        self.tokens().any(|token| *token == Token::VolumeName)
    }

    /// Whether each directory can belong to only one namespace: the namespace is a whole segment, and before it there is no
    /// token that a claim can choose or that can add segments.
    pub fn separates_namespaces(&self) -> bool {
        let mut segment = Vec::new();
        let is_the_namespace = |segment: &[&Piece]| matches!(segment, [Piece::Token(Token::ClaimNamespace)]);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => {
                    if text.starts_with('/') && is_the_namespace(&segment) {
                        return true;
                    }
                    // The text after the last slash starts the next segment.
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
        is_the_namespace(&segment)
    }

    fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Token(token) => Some(token),
            Piece::Text(_) => None,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(&Self::escape(text))?,
                Piece::Token(token) => f.write_str(&token.written(self.dialect).unwrap_or_default())?,
            }
        }
        Ok(())
    }
}

fn missing(tokens: &[Token]) -> String {
    let mut names: Vec<String> = tokens.iter().map(Token::to_string).collect();
    names.dedup();
    match names.pop() {
        Some(last) if !names.is_empty() => {
            format!(
                "{} and {last} are needed for the directory and are not set",
                names.join(", ")
            )
        }
        last => format!(
            "{} is needed for the directory and is not set",
            last.unwrap_or_default()
        ),
    }
}

#[cfg(test)]
mod tests;

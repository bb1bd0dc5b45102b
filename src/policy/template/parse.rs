//! Parses the text of a template.

use super::token::known;
use super::{Dialect, Piece, Template, Token};
use crate::model::directory::Shown;

/// The text is not a valid template: the error, and the position of the character (starting at 1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("character {at}: {problem}")]
pub struct NotATemplate {
    /// The position.
    pub at: usize,
    /// The error.
    pub problem: Problem,
}

/// An error in a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The text is empty.
    #[error("the template is empty")]
    Empty,
    /// A `$` without `{` or a second `$`.
    #[error("a lone $; write $$ for a dollar sign, ${{...}} for a value")]
    LoneDollar,
    /// `${` without `}`.
    #[error("${{ without }}")]
    Open,
    /// An unknown token.
    #[error("${{{0}}} is not known; known are {known}", known = known(*.1))]
    Unknown(String, Dialect),
    /// A label or annotation key that is not valid in Kubernetes.
    #[error(
        "{:?} is not a valid label or annotation key: write letters, digits, -, _ and . (63 at most), after a DNS name \
        and / if needed",
        Shown(.0)
    )]
    Key(String),
}

impl Template {
    /// Parses a template.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, NotATemplate> {
        let invalid = |rest: &str, problem| NotATemplate {
            at: text[..text.len() - rest.len()].chars().count() + 1,
            problem,
        };
        if text.is_empty() {
            return Err(invalid(text, Problem::Empty));
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
            let inner = rest
                .strip_prefix("${")
                .ok_or_else(|| invalid(rest, Problem::LoneDollar))?;
            let (name, after) = inner.split_once('}').ok_or_else(|| invalid(rest, Problem::Open))?;
            let token = Token::parse(name, dialect);
            let token = token.ok_or_else(|| invalid(rest, Problem::Unknown(name.to_owned(), dialect)))?;
            if let Some(key) = token.invalid_key() {
                return Err(invalid(rest, Problem::Key(key.to_owned())));
            }
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
            standard: false,
        })
    }
}

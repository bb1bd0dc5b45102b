//! Parses the text of a template.

use super::look_alike::{self, BRACKETS, guess};
use super::token::known;
use super::{Dialect, Piece, Template, Token};
use crate::model::directory::Shown;

/// The error of a text that is not a valid template, and its position: the number of the character, from 1.
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
    /// A `$` that is not followed by `{` or `$`.
    #[error("a $ without {{ after it; write $$ for a dollar sign, ${{...}} for a value{}", meant(.0.as_ref(), *.1))]
    Dollar(Option<Token>, Dialect),
    /// `${` without `}`.
    #[error("${{ without }}")]
    Open,
    /// A backslash at the end.
    #[error("a backslash at the end; write \\\\ for a backslash")]
    Backslash,
    /// An unknown token.
    #[error("${{{0}}} is not known{meant}; known are {known}", meant = meant(guess(.0).as_ref(), *.1), known = known(*.1))]
    Unknown(String, Dialect),
    /// A token of the other syntax.
    #[error("{}", other_dialect(.0, *.1))]
    OtherDialect(Token, Dialect),
    /// Text that looks like a token.
    #[error(
        "{0} is not a value but text, the same for every claim{meant}; to write it as text, put a backslash before \
        each special character, such as \\{{",
        meant = meant(guess(.0).as_ref(), *.1)
    )]
    LookAlike(String, Dialect),
    /// A label or annotation key that is not valid in Kubernetes.
    #[error(
        "{:?} is not a valid label or annotation key: write letters, digits, -, _ and . (63 at most), after a DNS name \
        and / if needed",
        Shown(.0)
    )]
    Key(String),
}

/// The end of a message, which names the token that was probably intended.
fn meant(token: Option<&Token>, dialect: Dialect) -> String {
    match token.map(|token| (token, token.written(dialect))) {
        None => String::new(),
        Some((_, Some(written))) => format!("; did you mean {written}?"),
        Some((token, None)) => format!(" ({token} is a value in {} only)", dialect.other().key()),
    }
}

fn other_dialect(token: &Token, dialect: Dialect) -> String {
    let other = dialect.other();
    let written = token.written(other).unwrap_or_default();
    match token.written(dialect) {
        Some(here) => format!(
            "{written} is the syntax of {}; in {}, write {here}",
            other.key(),
            dialect.key()
        ),
        None => format!(
            "{written} is a value in {} only; set {} instead",
            other.key(),
            other.key()
        ),
    }
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
        let end = |run: &mut Run, rest: &str| {
            let error = |(back, problem)| invalid(&text[text.len() - rest.len() - back..], problem);
            run.end(dialect).map_err(error)
        };
        let mut pieces = Vec::new();
        let mut run = Run::default();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if c == '\\' {
                let escaped = rest[1..].chars().next();
                let escaped = escaped.ok_or_else(|| invalid(rest, Problem::Backslash))?;
                rest = run.take(rest, 1 + escaped.len_utf8(), escaped);
            } else if rest.starts_with("$$") {
                rest = run.take(rest, 2, '$');
            } else if c != '$' {
                rest = run.take(rest, c.len_utf8(), c);
            } else {
                pieces.extend(end(&mut run, rest)?);
                let (token, after) = token(rest, dialect).map_err(|problem| invalid(rest, problem))?;
                pieces.push(Piece::Token(token));
                rest = after;
            }
        }
        pieces.extend(end(&mut run, rest)?);
        Ok(Self {
            dialect,
            pieces,
            lenient: false,
            standard: false,
        })
    }

    /// Escapes a text, so that [`Template::parse`] reads it as text.
    pub fn escape(text: &str) -> String {
        let looks_like_a_token = look_alike::find(text).is_some();
        let mut escaped = String::new();
        for c in text.chars() {
            let is_special =
                BRACKETS.contains(&c) || c == '\\' || (looks_like_a_token && c.is_ascii_punctuation() && c != '/');
            match c {
                '$' => escaped.push_str("$$"),
                c if is_special => escaped.extend(['\\', c]),
                c => escaped.push(c),
            }
        }
        escaped
    }
}

/// Text between two tokens.
#[derive(Default)]
struct Run {
    text: String,
    /// The source, with a NUL for each byte of a backslash and of the character after it.
    plain: String,
}

impl Run {
    /// Adds a character that takes `length` bytes of the source, and returns the rest of the source.
    fn take<'a>(&mut self, source: &'a str, length: usize, c: char) -> &'a str {
        self.text.push(c);
        let (written, rest) = source.split_at(length);
        if written.starts_with('\\') {
            self.plain.extend(std::iter::repeat_n('\0', length));
        } else {
            self.plain.push_str(written);
        }
        rest
    }

    /// Ends the text. The error contains its distance from the end of the text, in bytes.
    fn end(&mut self, dialect: Dialect) -> Result<Option<Piece>, (usize, Problem)> {
        let Self { text, plain } = std::mem::take(self);
        if let Some((start, length)) = look_alike::find(&plain) {
            let written = plain[start..start + length].to_owned();
            return Err((plain.len() - start, Problem::LookAlike(written, dialect)));
        }
        Ok(Some(Piece::Text(text)).filter(|_| !plain.is_empty()))
    }
}

/// Reads the token at the beginning of a text, and returns the text after it.
fn token(text: &str, dialect: Dialect) -> Result<(Token, &str), Problem> {
    let Some(inner) = text.strip_prefix("${") else {
        let name = text[1..].split(['/', ')', '$']).next().unwrap_or_default();
        return Err(Problem::Dollar(guess(name), dialect));
    };
    let (name, after) = inner.split_once('}').ok_or(Problem::Open)?;
    let Some(token) = Token::parse(name, dialect) else {
        return Err(match Token::parse(name, dialect.other()) {
            Some(token) => Problem::OtherDialect(token, dialect),
            None => Problem::Unknown(name.to_owned(), dialect),
        });
    };
    match token.invalid_key() {
        Some(key) => Err(Problem::Key(key.to_owned())),
        None => Ok((token, after)),
    }
}

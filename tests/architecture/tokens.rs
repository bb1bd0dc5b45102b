//! Splits Rust source into tokens, as far as imports need them.

/// A token, and the line that it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub line: usize,
    pub text: String,
}

impl Token {
    /// Whether it is an identifier or a keyword.
    pub fn is_word(&self) -> bool {
        self.text.starts_with(is_word_character)
    }
}

/// Returns the words, `::`, and single punctuation characters of a source. Comments, lifetimes and the content of
/// literals are left out: a string is the token `""`.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = length_of_next(rest, first);
        let (text, after) = rest.split_at(length);
        let meaning = match first {
            _ if text.starts_with("//") || text.starts_with("/*") || first.is_whitespace() => None,
            '\'' => None,
            _ if text.ends_with(['"', '#']) && text.len() > 1 => Some("\"\""),
            _ => Some(text),
        };
        if let Some(text) = meaning {
            tokens.push(Token {
                line,
                text: text.to_owned(),
            });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

fn length_of_next(rest: &str, first: char) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if let Some(length) = string(rest) {
        return length;
    }
    if first == '\'' {
        return quote(rest);
    }
    if is_word_character(first) {
        return rest.find(|c| !is_word_character(c)).unwrap_or(rest.len());
    }
    if rest.starts_with("::") {
        return 2;
    }
    first.len_utf8()
}

fn is_word_character(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Returns the length of a block comment, which may contain other block comments.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Returns the length of a string literal of any kind, if this is one.
fn string(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        rest.strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with(['"', '#']))
    })?;
    let body = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let content = body[hashes..].strip_prefix('"')?;
        let length = content.find(&end).map_or(content.len(), |at| at + end.len());
        return Some(prefix.len() + hashes + 1 + length);
    }
    let content = body.strip_prefix('"')?;
    let mut escaped = false;
    let end = content.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    Some(prefix.len() + 1 + end.map_or(content.len(), |at| at + 1))
}

/// Returns the length of a lifetime or of a character literal.
fn quote(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    let Some((at, first)) = characters.next() else { return 1 };
    let literal = first == '\\' || rest[at + first.len_utf8()..].starts_with('\'');
    if !literal {
        return 1 + rest[1..].find(|c| !is_word_character(c)).unwrap_or(rest.len() - 1);
    }
    // The character after a backslash may be a quote.
    let from = if first == '\\' { at + 2 } else { at + first.len_utf8() };
    rest[from..].find('\'').map_or(rest.len(), |end| from + end + 1)
}

//! Text that looks like a token but is not one: tokens of other programs, and misspelt tokens.
//!
//! Such text would be the same for all claims, so all claims would have the same directory.

use super::Token;

/// Characters that may surround a name in templates of other programs: `{{ .PVC.name }}`, `$(PVC_NAME)`, `<namespace>`.
const AROUND: &[char] = &[
    '$', '{', '}', '<', '>', '(', ')', '[', ']', '%', '@', '#', '_', '.', ' ', '\t', '\'', '"',
];
/// Brackets that text must not have without a backslash.
pub(super) const BRACKETS: &[char] = &['{', '}', '<', '>'];
/// Signs that may stand before an opening bracket.
const BEFORE: &[char] = &['$', '%', '#', '@'];
/// Pairs of brackets that text may have, unless the text between them is the name of a value.
const PAIRS: [(&str, &str); 5] = [("(", ")"), ("[", "]"), ("%", "%"), ("@", "@"), ("__", "__")];
/// Parts of tokens that are refused even without brackets.
const WORDS: [&str; 11] = [
    "pvc.metadata",
    "pvc.name",
    "pvc.label",
    "pvc.annotation",
    "pvc_name",
    "pv.metadata",
    "pv.name",
    "pv_name",
    "namespace.metadata",
    "namespace.label",
    "namespace.annotation",
];

/// Returns the token that was probably intended. Ignores brackets, case and separators.
pub(super) fn guess(written: &str) -> Option<Token> {
    let name = written.trim_matches(AROUND);
    let lower = name.to_ascii_lowercase();
    let object = |of: &str| -> String {
        of.split(['.', '_', '-', ' '])
            .filter(|part| *part != "metadata")
            .collect()
    };
    let keyed = ["labels", "annotations", "label", "annotation"]
        .into_iter()
        .find_map(|word| Some((word, lower.find(word)?)));
    if let Some((word, start)) = keyed {
        let key = name[start + word.len()..].trim_matches(AROUND).to_owned();
        let is_label = word.starts_with("label");
        let token = match &*object(&lower[..start]) {
            "" | "pvc" | "claim" | "persistentvolumeclaim" if is_label => Token::ClaimLabel(key),
            "" | "pvc" | "claim" | "persistentvolumeclaim" => Token::ClaimAnnotation(key),
            "namespace" | "ns" if is_label => Token::NamespaceLabel(key),
            "namespace" | "ns" => Token::NamespaceAnnotation(key),
            _ => return None,
        };
        return token.invalid_key().is_none().then_some(token);
    }
    match &*object(&lower) {
        "pvcname" | "pvc" | "claim" | "claimname" | "name" | "persistentvolumeclaim" | "persistentvolumeclaimname" => {
            Some(Token::ClaimName)
        }
        "pvcnamespace" | "namespace" | "ns" | "claimnamespace" | "namespacename" | "persistentvolumeclaimnamespace" => {
            Some(Token::ClaimNamespace)
        }
        "pvname" | "pv" | "volume" | "volumename" | "persistentvolume" | "persistentvolumename" => {
            Some(Token::VolumeName)
        }
        _ => None,
    }
}

/// Returns the start and the length, in bytes, of the first text that looks like a token. In `text`, a NUL replaces each
/// byte of a backslash and of the character after it.
pub(super) fn find(text: &str) -> Option<(usize, usize)> {
    let in_brackets = text.find(BRACKETS).map(|start| bracketed(text, start));
    let in_a_pair = PAIRS.iter().filter_map(|&(open, close)| pair(text, open, close));
    let lower = text.to_ascii_lowercase();
    let word = WORDS
        .iter()
        .filter_map(|word| Some(whole_word(text, lower.find(word)?)));
    in_brackets.into_iter().chain(in_a_pair).chain(word).min()
}

/// Returns the start and the length of the text with a bracket at `at`: from the signs before the bracket to the closing
/// brackets.
fn bracketed(text: &str, at: usize) -> (usize, usize) {
    let start = text[..at].trim_end_matches(BEFORE).len();
    let opening = text[at..].len() - text[at..].trim_start_matches(BRACKETS).len();
    let inside = &text[at + opening..];
    let end = inside.find(BRACKETS).map_or(at + opening, |close| {
        let close = at + opening + close;
        close + (text[close..].len() - text[close..].trim_start_matches(BRACKETS).len())
    });
    (start, end - start)
}

fn pair(text: &str, open: &str, close: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(start) = text[from..].find(open).map(|start| from + start) {
        let inside = start + open.len();
        let end = inside + text[inside..].find(close)?;
        if !text[inside..end].contains('/') && guess(&text[inside..end]).is_some() {
            let start = text[..start].trim_end_matches(BEFORE).len();
            return Some((start, end + close.len() - start));
        }
        from = inside;
    }
    None
}

fn whole_word(text: &str, at: usize) -> (usize, usize) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._'[]".contains(c);
    let start = text[..at].trim_end_matches(is_part).len();
    let rest = &text[at..];
    let end = at + (rest.len() - rest.trim_start_matches(is_part).len());
    (start, end - start)
}

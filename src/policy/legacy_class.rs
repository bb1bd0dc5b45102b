//! Reads classes that were written for nfs-subdir-external-provisioner.
//!
//! Such classes exist if Bindery uses the provisioner name of that program, and the parameters of a class cannot be
//! edited. So parameters that the program ignored or read in another way are translated here, with a warning if the
//! result may be unexpected: `archiveOnDelete: "0"` becomes `"false"`, an unknown key is ignored, and in `pathPattern` a
//! label that a claim does not have is empty. If the meaning for the program is not clear, the directory is archived.

use std::collections::BTreeMap;

use crate::model::choices::NotAllowed;
use crate::model::invalid::Invalid;
use crate::model::names;
use crate::model::on_delete::OnDelete;
use crate::policy::key::Key;
use crate::policy::template::{Dialect, Template};

/// Whether a provisioner name may be the name of another program. Bindery's own names begin with `bindery.dev/`.
///
/// A list of names would not be sufficient: nfs-subdir-external-provisioner accepts any name, and its chart makes one
/// from the name of the release.
pub fn is_legacy(provisioner: &str) -> bool {
    !provisioner.starts_with(names::PREFIX)
}

/// Translates the parameters of a legacy class, with warnings for its users.
pub fn translate(written: &BTreeMap<String, String>) -> (BTreeMap<String, String>, Vec<String>) {
    let mut parameters = BTreeMap::new();
    let mut warnings = Vec::new();
    for (name, value) in written {
        let mut warn = |allowed| {
            let invalid = Invalid::value(name, value, &NotAllowed(allowed));
            warnings.push(format!("{invalid}; directories are archived"));
        };
        let value = match Key::of_parameter(name) {
            Err(unknown) => {
                warnings.push(format!("{unknown}; it is ignored"));
                continue;
            }
            Ok(Key::OnDelete) if value.is_empty() => continue,
            Ok(Key::OnDelete) if value.parse::<OnDelete>().is_err() => {
                warn("delete, retain or archive");
                OnDelete::Archive.to_string()
            }
            Ok(Key::ArchiveOnDelete) => boolean(value)
                .unwrap_or_else(|| {
                    warn("true or false");
                    true
                })
                .to_string(),
            Ok(Key::PathPattern) => match path_pattern(value, &mut warnings) {
                pattern if pattern.is_empty() => continue,
                pattern => pattern,
            },
            Ok(_) => value.clone(),
        };
        parameters.insert(name.clone(), value);
    }
    (parameters, warnings)
}

/// The spellings of booleans that Go's `strconv.ParseBool` accepts.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Translates a pattern so that it always parses: text that is not a token stays text, and an unknown token becomes
/// empty.
fn path_pattern(text: &str, warnings: &mut Vec<String>) -> String {
    let mut pattern = String::new();
    // Escaped as a whole, because two parts may look like a token only together.
    let mut literal = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        literal.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        let token = rest.find('}').map(|end| rest.split_at(end + 1));
        match token {
            Some((token, after))
                if token.starts_with("${.") && Template::parse(token, Dialect::PathPattern).is_ok() =>
            {
                pattern.push_str(&Template::escape(&std::mem::take(&mut literal)));
                pattern.push_str(token);
                rest = after;
            }
            Some((token, after)) if token.starts_with("${.PVC.") => {
                warnings.push(format!(
                    "pathPattern: {token} is not known and is replaced by an empty text"
                ));
                rest = after;
            }
            _ => {
                literal.push('$');
                rest = &rest[1..];
            }
        }
    }
    literal.push_str(rest);
    pattern.push_str(&Template::escape(&literal));
    pattern
}

#[cfg(test)]
#[path = "legacy_class_tests.rs"]
mod tests;

//! What a class means whose provisioner Bindery has taken over.
//!
//! Under the name of nfs-subdir-external-provisioner stand classes that were written for it, and the parameters of a class
//! cannot be edited. So what that program ignored or read otherwise is put into Bindery's words here, with a warning
//! where somebody may have meant more: `archiveOnDelete: "0"` is `"false"`, a key that nobody knows is left out, and a
//! label that a claim does not have stands for nothing in its `pathPattern`. Where the old meaning is not clear, the
//! directory is archived.

use std::collections::BTreeMap;

use crate::model::invalid::Invalid;
use crate::model::names;
use crate::model::on_delete::{self, OnDelete};
use crate::policy::key::Key;
use crate::policy::template::{Dialect, Template, Values};

/// Whether a provisioner's name was another program's before: Bindery's own names begin with `bindery.dev/`.
///
/// No list of names would do: nfs-subdir-external-provisioner takes any, and its chart makes one of the release's name.
pub fn is_legacy(provisioner: &str) -> bool {
    !provisioner.starts_with(names::PREFIX)
}

/// The parameters of a class of an old name in Bindery's words, and what its users should know.
pub fn translate(written: &BTreeMap<String, String>) -> (BTreeMap<String, String>, Vec<String>) {
    let mut parameters = BTreeMap::new();
    let mut warnings = Vec::new();
    for (spelt, value) in written {
        let mut doubt = |allowed| {
            let invalid = Invalid::value(spelt, value, &on_delete::Unknown(allowed));
            warnings.push(format!("{invalid}; directories are archived"));
        };
        let value = match Key::parameter(spelt) {
            Err(unknown) => {
                warnings.push(format!("{unknown}; it is ignored"));
                continue;
            }
            Ok(Key::OnDelete) if value.is_empty() => continue,
            Ok(Key::OnDelete) if value.parse::<OnDelete>().is_err() => {
                doubt("delete, retain or archive");
                OnDelete::Archive.to_string()
            }
            Ok(Key::ArchiveOnDelete) => boolean(value)
                .unwrap_or_else(|| {
                    doubt("true or false");
                    true
                })
                .to_string(),
            Ok(Key::PathPattern) => match path_pattern(value, &mut warnings) {
                pattern if pattern.is_empty() => continue,
                pattern => pattern,
            },
            Ok(_) => value.clone(),
        };
        parameters.insert(spelt.clone(), value);
    }
    (parameters, warnings)
}

/// The spellings of yes and no that Go's `strconv.ParseBool` takes.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A pattern in which nothing is a mistake: what is no token is text, and what the old program knew nothing of is
/// nothing.
fn path_pattern(text: &str, warnings: &mut Vec<String>) -> String {
    let mut pattern = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        pattern.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        let token = rest.find('}').map(|end| rest.split_at(end + 1));
        match token {
            Some((token, after))
                if token.starts_with("${.") && Template::parse(token, Dialect::PathPattern).is_ok() =>
            {
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
                pattern.push_str("$$");
                rest = &rest[1..];
            }
        }
    }
    pattern.push_str(rest);
    pattern
}

/// The template for one claim: a pattern that comes to nothing gives the standard directory, as it always did.
pub fn for_claim(template: Template, values: &Values<'_>, warnings: &mut Vec<String>) -> Template {
    if !template.is_forgiving() {
        return template;
    }
    let missing = template.missing(values);
    warnings.extend(missing.map(|token| format!("{token} is not set and is left empty in {template}")));
    if template.comes_to_nothing(values) {
        return Template::standard();
    }
    template
}

#[cfg(test)]
#[path = "class_tests.rs"]
mod tests;

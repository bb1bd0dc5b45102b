//! Reads the names that Bindery uses in the API from the file that defines them.

use super::page::read;

/// A constant of a module of `src/model/names.rs`.
pub struct Name {
    /// Its doc comment.
    pub comment: String,
    /// Its value.
    pub value: String,
}

/// Returns the string constants of a module, in their order. An empty name of a module is the file itself.
pub fn names(module: &str) -> Vec<Name> {
    let source = read("src/model/names.rs");
    let (mut inside, mut comment, mut found) = ("", Vec::new(), Vec::new());
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("pub mod ") {
            inside = rest.trim_end_matches(" {");
        } else if line == "}" {
            inside = "";
        }
        let line = line.trim();
        if let Some(words) = line.strip_prefix("/// ") {
            comment.push(words);
            continue;
        }
        let value = line
            .strip_prefix("pub const ")
            .and_then(|rest| rest.split_once(": &str = \"")?.1.strip_suffix("\";"));
        if let Some(value) = value.filter(|_| inside == module) {
            found.push(Name {
                comment: comment.join(" "),
                value: value.to_owned(),
            });
        }
        comment.clear();
    }
    assert!(
        !found.is_empty(),
        "src/model/names.rs has no constants in module {module:?}"
    );
    found
}

//! Reads modules: the items that each declares, imports and names.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::{Token, tokens};

/// A path as it is written in a module, such as `crate::model::Share`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub line: usize,
    pub segments: Vec<String>,
}

/// A module that is a file, or a block in one.
#[derive(Clone, Debug, Default)]
pub struct Module {
    /// The path of the file below `src/`.
    pub file: String,
    /// Names of modules in this one, without those for tests.
    pub children: BTreeSet<String>,
    /// Names of modules for tests.
    pub left_out: BTreeSet<String>,
    /// Names of items that are defined here.
    pub items: BTreeSet<String>,
    /// The names that `use` imports, with their paths.
    pub names: BTreeMap<String, Vec<String>>,
    /// The paths before `::*`.
    pub globs: Vec<Vec<String>>,
    /// The globs that are not re-exported.
    pub used_globs: Vec<Written>,
    /// All paths in this module, also the paths of `use`.
    pub paths: Vec<Written>,
    /// The items that `pub use` re-exports.
    re_exports: Vec<(String, Written)>,
    /// Words that are not part of a path with several segments.
    words: BTreeSet<String>,
}

/// Modules by their path, such as `["policy", "class"]`. The path of the crate itself is empty.
pub type Modules = BTreeMap<Vec<String>, Module>;

/// Reads all modules that are reachable from this file. `sources` has the text of each file below `src/`.
pub fn read(sources: &BTreeMap<String, String>, root: &str) -> Result<Modules, String> {
    let mut modules = Modules::new();
    let mut waiting = vec![(Vec::new(), root.to_owned())];
    while let Some((path, file)) = waiting.pop() {
        let source = sources.get(&file).ok_or_else(|| format!("src/{file} is missing"))?;
        let tokens = tokens(source);
        let mut reader = Reader {
            tokens: &tokens,
            at: 0,
            file: &file,
            modules: &mut modules,
            files: Vec::new(),
        };
        reader.module(&path)?;
        for child in std::mem::take(&mut reader.files) {
            let file = file_of(sources, &child)?;
            waiting.push((child, file));
        }
    }
    Ok(modules)
}

fn file_of(sources: &BTreeMap<String, String>, path: &[String]) -> Result<String, String> {
    let joined = path.join("/");
    let places = [format!("{joined}.rs"), format!("{joined}/mod.rs")];
    places
        .into_iter()
        .find(|file| sources.contains_key(file))
        .ok_or_else(|| format!("src/{joined}.rs and src/{joined}/mod.rs are both missing"))
}

/// Returns whether a module with this name is for tests, even without an attribute.
fn is_for_tests(name: &str) -> bool {
    name.ends_with("_tests") || ["tests", "fixtures", "fake"].contains(&name)
}

/// The words with which an item begins, and whether its name follows.
const ITEMS: &[(&str, bool)] = &[
    ("fn", true),
    ("struct", true),
    ("enum", true),
    ("union", true),
    ("trait", true),
    ("type", true),
    ("const", true),
    ("static", true),
    ("mod", false),
    ("use", false),
    ("impl", false),
    ("pub", false),
    ("async", false),
    ("extern", false),
    ("macro_rules", false),
];

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    file: &'a str,
    modules: &'a mut Modules,
    /// Paths of modules that are files of their own.
    files: Vec<Vec<String>>,
}

impl<'a> Reader<'a> {
    fn text(&self, ahead: usize) -> &'a str {
        self.tokens.get(self.at + ahead).map_or("", |token| &token.text)
    }

    fn is_word(&self, ahead: usize) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(Token::is_word)
    }

    /// Reads up to the brace that closes the module, or to the end.
    fn module(&mut self, path: &[String]) -> Result<(), String> {
        let mut module = Module {
            file: self.file.to_owned(),
            ..Module::default()
        };
        let mut depth = 0_usize;
        while self.at < self.tokens.len() {
            match self.text(0) {
                "{" => depth += 1,
                "}" if depth == 0 => break,
                "}" => depth -= 1,
                "#" if self.is_test_attribute() => {
                    self.skip_attributed(&mut module);
                    continue;
                }
                "mod" if self.is_word(1) => {
                    self.child(path, &mut module)?;
                    continue;
                }
                "use" => {
                    let is_re_exported = self.at > 0 && ["pub", ")"].contains(&self.tokens[self.at - 1].text.as_str());
                    self.at += 1;
                    self.import(Vec::new(), is_re_exported, &mut module);
                    continue;
                }
                word if depth == 0 && self.is_word(1) && ITEMS.contains(&(word, true)) => {
                    module.items.insert(self.text(1).to_owned());
                }
                "macro_rules" => {
                    module.items.insert(self.text(2).to_owned());
                }
                _ if self.is_word(0) => {
                    self.path(&mut module);
                    continue;
                }
                // A path that begins with `::` names another crate.
                "::" => {
                    while self.text(0) == "::" {
                        self.at += 2;
                    }
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
        // A module that only re-exports an item does not use it. A user of the item imports the file that defines it.
        for (name, written) in std::mem::take(&mut module.re_exports) {
            if module.words.contains(&name) {
                module.paths.push(written);
            }
        }
        self.modules.insert(path.to_owned(), module);
        Ok(())
    }

    /// `mod name;` or `mod name { ... }`
    fn child(&mut self, path: &[String], module: &mut Module) -> Result<(), String> {
        let name = self.text(1).to_owned();
        if is_for_tests(&name) {
            module.left_out.insert(name);
            self.skip_item();
            return Ok(());
        }
        let child: Vec<String> = path.iter().cloned().chain([name.clone()]).collect();
        module.children.insert(name);
        let is_block = self.text(2) == "{";
        self.at += 3;
        if is_block {
            self.module(&child)?;
            self.at += 1;
        } else {
            self.files.push(child);
        }
        Ok(())
    }

    /// Reads the text after `use` up to the semicolon, or one branch of it.
    fn import(&mut self, prefix: Vec<String>, is_re_exported: bool, module: &mut Module) {
        let mut segments = prefix;
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        loop {
            match self.text(0) {
                "{" => {
                    self.at += 1;
                    while !["}", ""].contains(&self.text(0)) {
                        self.import(segments.clone(), is_re_exported, module);
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "*" => {
                    self.at += 1;
                    if !is_re_exported {
                        module.used_globs.push(Written {
                            line,
                            segments: segments.clone(),
                        });
                    }
                    module.globs.push(segments);
                    return;
                }
                "::" => self.at += 1,
                "as" => {
                    let name = self.text(1).to_owned();
                    self.at += 2;
                    module.add_import(line, name, segments, is_re_exported);
                    return;
                }
                _ if self.is_word(0) => {
                    // `a::{self}` is a.
                    if self.text(0) != "self" || segments.is_empty() {
                        segments.push(self.text(0).to_owned());
                    }
                    self.at += 1;
                }
                _ => {
                    let name = segments.last().cloned().unwrap_or_default();
                    module.add_import(line, name, segments, is_re_exported);
                    return;
                }
            }
        }
    }

    /// Reads a path in code, or a single word.
    fn path(&mut self, module: &mut Module) {
        let line = self.tokens[self.at].line;
        let mut segments = vec![self.text(0).to_owned()];
        self.at += 1;
        while self.text(0) == "::" && self.is_word(1) {
            segments.push(self.text(1).to_owned());
            self.at += 2;
        }
        module.words.insert(segments[0].clone());
        if segments.len() > 1 {
            module.paths.push(Written { line, segments });
        }
    }

    /// Returns whether the next tokens are `#[cfg(test)]`.
    fn is_test_attribute(&self) -> bool {
        (["#", "[", "cfg", "(", "test", ")", "]"].iter().enumerate()).all(|(ahead, text)| self.text(ahead) == *text)
    }

    /// Skips an attribute and the item that has it.
    fn skip_attributed(&mut self, module: &mut Module) {
        while self.text(0) == "#" {
            self.at += 1;
            self.skip_group();
        }
        let module_at = (0..8).find(|ahead| self.text(*ahead) == "mod");
        if let Some(ahead) = module_at {
            module.left_out.insert(self.text(ahead + 1).to_owned());
        }
        self.skip_item();
    }

    /// Skips an item with its body; or a field, an arm or a statement.
    fn skip_item(&mut self) {
        let is_item = ITEMS.iter().any(|(word, _)| self.text(0) == *word);
        let is_import = (0..8).any(|ahead| self.text(ahead) == "use") && is_item;
        loop {
            match self.text(0) {
                "" | "}" => return,
                ";" => break,
                "," if !is_item => break,
                "{" => {
                    self.skip_group();
                    if !is_import {
                        return;
                    }
                }
                "(" | "[" => self.skip_group(),
                _ => self.at += 1,
            }
        }
        self.at += 1;
    }

    /// Skips the group of tokens that this bracket opens.
    fn skip_group(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.tokens.len() {
            match self.text(0) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }
}

impl Module {
    fn add_import(&mut self, line: usize, name: String, segments: Vec<String>, is_re_exported: bool) {
        let written = Written {
            line,
            segments: segments.clone(),
        };
        if is_re_exported {
            self.re_exports.push((name.clone(), written));
        } else {
            self.paths.push(written);
        }
        self.names.insert(name, segments);
    }
}

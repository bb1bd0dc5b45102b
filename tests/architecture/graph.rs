//! Compares imports with the table of allowed imports, and finds cycles.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;

use super::imports::Import;

/// The allowed imports of one folder or file directly below `src/`.
pub struct Rule {
    /// The name of the folder, or of the file without `.rs`.
    pub name: &'static str,
    /// The names of the folders and files that it may import, besides itself.
    pub imports: &'static [&'static str],
    /// The reason why it may import no others.
    pub why: &'static str,
}

/// Returns a description of every import that the table does not allow.
pub fn forbidden_imports(imports: &[Import], table: &[Rule], everywhere: &[&str]) -> String {
    let mut errors = String::new();
    for import in imports {
        let (from, to) = (unit(&import.from), unit(&import.to));
        if from == to || everywhere.contains(&to) {
            continue;
        }
        let place = format!(
            "src/{}:{} uses {}, which src/{} defines",
            import.from, import.line, import.path, import.to
        );
        match table.iter().find(|rule| rule.name == from) {
            None => {
                let _ = writeln!(
                    errors,
                    "{place}\n  src/{from} is not in the table of tests/architecture/main.rs: say there what it may import, \
                     and why."
                );
            }
            Some(rule) if !rule.imports.contains(&to) => {
                let allowed = match rule.imports {
                    [] => "nothing".to_owned(),
                    names => names.join(", "),
                };
                let _ = writeln!(
                    errors,
                    "{place}\n  {from} must not import {to}: {}. It may import: {allowed}.",
                    rule.why
                );
            }
            Some(_) => {}
        }
    }
    errors
}

/// Returns the folder directly below `src/` that contains a file, or the file itself.
fn unit(file: &str) -> &str {
    let (first, _) = file.split_once('/').unwrap_or((file, ""));
    first.trim_end_matches(".rs")
}

/// Returns a description of each cycle of imports: between files, and between folders with the same parent.
pub fn cycles(imports: &[Import]) -> String {
    let mut found = String::new();
    for folder in folders(imports) {
        let mut edges: BTreeMap<(&str, &str), &Import> = BTreeMap::new();
        for import in imports {
            let (Some(from), Some(to)) = (entry(&folder, &import.from), entry(&folder, &import.to)) else {
                continue;
            };
            if from != to {
                edges.entry((from, to)).or_insert(import);
            }
        }
        for cycle in shortest_cycles(&edges) {
            let names: Vec<String> = cycle.iter().map(|name| format!("src/{folder}{name}")).collect();
            let _ = writeln!(found, "{} import each other:", names.join(", "));
            for (position, from) in cycle.iter().enumerate() {
                let to = cycle[(position + 1) % cycle.len()];
                let import = edges[&(*from, to)];
                let _ = writeln!(
                    found,
                    "  src/{}:{} uses {}, which src/{} defines",
                    import.from, import.line, import.path, import.to
                );
            }
        }
    }
    if !found.is_empty() {
        found.push_str(
            "Files that import each other can only be read, tested and moved together. Move what both need into a file of \
             its own, or pass it as an argument.\n",
        );
    }
    found
}

/// Returns every folder that contains a file, with a slash at the end. The name of `src/` itself is empty.
fn folders(imports: &[Import]) -> BTreeSet<String> {
    let files = imports.iter().flat_map(|import| [&import.from, &import.to]);
    let folders = files.flat_map(|file| file.match_indices('/').map(|(at, _)| file[..=at].to_owned()));
    folders.chain([String::new()]).collect()
}

/// Returns the direct entry of a folder that contains the file, or the file itself. `class.rs` and `class/` are different
/// entries.
fn entry<'a>(folder: &str, file: &'a str) -> Option<&'a str> {
    let rest = file.strip_prefix(folder)?;
    Some(rest.split_once('/').map_or(rest, |(first, _)| first))
}

/// Returns a shortest cycle through each name that no earlier cycle contains.
fn shortest_cycles<'a>(edges: &BTreeMap<(&'a str, &'a str), &Import>) -> Vec<Vec<&'a str>> {
    let names: BTreeSet<&str> = edges.keys().map(|(from, _)| *from).collect();
    let mut cycles: Vec<Vec<&str>> = Vec::new();
    let mut ways: Vec<Vec<&str>> = names.iter().filter_map(|name| shortest_way_back(edges, name)).collect();
    ways.sort_by_key(Vec::len);
    for way in ways {
        let is_known = cycles.iter().any(|cycle| cycle.contains(&way[0]));
        if !is_known {
            cycles.push(way);
        }
    }
    cycles
}

/// Returns the shortest path from a name back to itself.
fn shortest_way_back<'a>(edges: &BTreeMap<(&'a str, &'a str), &Import>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(name) = waiting.pop_front() {
        for (_, to) in edges.keys().filter(|(from, _)| *from == name) {
            if *to == start {
                let mut way = vec![name];
                while let Some(previous) = way
                    .last()
                    .filter(|last| **last != start)
                    .and_then(|last| before.get(last))
                {
                    way.push(previous);
                }
                way.reverse();
                return Some(way);
            }
            if !before.contains_key(to) {
                before.insert(to, name);
                waiting.push_back(to);
            }
        }
    }
    None
}

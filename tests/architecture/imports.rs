//! Finds the file that defines the item of a path.

use std::collections::BTreeMap;

use super::modules::{Module, Modules, Written, read};

/// An import: one file uses an item that another file defines. Paths of files are relative to `src/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub from: String,
    pub to: String,
    pub line: usize,
    /// The path as it is written.
    pub path: String,
}

/// Returns all imports between the files of a crate, each pair of files once.
pub fn imports_of(sources: &BTreeMap<String, String>) -> Result<Vec<Import>, String> {
    let library = read(sources, "lib.rs")?;
    let mut imports = BTreeMap::new();
    for (path, module) in &library {
        collect(&library, path, module, &mut imports);
    }
    if sources.contains_key("main.rs") {
        // The program refers to the library by its name.
        for (_, mut module) in read(sources, "main.rs")? {
            let paths = module.paths.iter_mut().map(|written| &mut written.segments);
            for segments in paths.chain(module.names.values_mut()) {
                if segments[0] == "bindery" {
                    "crate".clone_into(&mut segments[0]);
                }
            }
            let at = vec!["main".to_owned()];
            let mut with_program = library.clone();
            with_program.insert(at.clone(), module.clone());
            collect(&with_program, &at, &module, &mut imports);
        }
    }
    Ok(imports.into_values().collect())
}

fn collect(modules: &Modules, path: &[String], module: &Module, imports: &mut BTreeMap<(String, String), Import>) {
    let globs = module.used_globs.iter().map(|written| (written, true));
    let written = module.paths.iter().map(|written| (written, false));
    for (Written { line, segments }, is_glob) in written.chain(globs) {
        let Some(target) = resolve(modules, path, segments, 0) else {
            continue;
        };
        // An item of a module has a longer path. A glob imports all items.
        if target.item.is_none() && !is_glob {
            continue;
        }
        let to = &modules[&target.module].file;
        if *to != module.file {
            let import = Import {
                from: module.file.clone(),
                to: to.clone(),
                line: *line,
                path: segments.join("::"),
            };
            imports
                .entry((import.from.clone(), import.to.clone()))
                .or_insert(import);
        }
    }
}

struct Target {
    module: Vec<String>,
    /// None for the module itself.
    item: Option<String>,
}

/// The maximum depth. Without it, `use` paths that refer to each other would be followed for ever.
const DEEPEST: usize = 32;

/// Returns the item to which these segments refer in the module `here`. Returns None for other crates and for tests.
fn resolve(modules: &Modules, here: &[String], segments: &[String], depth: usize) -> Option<Target> {
    if depth > DEEPEST {
        return None;
    }
    let first = segments.first()?;
    let module = modules.get(here)?;
    match first.as_str() {
        "crate" => walk(modules, Vec::new(), &segments[1..], depth),
        "self" => walk(modules, here.to_owned(), &segments[1..], depth),
        "super" => {
            let parent = here.split_last()?.1.to_owned();
            if segments.get(1).is_some_and(|next| next == "super") {
                return resolve(modules, &parent, &segments[1..], depth + 1);
            }
            walk(modules, parent, &segments[1..], depth)
        }
        name if module.children.contains(name) || module.items.contains(name) => {
            walk(modules, here.to_owned(), segments, depth)
        }
        name => {
            let path = module.names.get(name).filter(|path| **path != segments[..1])?;
            let path: Vec<String> = path.iter().chain(&segments[1..]).cloned().collect();
            // The path is that of `use path::name` itself.
            (path != segments).then(|| resolve(modules, here, &path, depth + 1))?
        }
    }
}

/// Follows the segments from a module downwards, and through re-exports to the module that defines the item.
fn walk(modules: &Modules, start: Vec<String>, segments: &[String], depth: usize) -> Option<Target> {
    if depth > DEEPEST {
        return None;
    }
    let Some((name, rest)) = segments.split_first() else {
        return Some(Target {
            module: start,
            item: None,
        });
    };
    let module = modules.get(&start)?;
    let is_last = rest.is_empty();
    if module.left_out.contains(name) {
        return None;
    }
    // A function may have the same name as a module. Then the last segment is the function.
    if module.children.contains(name) && !(is_last && module.items.contains(name)) {
        let child = start.iter().chain([name]).cloned().collect();
        return walk(modules, child, rest, depth);
    }
    let here = || {
        Some(Target {
            module: start.clone(),
            item: Some(name.clone()),
        })
    };
    if module.items.contains(name) {
        return here();
    }
    if let Some(path) = module.names.get(name) {
        let path: Vec<String> = path.iter().chain(rest).cloned().collect();
        // If nothing is found, it is a re-exported item of another crate.
        return resolve(modules, &start, &path, depth + 1).or_else(here);
    }
    for glob in &module.globs {
        let path: Vec<String> = glob.iter().chain(segments).cloned().collect();
        let found = resolve(modules, &start, &path, depth + 1);
        if let Some(found) = found.filter(|found| is_defined(modules, found)) {
            return Some(found);
        }
    }
    here()
}

fn is_defined(modules: &Modules, target: &Target) -> bool {
    let module = &modules[&target.module];
    (target.item.as_ref()).is_none_or(|item| module.items.contains(item) || module.names.contains_key(item))
}

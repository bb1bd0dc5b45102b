//! Checks which folder of `src/` imports which, and that imports form no cycle.
//!
//! The test reads the sources and needs no cluster: `cargo test --test architecture`. It ignores modules for tests:
//! `#[cfg(test)]`, and modules named `tests`, `..._tests`, `fixtures` and `fake`.

mod graph;
mod imports;
mod modules;
mod own_tests;
mod tokens;

use std::collections::BTreeMap;
use std::path::Path;

use graph::{Rule, cycles, forbidden_imports};
use imports::imports_of;

/// The imports that each folder and file directly below `src/` may have.
const TABLE: &[Rule] = &[
    Rule {
        name: "model",
        imports: &[],
        why: "everything builds on the model, so it stands alone",
    },
    Rule {
        name: "policy",
        imports: &["model"],
        why: "a decision has no I/O, clock or client, so a test can state all of its input",
    },
    Rule {
        name: "storage",
        imports: &["model"],
        why: "a file server knows nothing of Kubernetes, so its client is tested against a server alone",
    },
    Rule {
        name: "cluster",
        imports: &["model"],
        why: "it reads and writes objects; what they mean is decided in policy",
    },
    Rule {
        name: "ops",
        imports: &["model", "cluster"],
        why: "metrics, Events and logs say what happened, and decide nothing",
    },
    Rule {
        name: "breaker",
        imports: &["model", "storage", "ops"],
        why: "it stands before any storage, and knows neither what is stored nor for whom",
    },
    Rule {
        name: "certificate",
        imports: &["model", "cluster", "ops"],
        why: "it keeps one Secret and serves whoever needs TLS",
    },
    Rule {
        name: "registration",
        imports: &["model", "policy", "cluster", "ops", "certificate"],
        why: "it writes one webhook configuration, which names the webhook but needs nothing of it",
    },
    Rule {
        name: "provision",
        imports: &["model", "policy", "storage", "cluster", "ops"],
        why: "webhook and controller both carry out decisions through it, so it must not know which of them calls",
    },
    Rule {
        name: "webhook",
        imports: &["model", "policy", "cluster", "provision", "ops", "certificate"],
        why: "webhook and controller share provision and policy and nothing else, so each can be read alone",
    },
    Rule {
        name: "controller",
        imports: &[
            "model",
            "policy",
            "storage",
            "breaker",
            "cluster",
            "provision",
            "ops",
            "certificate",
        ],
        why: "webhook and controller share provision and policy and nothing else, so each can be read alone",
    },
    Rule {
        name: "cli",
        imports: &["model", "ops"],
        why: "it only says which flags there are; a flag's type belongs to the part that it sets",
    },
    Rule {
        name: "config",
        imports: &["model", "policy", "cli"],
        why: "it turns flags into checked values, and does nothing with them",
    },
    Rule {
        name: "commands",
        imports: &[
            "model",
            "policy",
            "storage",
            "breaker",
            "cluster",
            "ops",
            "certificate",
            "registration",
            "provision",
            "webhook",
            "controller",
            "cli",
            "config",
        ],
        why: "a command puts all parts together, so no part may know a command",
    },
    Rule {
        name: "main",
        imports: &["commands", "cli", "cluster"],
        why: "it reads the command line and runs one command",
    },
];

/// The modules that all others may import.
const EVERYWHERE: &[&str] = &["failpoints"];

#[test]
fn each_folder_imports_only_what_it_may() {
    let imports = imports_of(&sources()).unwrap();
    // Without any imports, the test would always pass.
    assert!(imports.len() > 200, "only {} imports were found", imports.len());
    let errors = forbidden_imports(&imports, TABLE, EVERYWHERE);
    assert!(errors.is_empty(), "\n{errors}");
}

#[test]
fn imports_form_no_cycle() {
    let cycles = cycles(&imports_of(&sources()).unwrap());
    assert!(cycles.is_empty(), "\n{cycles}");
}

/// Returns every file below `src/`, by its path below it.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                sources.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    sources
}

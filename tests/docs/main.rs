//! Compares the documentation with the code: reference pages, links, and names that documents mention.
//!
//! The test needs no cluster: `cargo test --test docs`. With `UPDATE_DOCS=1` it rewrites the parts that are generated from
//! the code, and writes `TODO` where a person must add the meaning.

mod classes;
mod command_line;
mod definition;
mod events;
mod kubernetes;
mod links;
mod mentions;
mod metrics;
mod names;
mod nfs;
mod page;
mod tree;

use page::read;

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(
        lines <= 150,
        "README.md has {lines} lines, 150 are allowed: move details to docs/"
    );
}

#[test]
fn the_summary_lists_every_page() {
    let summary = read("docs/SUMMARY.md");
    let index = read("docs/README.md");
    for page in page::files("docs", "md") {
        let name = page.trim_start_matches("docs/");
        if name == "SUMMARY.md" {
            continue;
        }
        let link = format!("({name})");
        assert!(summary.contains(&link), "docs/SUMMARY.md does not list {page}");
        assert!(
            name == "README.md" || index.contains(&link),
            "docs/README.md does not list {page}"
        );
    }
}

//! Compares the table of folders and imports with the table in the test of the architecture.

use super::page::{check_table, read};

#[test]
fn the_page_of_the_architecture_has_every_folder() {
    let source = read("tests/architecture/main.rs");
    let table = source.split_once("const TABLE: &[Rule] = &[").expect("the table").1;
    let table = table.split_once("\n];").expect("its end").0;
    let rows = table.split("Rule {").skip(1).map(|rule| {
        let name = strings(rule.split_once("imports:").expect("its imports").0).remove(0);
        let imports = rule.split_once("imports:").expect("its imports").1;
        let imports = strings(imports.split_once("why:").expect("its reason").0);
        let imports = match imports.as_slice() {
            [] => "nothing".to_owned(),
            names => names.join(", "),
        };
        vec![Some(name), None, Some(imports)]
    });
    check_table(
        "docs/architecture.md",
        "| folder | content | may import |",
        &rows.collect::<Vec<_>>(),
    );
}

/// Returns the string literals of a piece of code, as code spans.
fn strings(code: &str) -> Vec<String> {
    code.split('"')
        .skip(1)
        .step_by(2)
        .map(|name| format!("`{name}`"))
        .collect()
}

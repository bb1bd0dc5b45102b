//! Tests of the code that reads and checks the imports.

use std::collections::BTreeMap;

use super::graph::{Rule, cycles, forbidden_imports};
use super::imports::imports_of;

fn sources(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

/// The edges of these files, as `from -> to`.
fn edges(files: &[(&str, &str)]) -> Vec<String> {
    let imports = imports_of(&sources(files)).unwrap();
    imports
        .iter()
        .map(|import| format!("{} -> {}", import.from, import.to))
        .collect()
}

const BOTH: &str = "pub mod a; pub mod b;";

#[test]
fn every_way_to_name_an_item_is_an_import() {
    let b = ("b.rs", "pub struct Thing; pub fn make() {}");
    for a in [
        "use crate::b::Thing;",
        "use crate::{b::{Thing, make}};",
        "use crate::b::Thing as Other;",
        "use crate::b::*;",
        "use super::b::Thing;",
        "use crate::b; fn f() { b::make(); }",
        "use crate::b::{self}; fn f() { b::make(); }",
        "fn f() { crate::b::make(); }",
        "fn f() { println!(\"{}\", super::b::make()); }",
        "mod inner { use super::super::b::Thing; }",
        "mod inner { fn f() -> super::Thing { } } use super::b::Thing;",
        "#[cfg(feature = \"failpoints\")] use crate::b::Thing;",
        "pub fn f() { let x = 'a'; let y: &'static str = r#\"\"//\"#; crate::b::make() }",
    ] {
        assert_eq!(edges(&[("lib.rs", BOTH), ("a.rs", a), b]), ["a.rs -> b.rs"], "{a}");
    }
}

#[test]
fn tests_comments_strings_and_other_crates_are_no_imports() {
    let b = ("b.rs", "pub struct Thing; pub fn make() {}");
    for a in [
        "// use crate::b::Thing;",
        "/* /* nested */ use crate::b::Thing; */",
        "const TEXT: &str = \"\\\" crate::b::Thing\";",
        "const TEXT: &str = r#\"\" crate::b::Thing\"#;",
        "#[cfg(test)] use crate::b::{Thing}; fn f() {}",
        "#[cfg(test)] mod anything { use crate::b::Thing; }",
        "#[cfg(test)] #[allow(unused)] pub fn f(x: [u8; 3]) -> u8 { crate::b::make() }",
        "mod tests { use crate::b::Thing; }",
        "struct S { #[cfg(test)] field: crate::b::Thing, other: u8 }",
        "use std::fmt; use ::b::Thing; use serde::b;",
        "use crate::b;",
    ] {
        assert_eq!(edges(&[("lib.rs", BOTH), ("a.rs", a), b]), [""; 0], "{a}");
    }
}

#[test]
fn a_module_for_tests_in_a_file_is_left_out() {
    let files = [
        ("lib.rs", "pub mod a; mod b;"),
        (
            "a.rs",
            "mod fake; #[cfg(test)] #[path = \"a_cases.rs\"] mod cases; use self::fake::Fake;",
        ),
        ("a/fake.rs", "use crate::b::Thing;"),
        ("b.rs", "pub struct Thing;"),
    ];
    assert_eq!(edges(&files), [""; 0]);
}

#[test]
fn a_re_exported_item_is_imported_from_the_module_that_defines_it() {
    let files = [
        ("lib.rs", "pub mod a; pub mod b;"),
        (
            "b/mod.rs",
            "mod one; mod two; pub use one::One; pub use self::two::*; pub fn here() {}",
        ),
        ("b/one.rs", "pub struct One; use super::Two;"),
        ("b/two.rs", "pub struct Two;"),
        ("a.rs", "use crate::b::{One, Two};"),
    ];
    assert_eq!(
        edges(&files),
        ["a.rs -> b/one.rs", "a.rs -> b/two.rs", "b/one.rs -> b/two.rs",]
    );
}

#[test]
fn a_function_may_have_the_name_of_a_module() {
    let files = [
        ("lib.rs", "pub mod a; pub mod b;"),
        ("b/mod.rs", "pub mod tree; pub fn tree() {}"),
        ("b/tree.rs", "pub fn leaf() {}"),
        ("a.rs", "use crate::b::tree; fn f() { tree(); tree::leaf(); }"),
    ];
    assert_eq!(edges(&files), ["a.rs -> b/mod.rs", "a.rs -> b/tree.rs"]);
}

#[test]
fn the_program_names_the_library_by_its_name() {
    let files = [
        ("lib.rs", "pub mod a;"),
        ("a.rs", "pub fn run() {}"),
        ("main.rs", "use bindery::a; fn main() { a::run() }"),
    ];
    assert_eq!(edges(&files), ["main.rs -> a.rs"]);
}

const TABLE: &[Rule] = &[
    Rule {
        name: "a",
        imports: &[],
        why: "it stands alone",
    },
    Rule {
        name: "b",
        imports: &["a"],
        why: "it is small",
    },
];

#[test]
fn a_forbidden_import_is_reported_with_its_place_and_the_reason() {
    let files = sources(&[
        ("lib.rs", "pub mod a; pub mod b; pub mod c; pub mod common;"),
        ("a/mod.rs", "pub mod x; pub struct A;"),
        ("a/x.rs", "use super::A;\nuse crate::b::B;\nuse crate::common::C;"),
        ("b.rs", "use crate::a::A; pub struct B;"),
        ("c.rs", "use crate::b::B;"),
        ("common.rs", "pub struct C;"),
    ]);
    assert_eq!(
        forbidden_imports(&imports_of(&files).unwrap(), TABLE, &["common"]),
        "src/a/x.rs:2 uses crate::b::B, which src/b.rs defines\n  \
         a must not import b: it stands alone. It may import: nothing.\n\
         src/c.rs:1 uses crate::b::B, which src/b.rs defines\n  \
         src/c is not in the table of tests/architecture/main.rs: say there what it may import, and why.\n"
    );
}

#[test]
fn cycles_between_files_and_between_folders_are_found() {
    let none = sources(&[
        ("lib.rs", BOTH),
        ("a.rs", "mod x; pub use x::X; pub(crate) use self::x::*; pub struct A;"),
        ("a/x.rs", "pub struct X; use super::A; use crate::b::B;"),
        ("b.rs", "pub struct B;"),
    ]);
    assert_eq!(cycles(&imports_of(&none).unwrap()), "");

    let parent_and_child = sources(&[
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod x; pub use x::X; pub struct A; fn f(x: X) {}"),
        ("a/x.rs", "pub struct X; use super::A;"),
    ]);
    let found = cycles(&imports_of(&parent_and_child).unwrap());
    assert!(
        found.starts_with("src/a/mod.rs, src/a/x.rs import each other:\n"),
        "{found}"
    );

    let folders = sources(&[
        ("lib.rs", BOTH),
        ("a/mod.rs", "mod x; pub mod y; fn f() { x::g() }"),
        ("a/x.rs", "use crate::b::z::Z; pub fn g() {}"),
        ("a/y.rs", "pub struct Y;"),
        ("b/mod.rs", "pub mod z; pub mod w;"),
        ("b/z.rs", "pub struct Z;"),
        ("b/w.rs", "use crate::a::y::Y;"),
    ]);
    assert_eq!(
        cycles(&imports_of(&folders).unwrap())
            .lines()
            .take(3)
            .collect::<Vec<_>>(),
        [
            "src/a, src/b import each other:",
            "  src/a/x.rs:1 uses crate::b::z::Z, which src/b/z.rs defines",
            "  src/b/w.rs:1 uses crate::a::y::Y, which src/a/y.rs defines",
        ]
    );
}

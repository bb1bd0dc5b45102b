//! Names in documents: annotations, files, tests.

use std::collections::BTreeSet;

use bindery::policy::key::Key;

use super::names::names;
use super::page::{Table, check_table, code_spans, documents, files, path, read};

const ANNOTATIONS: &str = "docs/annotations.md";

#[test]
fn every_annotation_of_a_volume_has_its_row() {
    let of_volumes = names("volume_annotation")
        .into_iter()
        .filter(|name| !name.comment.starts_with("On a claim"));
    let row = |name: String| vec![Some(format!("`{name}`")), None];
    let rows: Vec<_> = of_volumes.map(|name| row(name.value)).collect();
    check_table(ANNOTATIONS, "| annotation | content |", &rows);
}

#[test]
fn every_name_in_the_metadata_of_objects_is_explained() {
    let text = read(ANNOTATIONS);
    for name in owned() {
        assert!(text.contains(&name), "{ANNOTATIONS} does not mention {name}");
    }
}

#[test]
fn names_of_bindery_that_documents_mention_exist() {
    let known: BTreeSet<String> = owned().into_iter().chain(Key::ALL.map(Key::annotation)).collect();
    let mut unknown = Vec::new();
    for page in documents() {
        for (line, span) in code_spans(&read(&page)) {
            for word in span.split([' ', ':', '=', ',', '"', '{', '}']) {
                let name = word.trim_end_matches('-');
                if name.starts_with("bindery.dev/") && !name.ends_with(['/', '*']) && !known.contains(name) {
                    unknown.push(format!("{page}:{line}: {name}"));
                }
            }
        }
    }
    assert!(unknown.is_empty(), "there are no such names:\n{}", unknown.join("\n"));
}

#[test]
fn files_that_documents_mention_exist() {
    const FOLDERS: [&str; 9] = [
        ".ci/", ".github/", "benches/", "certs/", "deploy/", "docs/", "fuzz/", "src/", "tests/",
    ];
    let mut unknown = Vec::new();
    for page in documents() {
        for (line, span) in code_spans(&read(&page)) {
            for word in span.split([' ', ',']) {
                let is_file =
                    FOLDERS.iter().any(|folder| word.starts_with(folder)) && !word.contains(['*', '<', '(', '{']);
                if is_file && !path(word).exists() {
                    unknown.push(format!("{page}:{line}: {word}"));
                }
            }
        }
    }
    assert!(unknown.is_empty(), "there are no such files:\n{}", unknown.join("\n"));
}

#[test]
fn tests_that_the_page_of_security_mentions_exist() {
    let page = read("docs/security.md");
    let tests = page.split_once("| attack | test |").expect("the table of attacks").1;
    let mut unknown = Vec::new();
    for (_, span) in code_spans(tests) {
        if span.contains(' ') || span.starts_with('.') || span.starts_with("--") || span.starts_with('/') {
            continue;
        }
        let mut parts: Vec<&str> = span.split("::").collect();
        let test = parts
            .last()
            .and_then(|last| last.strip_suffix("..."))
            .map(str::to_owned);
        if test.is_some() {
            parts.pop();
        }
        let module = format!("tests/{}", parts.join("/"));
        let found = [
            format!("{module}.rs"),
            format!("{module}/mod.rs"),
            format!("{module}/main.rs"),
        ];
        let found = found.into_iter().find(|file| path(file).exists());
        let has = |file: &String| {
            test.as_ref()
                .is_none_or(|test| read(file).contains(&format!("fn {test}")))
        };
        if !found.as_ref().is_some_and(has) {
            unknown.push(span);
        }
    }
    assert!(unknown.is_empty(), "there are no such tests: {}", unknown.join(", "));
}

#[test]
fn messages_that_the_page_of_troubleshooting_quotes_exist() {
    const PAGE: &str = "docs/troubleshooting.md";
    let sources: String = files("src", "rs")
        .into_iter()
        .map(|file| joined(&read(&file)))
        .collect();
    let text = read(PAGE);
    let mut unknown = Vec::new();
    for header in [
        "| the message contains | cause and remedy |",
        "| its Event contains | cause and remedy |",
    ] {
        for row in Table::find(PAGE, &text, header).rows {
            let quoted = code_spans(&row[0]).into_iter().filter(|(_, span)| span.contains(' '));
            unknown.extend(quoted.filter(|(_, span)| !sources.contains(span)).map(|(_, span)| span));
        }
    }
    assert!(
        unknown.is_empty(),
        "{PAGE} quotes messages that no code has:\n{}",
        unknown.join("\n")
    );
}

/// Returns the code with each string literal on one line.
fn joined(code: &str) -> String {
    let mut pieces = code.split("\\\n");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| text + piece.trim_start())
}

/// Returns the annotations, labels and finalizers that Bindery reads or writes.
fn owned() -> Vec<String> {
    let metadata = |name: &str| name.contains('/') && !name.starts_with('/') && !name.ends_with('/');
    let all = ["", "volume_annotation", "volume_attribute", "annotation"]
        .into_iter()
        .flat_map(names)
        .map(|name| name.value);
    all.filter(|name| metadata(name)).collect()
}

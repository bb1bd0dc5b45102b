//! Reads pages and their tables, and writes the parts that are generated from the code.

use std::path::{Path, PathBuf};

/// The placeholder where a person must write a text.
const TODO: &str = "TODO";

/// Returns the path of a file of the repository.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Returns the text of a file of the repository.
pub fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns the files below a folder of the repository with this ending, sorted. Excludes files that builds and tests
/// create.
pub fn files(folder: &str, ending: &str) -> Vec<String> {
    const LEFT_OUT: [&str; 5] = [".git", "target", "corpus", "artifacts", "node_modules"];
    let root = path("");
    let (mut found, mut folders) = (Vec::new(), vec![path(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !LEFT_OUT.contains(&name) {
                folders.push(path);
            } else if path.is_file() && name.ends_with(&format!(".{ending}")) {
                found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Returns all documents about the current version. Excludes the change log, which also describes earlier versions.
pub fn documents() -> Vec<String> {
    let pages = files("", "md").into_iter();
    pages.filter(|page| page != "CHANGELOG.md").collect()
}

/// A table of a page, as it is written there.
#[derive(Debug)]
pub struct Table {
    /// The lines of the page from the first row to the line after the last row.
    lines: std::ops::Range<usize>,
    /// The cells of its rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns the table of a page whose first line is `header`.
    pub fn find(page: &str, text: &str, header: &str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let at = lines.iter().position(|line| *line == header);
        let first = at.unwrap_or_else(|| panic!("{page} has no table that begins with {header}")) + 2;
        let rows = lines[first..].iter().take_while(|line| line.starts_with('|'));
        let rows: Vec<Vec<String>> = rows.map(|row| cells(row)).collect();
        Self {
            lines: first..first + rows.len(),
            rows,
        }
    }
}

/// Returns the cells of a line of a table.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// Checks that a table of a page has exactly these rows, in this order, with these cells. The first cell identifies a row.
/// `None` accepts any text in a cell.
pub fn check_table(page: &str, header: &str, expected: &[Vec<Option<String>>]) {
    let text = read(page);
    let table = Table::find(page, &text, header);
    let rows = expected.iter().map(|expected| {
        let written = table.rows.iter().find(|row| Some(&row[0]) == expected[0].as_ref());
        let cells = expected.iter().enumerate().map(|(column, cell)| {
            let there = written.and_then(|row| row.get(column).cloned());
            cell.clone().or(there).unwrap_or_else(|| TODO.to_owned())
        });
        let cells: Vec<String> = cells.collect();
        format!("| {} |", cells.join(" | ")).replace("|  |", "| |")
    });
    let rows: Vec<String> = rows.collect();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.splice(table.lines, rows.iter().map(String::as_str));
    resolve(page, &text, &(lines.join("\n") + "\n"));
}

/// Checks that the text between the two marks with this name in a page is `expected`.
pub fn check_part(page: &str, name: &str, expected: &str) {
    let text = read(page);
    let begin = format!("<!-- begin: {name}, written by tests/docs -->\n");
    let end = format!("<!-- end: {name} -->\n");
    let parts = text
        .split_once(&begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.unwrap_or_else(|| panic!("{page} lacks {begin}or {end}"));
    resolve(page, &text, &format!("{before}{begin}\n{expected}\n\n{end}{after}"));
}

/// Checks that a file of the repository has exactly this text.
pub fn check_file(file: &str, expected: &str) {
    let text = std::fs::read_to_string(path(file)).unwrap_or_default();
    resolve(file, &text, expected);
}

/// Compares a page with the expected text. With `UPDATE_DOCS=1`, writes the expected text.
fn resolve(page: &str, text: &str, expected: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        if text != expected {
            std::fs::write(path(page), expected).unwrap();
        }
    } else if text != expected {
        let differs = text.lines().zip(expected.lines()).find(|(is, should)| is != should);
        let (is, should) = differs.unwrap_or(("a shorter or longer page", "see below"));
        panic!(
            "{page} differs from the code. It says\n  {is}\nand should say\n  {should}\nRun UPDATE_DOCS=1 cargo test --test \
             docs, and write what a new row means"
        );
    }
    assert!(!expected.contains(TODO), "{page}: write what stands for {TODO}");
}

/// Returns the code spans of a text that are outside code blocks, with their line numbers.
pub fn code_spans(text: &str) -> Vec<(usize, String)> {
    let mut spans = Vec::new();
    for (number, line) in prose(text) {
        let mut pieces = line.split('`');
        pieces.next();
        while let Some(span) = pieces.next() {
            spans.push((number, span.to_owned()));
            pieces.next();
        }
    }
    spans
}

/// Returns the lines of a text that are outside code blocks, with their numbers. A code block is fenced, or indented by
/// four spaces after an empty line.
pub fn prose(text: &str) -> Vec<(usize, &str)> {
    let (mut fenced, mut indented, mut empty_before) = (false, false, true);
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let is_fence = line.trim_start().starts_with("```");
        indented = line.starts_with("    ") && (indented || empty_before) && !line.trim_start().starts_with(['-', '*']);
        empty_before = line.trim().is_empty();
        if is_fence {
            fenced = !fenced;
        } else if !fenced && !indented {
            lines.push((index + 1, line));
        }
    }
    lines
}

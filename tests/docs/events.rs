//! The reasons of Events.

use super::names::names;
use super::page::check_table;

#[test]
fn every_reason_has_its_row() {
    let row = |reason: String| {
        [Some(format!("`{reason}`"))]
            .into_iter()
            .chain(std::iter::repeat_n(None, 4))
            .collect()
    };
    let rows: Vec<_> = names("reason").into_iter().map(|name| row(name.value)).collect();
    check_table(
        "docs/events.md",
        "| reason | type | object | what happened | what to do |",
        &rows,
    );
}

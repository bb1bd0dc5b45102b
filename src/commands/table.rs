//! Prints tables for people.

use std::fmt::Write;
use std::io::{IsTerminal, stdout};

/// The end of an entry that was cut.
const CUT: char = '…';
/// The headers of the columns that may be cut.
const CAN_BE_CUT: [&str; 4] = ["DIRECTORY", "SHARE", "CLASS", "STORAGECLASS"];
/// A column that was cut keeps at least this many characters.
const NARROWEST: usize = 6;
/// The spaces between two columns.
const GAP: usize = 2;

/// Returns lines with aligned columns. A column is as wide as its widest entry; the first one has at least `first`
/// characters. The last column is not padded.
pub fn aligned<const N: usize>(lines: &[[String; N]], first: usize) -> String {
    let mut widths = widths(lines);
    if let Some(width) = widths.first_mut() {
        *width = first.max(*width);
    }
    print(lines, &widths)
}

/// Returns lines with aligned columns that fit a terminal of `width` columns. Only columns of [`CAN_BE_CUT`] are cut, because
/// names and numbers are copied from the terminal. If that is not enough, nothing is cut, and the terminal wraps the lines.
/// Without a width, nothing is cut. The first line is the header.
pub fn fitted<L: AsRef<[String]>>(lines: &[L], width: Option<usize>) -> String {
    let whole = widths(lines);
    let header = lines.first().map(AsRef::as_ref).unwrap_or_default();
    let cut = width.and_then(|available| fit(&whole, header, available));
    print(lines, &cut.unwrap_or(whole))
}

/// Returns the width of the terminal to which the command prints: from `COLUMNS`, else from the terminal. `None` if the
/// output is not a terminal.
pub fn terminal_width() -> Option<usize> {
    if !stdout().is_terminal() {
        return None;
    }
    let set = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let asked = || {
        let size = rustix::termios::tcgetwinsize(stdout()).ok()?;
        Some(usize::from(size.ws_col))
    };
    set.or_else(asked).filter(|&width: &usize| width > 0)
}

fn widths<L: AsRef<[String]>>(lines: &[L]) -> Vec<usize> {
    let mut widths = Vec::new();
    for line in lines {
        let line = line.as_ref();
        widths.resize(line.len().max(widths.len()), 0);
        for (entry, width) in line.iter().zip(&mut widths) {
            *width = entry.chars().count().max(*width);
        }
    }
    widths
}

/// Takes characters from the widest column that may be cut, one by one, until all columns fit. Returns nothing if they do
/// not fit.
fn fit(whole: &[usize], header: &[String], available: usize) -> Option<Vec<usize>> {
    let mut widths = whole.to_vec();
    let gaps = widths.len().saturating_sub(1) * GAP;
    while widths.iter().sum::<usize>() + gaps > available {
        let columns = widths.iter_mut().zip(header);
        let can_be_cut = columns.filter(|(_, name)| CAN_BE_CUT.contains(&name.as_str()));
        let (widest, _) = can_be_cut.max_by_key(|(width, _)| **width)?;
        if *widest <= NARROWEST {
            return None;
        }
        *widest -= 1;
    }
    Some(widths)
}

fn print<L: AsRef<[String]>>(lines: &[L], widths: &[usize]) -> String {
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (entry, &width) in line.as_ref().iter().zip(widths) {
            let _ = write!(row, "{:width$}{:GAP$}", cut(entry, width), "");
        }
        text += row.trim_end();
        text.push('\n');
    }
    text
}

fn cut(entry: &str, width: usize) -> String {
    if entry.chars().count() <= width {
        return entry.to_owned();
    }
    let kept = entry.chars().take(width.saturating_sub(1));
    kept.chain([CUT]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&[&str]]) -> Vec<Vec<String>> {
        let line = |line: &&[&str]| line.iter().map(|&entry| entry.to_owned()).collect();
        lines.iter().map(line).collect()
    }

    #[test]
    fn directories_shares_and_classes_are_cut_until_the_line_fits() {
        let table = lines(&[
            &["NAME", "SIZE", "DIRECTORY"],
            &["data-1", "10Gi", "archived-team-a-data"],
        ]);
        assert_eq!(
            fitted(&table, Some(30)),
            "NAME    SIZE  DIRECTORY\ndata-1  10Gi  archived-team-a…\n"
        );
        assert_eq!(
            fitted(&table, Some(32)),
            fitted(&table, Some(30)).replace("team-a…", "team-a-d…")
        );
        let whole = "NAME    SIZE  DIRECTORY\ndata-1  10Gi  archived-team-a-data\n";
        for width in [Some(34), Some(500), None] {
            assert_eq!(fitted(&table, width), whole);
        }
        let table = lines(&[
            &["SERVER", "SHARE", "CLASS", "STORAGECLASS"],
            &["nas1", "/export/äöü", "a-long-class", "a-long-class"],
        ]);
        assert_eq!(
            fitted(&table, Some(36)),
            "SERVER  SHARE     CLASS     STORAGE…\nnas1    /export…  a-long-…  a-long-…\n"
        );
    }

    #[test]
    fn names_are_whole_in_the_narrowest_terminal() {
        let table = lines(&[&["NAME", "DIRECTORY"], &["data-20261128t163115z", "archived-old"]]);
        let whole = "NAME                   DIRECTORY\ndata-20261128t163115z  archived-old\n";
        assert_eq!(
            fitted(&table, Some(29)),
            whole.replace("DIRECTORY", "DIREC…").replace("archived-old", "archi…")
        );
        assert_eq!(fitted(&table, Some(28)), whole, "a column keeps some characters");
        let names = lines(&[
            &["NAME", "CLAIM", "USED"],
            &["data-20261128t163115z", "data", "120.4Gi"],
        ]);
        assert_eq!(fitted(&names, Some(10)), fitted(&names, None));
    }

    #[test]
    fn a_table_without_lines_is_empty() {
        assert_eq!(fitted(&lines(&[]), Some(10)), "");
    }
}

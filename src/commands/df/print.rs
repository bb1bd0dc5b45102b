//! Prints the space of volumes, archives and shares as tables.

use std::fmt::Write;

use jiff::Timestamp;

use super::items::{Item, ShareItem};
use super::shown::Shown;
use super::sums::Sum;
use crate::cli::df::GroupBy;
use crate::commands::age::since;
use crate::commands::table::{fitted, terminal_width};
use crate::model::space::size;

/// What is not known.
const UNKNOWN: &str = "-";
/// The mark of a number that is too small, because some directories could not be read.
const AT_LEAST: &str = "+";

/// Returns all tables. With several tables, each has a title. `all`: the claims are of several namespaces.
pub fn tables(shown: &Shown, by: Option<GroupBy>, all: bool, wide: bool) -> String {
    let now = Timestamp::now();
    let mut tables = Vec::new();
    if let Some(items) = &shown.volumes {
        tables.push(("volumes", volumes(items, all, wide, now)));
    }
    if let (Some(sums), Some(by)) = (&shown.volume_sums, by) {
        tables.push(("volumes", of_sums(sums, by, "VOLUMES")));
    }
    if let Some(items) = &shown.archives {
        tables.push(("archives", archives(items, all, wide, now)));
    }
    if let (Some(sums), Some(by)) = (&shown.archive_sums, by) {
        tables.push(("archives", of_sums(sums, by, "ARCHIVES")));
    }
    if let Some(items) = &shown.shares {
        tables.push(("shares", shares(items, wide, now)));
    }
    let mut text = String::new();
    let several = tables.len() > 1;
    for (at, (title, lines)) in tables.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        if lines.len() == 1 {
            let _ = writeln!(text, "There are no {title}.");
            continue;
        }
        if several {
            let _ = writeln!(text, "{}:", title.to_uppercase());
        }
        text += &fitted(lines, terminal_width());
    }
    if tables.iter().any(|(_, lines)| is_incomplete(lines)) {
        let _ = writeln!(
            text,
            "\n{AT_LEAST}: Bindery's NFS user may not read some directories; what is in them is not counted."
        );
    }
    text
}

fn is_incomplete(lines: &[Vec<String>]) -> bool {
    let mut cells = lines.iter().skip(1).flatten();
    cells.any(|cell| cell.ends_with(AT_LEAST) && cell.starts_with(|c: char| c.is_ascii_digit()))
}

fn volumes(items: &[Item], all: bool, wide: bool, now: Timestamp) -> Vec<Vec<String>> {
    let mut header = vec!["CLAIM", "CLASS", "CAPACITY", "USED", "USE%", "FILES", "MEASURED"];
    if wide {
        header.extend(["LIMIT", "VOLUME", "SHARE", "DIRECTORY"]);
    }
    table(header, all, items, |item| {
        let mut cells = vec![
            item.claim.clone(),
            item.class.clone(),
            amount(item.capacity),
            used(item.used, item.unread.is_some()),
            percent(item.used, item.capacity),
            count(item.files),
            age(item.measured, now),
        ];
        if wide {
            cells.extend([
                amount(item.limit),
                item.name.clone(),
                share_of(item),
                item.directory.clone(),
            ]);
        }
        cells
    })
}

fn archives(items: &[Item], all: bool, wide: bool, now: Timestamp) -> Vec<Vec<String>> {
    let mut header = vec!["ARCHIVE", "CLAIM", "CLASS", "USED", "FILES", "EXPIRES", "MEASURED"];
    if wide {
        header.extend(["CAPACITY", "SHARE", "DIRECTORY"]);
    }
    table(header, all, items, |item| {
        let mut cells = vec![
            item.name.clone(),
            item.claim.clone(),
            item.class.clone(),
            used(item.used, item.unread.is_some()),
            count(item.files),
            item.expires_at.clone().unwrap_or_else(|| "never".to_owned()),
            age(item.measured, now),
        ];
        if wide {
            cells.extend([amount(item.capacity), share_of(item), item.directory.clone()]);
        }
        cells
    })
}

fn table(mut header: Vec<&str>, all: bool, items: &[Item], cells: impl Fn(&Item) -> Vec<String>) -> Vec<Vec<String>> {
    if all {
        header.insert(0, "NAMESPACE");
    }
    let line = |item: &Item| {
        let mut cells = cells(item);
        if all {
            cells.insert(0, item.namespace.clone());
        }
        cells
    };
    let header = header.into_iter().map(str::to_owned).collect();
    [header].into_iter().chain(items.iter().map(line)).collect()
}

fn of_sums(sums: &[Sum], by: GroupBy, what: &str) -> Vec<Vec<String>> {
    let name = match by {
        GroupBy::Namespace => "NAMESPACE",
        GroupBy::Class => "CLASS",
    };
    let header = [name, what, "MEASURED", "CAPACITY", "USED", "FILES"].map(str::to_owned);
    let line = |sum: &Sum| {
        vec![
            sum.name.clone(),
            sum.count.to_string(),
            sum.measured.to_string(),
            size(sum.capacity),
            used(Some(sum.used), sum.unread > 0),
            sum.files.to_string(),
        ]
    };
    [header.to_vec()].into_iter().chain(sums.iter().map(line)).collect()
}

fn shares(items: &[ShareItem], wide: bool, now: Timestamp) -> Vec<Vec<String>> {
    let mut header = vec!["SERVER", "SHARE", "SIZE", "USED", "AVAILABLE", "USE%", "MEASURED"];
    if wide {
        header.extend(["FILES", "FILES-AVAILABLE"]);
    }
    let line = |share: &ShareItem| {
        let mut cells = vec![
            share.server.clone(),
            share.share.clone(),
            amount(share.size),
            amount(share.used()),
            amount(share.available),
            percent(share.used(), share.size),
            age(share.measured_at.parse().ok(), now),
        ];
        if wide {
            cells.extend([count(share.used_files()), count(share.available_files)]);
        }
        cells
    };
    let header = header.into_iter().map(str::to_owned).collect();
    [header].into_iter().chain(items.iter().map(line)).collect()
}

fn share_of(item: &Item) -> String {
    format!("{}:{}", item.server, item.share)
}

fn amount(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| UNKNOWN.to_owned(), size)
}

fn used(bytes: Option<u64>, incomplete: bool) -> String {
    let mark = if incomplete { AT_LEAST } else { "" };
    format!("{}{mark}", amount(bytes))
}

fn count(number: Option<u64>) -> String {
    number.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string())
}

/// Returns a part in percent, rounded up: what is not empty is at least 1 %.
fn percent(part: Option<u64>, whole: Option<u64>) -> String {
    match (part, whole.filter(|whole| *whole > 0)) {
        (Some(part), Some(whole)) => {
            let percent = (u128::from(part) * 100).div_ceil(u128::from(whole));
            format!("{percent}%")
        }
        _ => UNKNOWN.to_owned(),
    }
}

/// Returns how long ago this was.
fn age(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map_or_else(|| UNKNOWN.to_owned(), |then| format!("{} ago", since(then, now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-30T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_percentage_is_rounded_up() {
        assert_eq!(percent(Some(0), Some(1000)), "0%");
        assert_eq!(percent(Some(1), Some(1000)), "1%");
        assert_eq!(percent(Some(1500), Some(1000)), "150%");
        assert_eq!(percent(Some(1), Some(0)), "-");
        assert_eq!(percent(None, Some(1)), "-");
    }

    #[test]
    fn a_table_of_volumes_shows_what_is_measured() {
        let measured = Item {
            namespace: "team-a".to_owned(),
            claim: "data".to_owned(),
            class: "fast".to_owned(),
            capacity: Some(10 << 30),
            used: Some(3 << 30),
            files: Some(12),
            unread: Some(1),
            measured: Some(now()),
            ..Item::default()
        };
        let new = Item {
            claim: "a-new-claim".to_owned(),
            used: None,
            files: None,
            unread: None,
            measured: None,
            ..measured.clone()
        };
        let lines = volumes(&[measured, new], true, false, now());
        assert_eq!(
            fitted(&lines, None),
            "NAMESPACE  CLAIM        CLASS  CAPACITY  USED      USE%  FILES  MEASURED\n\
             team-a     data         fast   10.0 GiB  3.0 GiB+  30%   12     0s ago\n\
             team-a     a-new-claim  fast   10.0 GiB  -         -     -      -\n"
        );
        assert!(is_incomplete(&lines));
    }

    #[test]
    fn a_share_whose_server_does_not_answer_has_no_numbers() {
        let share = ShareItem::new("nas1".to_owned(), "/export".to_owned(), None, now());
        let lines = shares(&[share], false, now());
        assert_eq!(
            fitted(&lines, None),
            "SERVER  SHARE    SIZE  USED  AVAILABLE  USE%  MEASURED\n\
             nas1    /export  -     -     -          -     0s ago\n"
        );
    }
}

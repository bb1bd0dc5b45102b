//! Prints the space of volumes, archives and shares as tables.

use std::fmt::Write;

use jiff::Timestamp;

use super::items::{Item, ShareItem};
use super::shown::Shown;
use super::sums::Sum;
use crate::cli::df::GroupBy;
use crate::commands::age::since;
use crate::commands::bytes::{AT_LEAST, UNKNOWN, known, short, used};
use crate::commands::table::{fitted, terminal_width};

/// What is shown for a share whose server does not answer.
const NO_ANSWER: &str = "no answer";
/// The title of the shares, which have no namespace.
const SHARES: &str = "shares";

/// Returns all tables. With several tables, each has a title. `namespace` is that of the claims; `None`: all.
pub fn tables(shown: &Shown, by: Option<GroupBy>, namespace: Option<&str>, wide: bool) -> String {
    let (now, all) = (Timestamp::now(), namespace.is_none());
    let place = namespace
        .map(|namespace| format!(" in namespace {namespace}"))
        .unwrap_or_default();
    // Wide tables are never cut, and the names in tables of sums are what they are about.
    let width = terminal_width().filter(|_| !wide && by.is_none());
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
        tables.push((SHARES, shares(items, wide, now)));
    }
    let mut text = String::new();
    let several = tables.len() > 1;
    for (at, (title, lines)) in tables.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        if lines.len() == 1 {
            let place = if *title == SHARES { "" } else { &*place };
            let _ = writeln!(text, "There are no {title}{place}.");
            continue;
        }
        if several {
            let _ = writeln!(text, "{}:", title.to_uppercase());
        }
        text += &fitted(lines, width);
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
            known(item.capacity),
            used(item.used, item.unread.is_some()),
            percent(item.used, item.capacity),
            count(item.files),
            age(item.measured, now),
        ];
        if wide {
            cells.extend([
                known(item.limit),
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
            item.shown_claim(),
            item.class.clone(),
            used(item.used, item.unread.is_some()),
            count(item.files),
            expires(item),
            age(item.measured, now),
        ];
        if wide {
            cells.extend([known(item.capacity), share_of(item), directory(item)]);
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
            format!("{} of {}", sum.measured, sum.count),
            short(sum.capacity),
            used(sum.used, sum.unread > 0),
            count(sum.files),
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
            known(share.size),
            known(share.used()),
            known(share.available),
            percent(share.used(), share.size),
            match share.size {
                Some(_) => age(share.measured_at.parse().ok(), now),
                None if share.down_since.is_some() => NO_ANSWER.to_owned(),
                None => UNKNOWN.to_owned(),
            },
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
    then.map_or_else(|| UNKNOWN.to_owned(), |then| since(then, now))
}

/// Returns when an archive is removed. The data of one that was restored does not expire.
fn expires(item: &Item) -> String {
    let without = if item.is_restored() { UNKNOWN } else { "never" };
    item.expires_at.clone().unwrap_or_else(|| without.to_owned())
}

fn directory(item: &Item) -> String {
    if item.directory.is_empty() {
        return UNKNOWN.to_owned();
    }
    item.directory.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::archive::ArchivePhase;

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
            "NAMESPACE  CLAIM        CLASS  CAPACITY  USED  USE%  FILES  MEASURED\n\
             team-a     data         fast   10Gi      3Gi+  30%   12     0s\n\
             team-a     a-new-claim  fast   10Gi      -     -     -      -\n"
        );
        assert!(is_incomplete(&lines));
    }

    #[test]
    fn a_share_whose_server_does_not_answer_or_does_not_tell_has_no_numbers() {
        let share = ShareItem::new("nas1".to_owned(), "/export".to_owned(), None, now());
        let lines = shares(&[share.clone().with_outage(Some(now())), share], false, now());
        assert_eq!(
            fitted(&lines, None),
            "SERVER  SHARE    SIZE  USED  AVAILABLE  USE%  MEASURED\n\
             nas1    /export  -     -     -          -     no answer\n\
             nas1    /export  -     -     -          -     -\n"
        );
    }

    #[test]
    fn a_table_of_archives_names_the_old_namespace_and_shows_no_expiry_of_restored_ones() {
        let kept = Item {
            namespace: "bindery".to_owned(),
            claim: "data".to_owned(),
            claim_namespace: Some("team-c".to_owned()),
            name: "data-1".to_owned(),
            class: "fast".to_owned(),
            used: Some(7 << 20 | 1),
            files: Some(3),
            measured: Some(now() - jiff::SignedDuration::from_secs(246)),
            directory: "archived-1".to_owned(),
            ..Item::default()
        };
        let restored = Item {
            name: "data-2".to_owned(),
            phase: Some(ArchivePhase::Restored),
            used: None,
            files: None,
            measured: None,
            directory: String::new(),
            ..kept.clone()
        };
        let lines = archives(&[kept, restored], true, true, now());
        assert_eq!(
            fitted(&lines, None),
            "NAMESPACE  ARCHIVE  CLAIM        CLASS  USED   FILES  EXPIRES  MEASURED  CAPACITY  SHARE  DIRECTORY\n\
             bindery    data-1   team-c/data  fast   7.0Mi  3      never    4m6s      -         :      archived-1\n\
             bindery    data-2   team-c/data  fast   -      -      -        -         -         :      -\n"
        );
    }

    #[test]
    fn a_sum_says_how_many_are_measured() {
        let sum = Sum {
            name: "team-a".to_owned(),
            count: 6,
            measured: 5,
            capacity: 10 << 30,
            used: Some(3 << 30),
            files: Some(7),
            unread: 0,
        };
        let new = Sum {
            name: "team-b".to_owned(),
            measured: 0,
            used: None,
            files: None,
            ..sum.clone()
        };
        assert_eq!(
            fitted(&of_sums(&[sum, new], GroupBy::Namespace, "VOLUMES"), None),
            "NAMESPACE  VOLUMES  MEASURED  CAPACITY  USED  FILES\n\
             team-a     6        5 of 6    10Gi      3Gi   7\n\
             team-b     6        0 of 6    10Gi      -     -\n"
        );
    }

    #[test]
    fn an_empty_table_names_the_namespace() {
        let shown = Shown {
            volumes: Some(Vec::new()),
            shares: Some(Vec::new()),
            ..Shown::default()
        };
        assert_eq!(
            tables(&shown, None, Some("team-a"), false),
            "There are no volumes in namespace team-a.\n\nThere are no shares.\n"
        );
        assert!(tables(&shown, None, None, false).starts_with("There are no volumes.\n"));
    }
}

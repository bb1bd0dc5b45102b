//! Metrics, as the registry has them.

use std::collections::BTreeSet;
use std::time::Instant;

use bindery::model::archive::ArchivePhase;
use bindery::model::directory::Share;
use bindery::model::share_space::ShareSpace;
use bindery::model::space::{FileSpace, Space};
use bindery::model::usage::Usage;
use bindery::ops::metrics::{Metrics, Waiting};
use bindery::ops::space_metrics::{ArchiveSpace, VolumeSpace};

use super::page::{Table, check_table, documents, files, read};

const PAGE: &str = "docs/metrics.md";

#[test]
fn every_metric_has_its_row() {
    let text = exposed();
    let mut rows = Vec::new();
    for line in text.lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let name = match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        };
        rows.push(
            [format!("`{name}`"), kind.to_owned(), labels(&text, &name)]
                .into_iter()
                .map(Some)
                .chain([None])
                .collect(),
        );
    }
    let source = read("src/ops/metrics.rs");
    let calls = [
        "        share(\n",
        "        share(\"",
        "        volume(\n",
        "        archive(\n",
    ];
    let of_space = read("src/ops/space_metrics.rs");
    let registered = source.matches("&mut registry,").count()
        + source.matches("Info::new(").count()
        + calls.map(|call| of_space.matches(call).count()).iter().sum::<usize>();
    assert_eq!(
        rows.len(),
        registered,
        "tests/docs/metrics.rs must use each metric once: one that is never used is not shown"
    );
    check_table(PAGE, "| metric | type | labels | meaning |", &rows);
}

#[test]
fn every_outcome_of_a_step_is_explained() {
    let text = read(PAGE);
    let steps = text
        .split_once("`bindery_volume_steps_total`, label `outcome`:")
        .expect("the outcomes of steps")
        .1;
    let table = Table::find(PAGE, steps, "| value | meaning |");
    let explained: BTreeSet<String> = table
        .rows
        .iter()
        .map(|row| row[0].trim_matches('`').to_owned())
        .collect();
    let counted = files("src", "rs").into_iter().flat_map(|file| {
        let source = read(&file);
        let calls = source.split("metrics.step(\"").skip(1);
        let outcomes = calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
        outcomes.collect::<Vec<_>>()
    });
    assert_eq!(
        explained,
        counted.collect(),
        "{PAGE}: outcomes of bindery_volume_steps_total"
    );
}

#[test]
fn metrics_that_documents_name_exist() {
    let known = exposed();
    let mut unknown = Vec::new();
    for file in documents().into_iter().chain(files("deploy", "yaml")) {
        let text = read(&file);
        // With the dash, so that names of files such as `kubectl-bindery_...` are no metrics.
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
        for word in words.filter(|word| word.starts_with("bindery_") && *word != "bindery_trash_") {
            let base = word
                .trim_end_matches("_count")
                .trim_end_matches("_sum")
                .trim_end_matches("_bucket");
            if !known.contains(&format!("{base}{{"))
                && !known.contains(&format!("{base}_"))
                && !known.contains(&format!("{base} "))
            {
                unknown.push(format!("{file}: {word}"));
            }
        }
    }
    assert!(unknown.is_empty(), "there are no such metrics:\n{}", unknown.join("\n"));
}

/// Returns the text that Prometheus reads after every metric was used once.
fn exposed() -> String {
    let metrics = Metrics::default();
    metrics.review("provision", Instant::now());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(metrics.wait("api", async {}));
    metrics.step("bound");
    metrics.archives([ArchivePhase::Available].into_iter());
    let oldest = Some(jiff::Timestamp::now());
    metrics.claims_waiting(&[("bindery".to_owned(), Waiting { claims: 1, oldest })].into());
    metrics.server_down(&endpoint(), true);
    metrics.not_sent("down");
    metrics.webhook_rejected("unknown_path");
    let name = || "x".to_owned();
    let files = Some(FileSpace { total: 2, available: 1 });
    let space = Space {
        total: 2,
        available: 1,
        files,
    };
    let share = ShareSpace::new(name(), name(), Some(space), jiff::Timestamp::now());
    metrics.space.set_shares(vec![share]);
    let volume = VolumeSpace {
        capacity: Some(1),
        usage: Some(Usage {
            bytes: 1,
            files: 1,
            unread: 0,
            limit: Some(1),
            measured: jiff::Timestamp::now(),
        }),
    };
    metrics.space.set_volumes([([name(), name(), name()], volume)].into());
    metrics
        .space
        .set_archives([([name(), name()], ArchiveSpace::default())].into());
    metrics.text()
}

fn endpoint() -> bindery::model::endpoint::Endpoint {
    bindery::model::endpoint::Endpoint::nfs(&Share::parse("nas", "/export").unwrap())
}

/// Returns the names of a metric's labels.
fn labels(text: &str, name: &str) -> String {
    let of_metric = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', '_']));
    let sample = text.lines().find(of_metric).and_then(|line| line.split_once('{'));
    let labels = sample.map_or("", |(_, rest)| rest.split_once('}').map_or("", |(labels, _)| labels));
    let names: Vec<String> = labels
        .split(',')
        .filter_map(|label| Some(label.split_once('=')?.0))
        .filter(|name| *name != "le")
        .map(|name| format!("`{name}`"))
        .collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

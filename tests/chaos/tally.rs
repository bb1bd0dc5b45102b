//! Counters of operations, faults and refusals, and the findings.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bindery::failpoints::Point;

use crate::schedule::{Kind, Part};

/// The counters of a run.
#[derive(Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    operations: BTreeMap<&'static str, u32>,
    faults: BTreeMap<(Part, &'static str), u32>,
    crashes: BTreeMap<String, u32>,
    ends: BTreeMap<Part, u32>,
    refusals: BTreeMap<String, u32>,
    findings: Vec<String>,
}

impl Tally {
    /// Counts an operation by its result.
    pub fn operation(&self, what: &'static str) {
        *self.counts().operations.entry(what).or_default() += 1;
    }

    /// Counts a refusal of Bindery by its message.
    pub fn refusal(&self, why: &str) {
        *self.counts().refusals.entry(kind_of(why)).or_default() += 1;
    }

    /// Counts a fault of a process.
    pub fn fault(&self, part: Part, kind: Kind) {
        let kind = match kind {
            Kind::Kill => "killed",
            Kind::Pause => "paused",
            Kind::Terminate => "terminated",
            Kind::CrashAt(_) => "started with a crash point",
        };
        *self.counts().faults.entry((part, kind)).or_default() += 1;
    }

    /// Counts a crash of a replica at a crash point.
    pub fn crashed(&self, at: Point) {
        *self.counts().crashes.entry(at.to_string()).or_default() += 1;
    }

    /// Counts a process that ended by itself.
    pub fn ended_by_itself(&self, part: Part) {
        *self.counts().ends.entry(part).or_default() += 1;
    }

    /// Records and prints a violation of an invariant.
    pub fn finding(&self, what: String) {
        let mut counts = self.counts();
        if !counts.findings.contains(&what) {
            println!("  FINDING: {what}");
            counts.findings.push(what);
        }
    }

    /// Returns all recorded violations.
    pub fn findings(&self) -> Vec<String> {
        self.counts().findings.clone()
    }

    /// Returns one line about the progress.
    pub fn progress(&self) -> String {
        let counts = self.counts();
        let sum = |counts: &mut dyn Iterator<Item = &u32>| counts.sum::<u32>();
        format!(
            "{} operations, {} faults, {} findings",
            sum(&mut counts.operations.values()),
            sum(&mut counts.faults.values()),
            counts.findings.len()
        )
    }

    /// Returns all counters as lines of text.
    pub fn text(&self) -> String {
        let counts = self.counts();
        let mut text = String::new();
        let mut line = |what: &str, count: u32| {
            let _ = writeln!(text, "  {count:>6}  {what}");
        };
        for (what, count) in &counts.operations {
            line(what, *count);
        }
        for ((part, kind), count) in &counts.faults {
            line(&format!("{part} {kind}"), *count);
        }
        for (point, count) in &counts.crashes {
            line(&format!("replica crashed at point {point}"), *count);
        }
        for (part, count) in &counts.ends {
            line(&format!("{part} ended by itself and was restarted"), *count);
        }
        for (why, count) in &counts.refusals {
            line(&format!("refused with: {why}"), *count);
        }
        text
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a message with all names of claims and volumes replaced by `*`.
fn kind_of(why: &str) -> String {
    let particular = |word: &&str| {
        word.contains("pvc-") || word.contains("data-") || word.contains("chaos-") || word.contains("static-")
    };
    let words = why.split_whitespace();
    words
        .map(|word| if particular(&word) { "*" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

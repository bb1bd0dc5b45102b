//! What was done, what happened, and what was found.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bindery::failpoints::Point;

use crate::schedule::{Kind, Part};

/// Counts of one run.
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
    /// An operation came to this end.
    pub fn operation(&self, what: &'static str) {
        *self.counts().operations.entry(what).or_default() += 1;
    }

    /// Bindery has refused a claim.
    pub fn refusal(&self, why: &str) {
        *self.counts().refusals.entry(kind_of(why)).or_default() += 1;
    }

    /// A part failed.
    pub fn fault(&self, part: Part, kind: Kind) {
        let kind = match kind {
            Kind::Kill => "killed",
            Kind::Pause => "paused",
            Kind::Terminate => "terminated",
            Kind::CrashAt(_) => "started with a crash point",
        };
        *self.counts().faults.entry((part, kind)).or_default() += 1;
    }

    /// A replica died at a crash point.
    pub fn crashed(&self, at: Point) {
        *self.counts().crashes.entry(at.to_string()).or_default() += 1;
    }

    /// A part ended without being asked to.
    pub fn ended_by_itself(&self, part: Part) {
        *self.counts().ends.entry(part).or_default() += 1;
    }

    /// Something that must never be.
    pub fn finding(&self, what: String) {
        let mut counts = self.counts();
        if !counts.findings.contains(&what) {
            println!("  FOUND: {what}");
            counts.findings.push(what);
        }
    }

    /// All that must never be.
    pub fn findings(&self) -> Vec<String> {
        self.counts().findings.clone()
    }

    /// How far it has come.
    pub fn progress(&self) -> String {
        let counts = self.counts();
        let sum = |counts: &mut dyn Iterator<Item = &u32>| counts.sum::<u32>();
        format!(
            "{} events of claims, {} faults, {} findings",
            sum(&mut counts.operations.values()),
            sum(&mut counts.faults.values()),
            counts.findings.len()
        )
    }

    /// All of it, for people.
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
            line(&format!("{part:?} {kind}"), *count);
        }
        for (point, count) in &counts.crashes {
            line(&format!("died at {point}"), *count);
        }
        for (part, count) in &counts.ends {
            line(&format!("{part:?} ended by itself, and was started again"), *count);
        }
        for (why, count) in &counts.refusals {
            line(&format!("refused: {why}"), *count);
        }
        text
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message without what is particular to one claim.
fn kind_of(why: &str) -> String {
    let particular = |word: &&str| word.contains("pvc-") || word.contains("data-") || word.contains("chaos-");
    let words = why.split_whitespace();
    words
        .map(|word| if particular(&word) { "*" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

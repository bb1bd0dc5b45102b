//! The figures of a run, as a table and as JSON.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

/// All figures of a run, in the order of the output.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

/// One figure. Its unit determines its format.
#[derive(Serialize)]
pub struct Row {
    part: &'static str,
    what: String,
    /// The measured value. If there are several runs, their median.
    measured: f64,
    /// The results of all runs, in order. Empty if there was only one.
    runs: Vec<f64>,
    unit: Unit,
    #[serde(flatten)]
    expected: Option<Expected>,
    holds: Option<bool>,
}

/// The unit of a figure.
#[derive(Clone, Copy, Serialize)]
pub enum Unit {
    /// Milliseconds.
    #[serde(rename = "ms")]
    Ms,
    /// Microseconds.
    #[serde(rename = "us")]
    Micros,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Bytes.
    #[serde(rename = "bytes")]
    Bytes,
    /// Megabytes (millions of bytes).
    #[serde(rename = "MB")]
    Megabytes,
    /// Claims per second.
    #[serde(rename = "claims/s")]
    Rate,
    /// Files per second.
    #[serde(rename = "files/s")]
    Files,
    /// Admission reviews per second.
    #[serde(rename = "reviews/s")]
    Reviews,
    /// Percent.
    #[serde(rename = "%")]
    Percent,
    /// A ratio of two figures.
    #[serde(rename = "times")]
    Ratio,
    /// A count.
    #[serde(rename = "")]
    Count,
}

/// The target of a figure.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Expected {
    /// This value or less.
    AtMost(f64),
    /// This value or more.
    AtLeast(f64),
}

impl Table {
    /// Adds a part to the table.
    pub fn part<'a>(&'a mut self, part: &'static str) -> Part<'a> {
        Part { part, table: self }
    }

    /// Returns the table as text: a heading for each part, a line for each figure.
    pub fn text(&self) -> String {
        let what = |row: &Row| row.what.chars().count();
        let width = self.rows.iter().map(what).max().unwrap_or_default();
        let mut text = format!("    {:width$}  {:>15}  {:>15}\n", "", "measured", "target");
        let mut part = "";
        for row in &self.rows {
            if row.part != part {
                part = row.part;
                let _ = writeln!(text, "\n  {part}");
            }
            let measured = row.unit.write(row.measured);
            let expected = match row.expected {
                Some(Expected::AtMost(limit)) => format!("<= {}", row.unit.write(limit)),
                Some(Expected::AtLeast(limit)) => format!(">= {}", row.unit.write(limit)),
                None => String::new(),
            };
            let holds = row.holds.map_or("", |holds| if holds { "met" } else { "not met" });
            let spread = row.unit.spread(&row.runs);
            let line = format!(
                "    {:width$}  {measured:>15}  {expected:>15}  {holds:7}  {spread}",
                row.what
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// Writes the unrounded figures as JSON, with a description of the machine.
    pub fn write(&self, file: &Path, on: Value) -> Result<()> {
        let json = json!({"on": on, "figures": self.rows});
        std::fs::write(file, format!("{json:#}\n")).with_context(|| file.display().to_string())
    }
}

/// A part of the table that is being filled.
pub struct Part<'a> {
    part: &'static str,
    table: &'a mut Table,
}

impl Part<'_> {
    /// Adds a figure without a target.
    pub fn note(&mut self, what: impl Into<String>, measured: f64, unit: Unit) {
        self.figure(what, measured, unit, None);
    }

    /// Adds a figure with a target.
    pub fn expect(&mut self, what: impl Into<String>, measured: f64, unit: Unit, expected: Expected) {
        self.figure(what, measured, unit, Some(expected));
    }

    /// Adds a figure with or without a target.
    pub fn figure(&mut self, what: impl Into<String>, measured: f64, unit: Unit, expected: Option<Expected>) {
        self.runs(what, &[measured], unit, expected);
    }

    /// Adds the median of several runs, with their minimum and maximum.
    pub fn runs(&mut self, what: impl Into<String>, runs: &[f64], unit: Unit, expected: Option<Expected>) {
        let measured = median(runs);
        let holds = expected.map(|expected| match expected {
            Expected::AtMost(limit) => measured <= limit,
            Expected::AtLeast(limit) => measured >= limit,
        });
        self.table.rows.push(Row {
            part: self.part,
            what: what.into(),
            measured,
            runs: if runs.len() > 1 { runs.to_vec() } else { Vec::new() },
            unit,
            expected,
            holds,
        });
    }
}

/// Returns the median. If there are two middle values, returns the lower one.
fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

impl Unit {
    fn spread(self, runs: &[f64]) -> String {
        let least = runs.iter().copied().min_by(f64::total_cmp);
        let most = runs.iter().copied().max_by(f64::total_cmp);
        let ends = least.zip(most);
        ends.map_or_else(String::new, |(least, most)| {
            format!("{} to {}", self.write(least), self.write(most))
        })
    }

    fn write(self, value: f64) -> String {
        match self {
            Self::Ms => format!("{value:.1} ms"),
            Self::Micros => format!("{value:.0} us"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Bytes => format!("{value:.0} bytes"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Rate => format!("{value:.1} claims/s"),
            Self::Files => format!("{value:.0} files/s"),
            Self::Reviews => format!("{value:.0} reviews/s"),
            Self::Percent => format!("{value:.0} %"),
            Self::Ratio => format!("{value:.2}"),
            Self::Count => format!("{value:.0}"),
        }
    }
}

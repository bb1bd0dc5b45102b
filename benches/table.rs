//! What was measured, as a table for people and as JSON for everything else.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

/// All figures of a run, in the order in which they are shown.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

/// One figure. Its unit says how it is written.
#[derive(Serialize)]
pub struct Row {
    part: &'static str,
    what: String,
    measured: f64,
    unit: Unit,
    #[serde(flatten)]
    expected: Option<Expected>,
    holds: Option<bool>,
}

/// What a figure counts.
#[derive(Clone, Copy, Serialize)]
pub enum Unit {
    /// Milliseconds.
    #[serde(rename = "ms")]
    Ms,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Millions of bytes.
    #[serde(rename = "MB")]
    Megabytes,
    /// Claims a second.
    #[serde(rename = "claims/s")]
    Rate,
    /// Files a second.
    #[serde(rename = "files/s")]
    Files,
    /// Parts of a hundred.
    #[serde(rename = "%")]
    Percent,
    /// One by the other.
    #[serde(rename = "times")]
    Ratio,
    /// Things.
    #[serde(rename = "")]
    Count,
}

/// Where a figure should lie.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Expected {
    /// There or lower.
    AtMost(f64),
    /// There or higher.
    AtLeast(f64),
}

impl Table {
    /// Adds figures that belong together.
    pub fn part<'a>(&'a mut self, part: &'static str) -> Part<'a> {
        Part { part, table: self }
    }

    /// For people: a heading for each part, a line for each figure.
    pub fn text(&self) -> String {
        let what = |row: &Row| row.what.chars().count();
        let width = self.rows.iter().map(what).max().unwrap_or_default();
        let mut text = format!("    {:width$}  {:>15}  {:>15}\n", "", "measured", "expected");
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
            let holds = row.holds.map_or("", |holds| if holds { "yes" } else { "no" });
            let line = format!("    {:width$}  {measured:>15}  {expected:>15}  {holds}", row.what);
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// For machines: the same figures, unrounded, and what they were measured on.
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
    /// A figure that explains others.
    pub fn note(&mut self, what: impl Into<String>, measured: f64, unit: Unit) {
        self.figure(what, measured, unit, None);
    }

    /// A figure that is expected to lie somewhere.
    pub fn expect(&mut self, what: impl Into<String>, measured: f64, unit: Unit, expected: Expected) {
        self.figure(what, measured, unit, Some(expected));
    }

    /// Either.
    pub fn figure(&mut self, what: impl Into<String>, measured: f64, unit: Unit, expected: Option<Expected>) {
        let holds = expected.map(|expected| match expected {
            Expected::AtMost(limit) => measured <= limit,
            Expected::AtLeast(limit) => measured >= limit,
        });
        self.table.rows.push(Row {
            part: self.part,
            what: what.into(),
            measured,
            unit,
            expected,
            holds,
        });
    }
}

impl Unit {
    fn write(self, value: f64) -> String {
        match self {
            Self::Ms => format!("{value:.1} ms"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Rate => format!("{value:.1} claims/s"),
            Self::Files => format!("{value:.0} files/s"),
            Self::Percent => format!("{value:.0} %"),
            Self::Ratio => format!("{value:.2}"),
            Self::Count => format!("{value}"),
        }
    }
}

//! Logging.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use clap::ValueEnum;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// For programs: one JSON object per line
    Json,
}

/// Starts logging to standard error. Must be called once.
pub fn start(filter: &str, format: LogFormat) -> Result<()> {
    let filter: Targets = filter
        .parse()
        .context("--log: write a level such as info, or a filter such as info,bindery=debug")?;
    let lines = fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let all = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => all.with(lines.with_target(false)).init(),
        LogFormat::Json => all.with(lines.json().flatten_event(true)).init(),
    }
    Ok(())
}

//! Log lines, for people or for machines.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts logging to standard error. Called once.
pub fn start(filter: &str, format: LogFormat) -> Result<()> {
    let filter: EnvFilter = filter
        .parse()
        .context("--log: write a level such as info, or a filter such as info,bindery=debug")?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

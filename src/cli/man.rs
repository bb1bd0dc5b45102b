//! The arguments of `bindery man`.

use clap::Args;

/// Examples of the command.
pub const EXAMPLES: &str = "\
Examples:
  # Read it
  bindery man | man -l -";

/// Arguments of `bindery man`.
#[derive(Debug, Args)]
pub struct Man {}

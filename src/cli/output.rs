//! The output formats of commands.

use clap::ValueEnum;

/// The format of an explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs: an array with one object for each claim
    Json,
}

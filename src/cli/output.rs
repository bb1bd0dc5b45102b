//! The output formats of commands.

use clap::ValueEnum;

/// The output format of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs
    Json,
    /// The same in YAML
    Yaml,
}

/// The output format of a command that prints a table of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// A table with more columns
    Wide,
    /// The objects in JSON
    Json,
    /// The objects in YAML
    Yaml,
    /// Only the names
    Name,
}

/// The output format of an object that a command prints or creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ManifestFormat {
    /// YAML
    Yaml,
    /// JSON
    Json,
    /// Only the name
    Name,
}

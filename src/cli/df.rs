//! The flags of `bindery df`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

use super::cluster::ClusterArgs;

/// The examples in the help.
pub const EXAMPLES: &str = "\
Examples:
  # The claims and the archives of the current namespace, and all shares
  bindery df

  # The claims of all namespaces, the one with the most files first
  bindery df volumes -A --sort files

  # Sums for each namespace
  bindery df --by namespace

  # Archives with their directories on the shares
  bindery df archives -n team-a -o wide

  # For programs
  bindery df shares -o json";

/// Flags of `bindery df`.
#[derive(Debug, Args)]
pub struct Df {
    /// What is shown [default: all three].
    #[arg(value_enum, value_name = "KIND")]
    pub kind: Option<Kind>,

    /// The namespace of the claims [default: that of the kubeconfig, else `default`; with --by, all].
    #[arg(long, short = 'n', value_name = "NAMESPACE", conflicts_with = "all_namespaces",
        value_parser = NonEmptyStringValueParser::new())]
    pub namespace: Option<String>,

    /// Shows the claims of all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,

    /// The order. Numbers begin with the largest one, and times with the oldest one.
    #[arg(long, value_enum, default_value_t = SortBy::Used, value_name = "COLUMN")]
    pub sort: SortBy,

    /// Shows only sums, for each namespace or for each StorageClass.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub by: Option<GroupBy>,

    /// The output format.
    #[arg(long, short = 'o', value_enum, value_name = "FORMAT")]
    pub output: Option<Format>,

    /// The namespace of Bindery, which has the `ConfigMap` with the space of the shares.
    #[arg(long, default_value = "bindery", value_name = "NAME")]
    pub bindery_namespace: String,

    /// That `ConfigMap`: the Lease of `bindery serve`, with `-shares` at its end.
    #[arg(long, default_value = "bindery-shares", value_name = "NAME")]
    pub shares_record: String,

    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// What `bindery df` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Volumes, by their claims
    Volumes,
    /// Archives
    Archives,
    /// Shares
    Shares,
}

/// The order of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// By the space that is used
    Used,
    /// By the number of files
    Files,
    /// By the size
    Capacity,
    /// By namespace and name
    Name,
    /// By the time of the measurement
    Measured,
}

/// What the sums are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GroupBy {
    /// One line for each namespace
    Namespace,
    /// One line for each StorageClass
    Class,
}

/// The output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables with more columns
    Wide,
    /// For programs
    Json,
    /// For programs
    Yaml,
}

//! The flags of `bindery archives`.

use clap::Args;

use super::cluster::{ClusterArgs, NamespaceArgs};
use super::output::TableFormat;

/// Examples of the command.
pub const EXAMPLES: &str = "\
Examples:
  # The archives of a namespace
  bindery archives -n team-a

  # The archives of claim data, the newest first
  bindery archives -n team-a data

  # The archives of all namespaces, with class and directory
  bindery archives -A -o wide";

/// Flags of `bindery archives`.
#[derive(Debug, Args)]
pub struct Archives {
    /// The name of an archive, or of a claim whose archives are listed [default: all archives of the namespace].
    #[arg(value_name = "NAME")]
    pub name: Option<String>,

    /// The namespace of the archives.
    #[command(flatten)]
    pub namespace: NamespaceArgs,

    /// Lists the archives of all namespaces.
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    pub all_namespaces: bool,

    /// The output format [default: a table].
    #[arg(long, short = 'o', value_enum)]
    pub output: Option<TableFormat>,

    /// Prints no header.
    #[arg(long)]
    pub no_headers: bool,

    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

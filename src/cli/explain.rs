//! The flags of `bindery explain`.

use std::path::PathBuf;

use clap::Args;

use super::cluster::ClusterArgs;
use super::installation::InstallationArgs;
use super::output::Output;

/// Examples of the command.
pub const EXAMPLES: &str = "\
Examples:
  # Explain one claim: its settings, and which object set each of them
  bindery explain -n team-a data

  # One line for each claim of a namespace
  bindery explain -n team-a

  # Explain a claim before it is created
  bindery explain -f claim.yaml";

/// Flags of `bindery explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The name of an existing claim.
    #[arg(value_name = "CLAIM", conflicts_with = "file")]
    pub claim: Option<String>,

    /// A file with claims that do not exist yet, in YAML or JSON; `-` reads standard input. Other objects in it are
    /// skipped.
    #[arg(long, short = 'f', value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// The namespace of the claims [default: the namespace in the file, else that of the kubeconfig, else `default`].
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// The output format.
    #[arg(long, short = 'o', value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// The `MutatingWebhookConfiguration` whose selectors decide which claims the API server sends to Bindery.
    #[arg(long, value_name = "NAME", default_value = "bindery")]
    pub webhook_configuration: String,

    /// The installation of Bindery.
    #[command(flatten)]
    pub installation: InstallationArgs,

    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

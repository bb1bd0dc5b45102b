//! The flags of `bindery console`.

use clap::Args;

use super::cluster::ClusterArgs;
use crate::model::names;

/// Examples of the command.
pub const EXAMPLES: &str = "\
Examples:
  # Serve the page and open it in a browser
  bindery console

  # Only one namespace, on a fixed port; print the address only
  bindery console -n team-a --port 8001 --no-browser";

/// Flags of `bindery console`.
#[derive(Debug, Args)]
pub struct Console {
    /// The namespace to show [default: all, or that of the kubeconfig's context if the user may not read all].
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// The port on 127.0.0.1; 0 means any free port.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub port: u16,

    /// Prints the address and opens no browser.
    #[arg(long)]
    pub no_browser: bool,

    /// The namespace of Bindery, where it keeps the space of the shares.
    #[arg(long, default_value = "bindery", value_name = "NAMESPACE")]
    pub bindery_namespace: String,

    /// The `provisioner` of Bindery's StorageClasses.
    #[arg(long, env = "PROVISIONER_NAME", default_value = names::PROVISIONER, value_name = "NAME")]
    pub provisioner_name: String,

    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

//! The flags of `bindery uninstall`.

use clap::Args;

use super::cluster::ClusterArgs;
use crate::model::names;

/// Examples of the command.
pub const EXAMPLES: &str = "\
Examples:
  # Print what would be done
  bindery uninstall --keep-data --dry-run

  # Release all volumes; all data stays
  bindery uninstall --keep-data";

/// Flags of `bindery uninstall`. If a flag is repeated, the last one counts.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag by itself")]
pub struct Uninstall {
    /// Confirms that all volumes and directories are kept. There is no other way to uninstall.
    #[arg(long, required = true)]
    pub keep_data: bool,

    /// Also removes the finalizer from volumes whose cleanup has begun. Their directories stay where they are, which
    /// may be in the share's `.bindery-trash`.
    #[arg(long)]
    pub unfinished: bool,

    /// Prints what would be done, and changes nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// The `provisioner` of Bindery's StorageClasses, as `bindery serve` had it.
    #[arg(long, env = "PROVISIONER_NAME", default_value = names::PROVISIONER, value_name = "NAME")]
    pub provisioner_name: String,

    /// The id of the installation, as `bindery serve` had it [default: the uid of namespace kube-system].
    #[arg(long, env = "INSTANCE", value_name = "ID")]
    pub instance: Option<String>,

    /// The `MutatingWebhookConfiguration` to delete.
    #[arg(long, default_value = "bindery", value_name = "NAME")]
    pub webhook_configuration: String,

    /// The namespace of the Lease.
    #[arg(
        long,
        short = 'n',
        env = "POD_NAMESPACE",
        default_value = "bindery",
        value_name = "NAME"
    )]
    pub namespace: String,

    /// The Lease of the replicas. The command holds it, so that no replica can start its background work.
    #[arg(long, default_value = "bindery", value_name = "NAME")]
    pub lease: String,

    /// Continues although the Lease does not exist. Set this only if you know that no replica runs with another Lease.
    #[arg(long)]
    pub without_lease: bool,

    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

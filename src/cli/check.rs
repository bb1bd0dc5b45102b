//! The flags of `bindery check`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::cluster::ClusterArgs;
use super::nfs_user::NfsUserArgs;
use super::output::Output;
use super::serve::duration;
use crate::model::directory::NfsVersion;
use crate::model::names;

/// Examples of the command.
pub const EXAMPLES: &str = "\
Examples:
  # Check the way from the API server to Bindery, for every StorageClass
  bindery check

  # Check an NFS server before Bindery is installed; no cluster is needed
  bindery check --server nas1 --share /export/volumes";

/// Flags of `bindery check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The StorageClasses to check [default: all StorageClasses of this provisioner].
    #[arg(value_name = "STORAGECLASS")]
    pub classes: Vec<String>,

    /// The namespace for the dry-run claims [default: that of the kubeconfig, else `default`].
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// The `provisioner` of Bindery's StorageClasses.
    #[arg(long, env = "PROVISIONER_NAME", default_value = names::PROVISIONER, value_name = "NAME")]
    pub provisioner_name: String,

    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// The NFS server to check.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Flags of `bindery check --server`.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The NFS server to check, instead of StorageClasses. No cluster is needed.
    #[arg(
        long = "server",
        requires = "share",
        conflicts_with_all = [
            "classes", "namespace", "kubeconfig", "context", "cluster", "user", "as_user", "as_groups", "request_timeout",
        ],
        value_name = "HOST"
    )]
    pub host: Option<String>,

    /// The export of that server.
    #[arg(long, requires = "host", value_name = "PATH")]
    pub share: Option<String>,

    /// The NFS version, as `nfsVersion` in a StorageClass: 4 (4.2, else 4.1) or 3 [default: 4, or 3 if the server
    /// supports neither 4.2 nor 4.1].
    #[arg(long, requires = "host", value_name = "VERSION")]
    pub nfs_version: Option<NfsVersion>,

    /// The directory where that share is mounted on this machine. The mount is checked, instead of Bindery's own NFS
    /// client.
    #[arg(long, requires = "host", conflicts_with = "nfs_version", value_name = "PATH")]
    pub mounted: Option<PathBuf>,

    /// The user that NFS servers see.
    #[command(flatten)]
    pub user: NfsUserArgs,

    /// The longest time for one call to the server, from 100ms on. A step has up to 15 calls.
    #[arg(long, default_value = "5s", value_parser = duration, requires = "host", value_name = "TIME")]
    pub timeout: Duration,

    /// The output format.
    #[arg(long, short = 'o', value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

//! The flags that name an installation of Bindery.

use clap::Args;

use crate::model::names;

/// Flags that `bindery serve` and `bindery explain` share. `bindery explain` needs the same values as `bindery serve`.
#[derive(Clone, Debug, Args)]
pub struct InstallationArgs {
    /// The `provisioner` of Bindery's StorageClasses. If it does not begin with bindery.dev/, Bindery replaces
    /// nfs-subdir-external-provisioner, and reads the parameters of classes as that program does.
    #[arg(long, env = "PROVISIONER_NAME", default_value = names::PROVISIONER, value_name = "NAME")]
    pub provisioner_name: String,

    /// The NFS server for StorageClasses without the parameter `server`.
    #[arg(long, env = "NFS_SERVER", value_name = "HOST")]
    pub nfs_server: Option<String>,

    /// The export for StorageClasses without the parameter `share`.
    #[arg(long, env = "NFS_PATH", value_name = "PATH")]
    pub nfs_share: Option<String>,

    /// The id of this installation, recorded on every volume. Bindery never changes a volume with another id [default:
    /// the uid of namespace kube-system].
    #[arg(long, env = "INSTANCE", value_name = "ID")]
    pub instance: Option<String>,
}

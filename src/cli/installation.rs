//! The flags that say which installation of Bindery is meant.

use std::path::PathBuf;

use clap::Args;

use crate::model::names;

/// Flags of `bindery serve` and `bindery explain`: which installation of Bindery, where. `bindery explain` takes those that `bindery serve` has.
#[derive(Clone, Debug, Args)]
pub struct InstallationArgs {
    /// The `provisioner` of the StorageClasses that are served. Classes of any name that does not begin with bindery.dev/
    /// are read with patience, as another program's that Bindery has taken over.
    #[arg(long, env = "PROVISIONER_NAME", default_value = names::PROVISIONER, value_name = "NAME")]
    pub provisioner_name: String,

    /// NFS server for classes without the parameter `server`.
    #[arg(long, env = "NFS_SERVER", value_name = "HOST")]
    pub nfs_server: Option<String>,

    /// Export for classes without the parameter `share`.
    #[arg(long, env = "NFS_PATH", value_name = "PATH")]
    pub nfs_share: Option<String>,

    /// Id of this installation, written on every volume; what carries another is never touched [default: the uid of
    /// namespace kube-system].
    #[arg(long, env = "INSTANCE", value_name = "ID")]
    pub instance: Option<String>,

    /// The cluster to talk to [default: $KUBECONFIG, the file ~/.kube/config, or the pod's service account].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

//! The flags for the user that NFS servers see.

use clap::Args;

/// Flags that `bindery serve` and `bindery check --server` share.
#[derive(Clone, Copy, Debug, Args)]
pub struct NfsUserArgs {
    /// The user id that Bindery sends to NFS servers (`AUTH_SYS`).
    #[arg(long, env = "NFS_UID", default_value_t = 0, value_name = "UID")]
    pub nfs_uid: u32,

    /// The group id that Bindery sends to NFS servers (`AUTH_SYS`).
    #[arg(long, env = "NFS_GID", default_value_t = 0, value_name = "GID")]
    pub nfs_gid: u32,
}

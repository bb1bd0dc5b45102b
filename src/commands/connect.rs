//! Connects to the cluster that the flags of a command name.

use anyhow::Result;
use kube::Client;

use crate::cli::ClusterArgs;
use crate::cluster::access::Access;
use crate::cluster::client;

/// Returns a client for the cluster and the user that the flags name.
pub async fn connect(flags: ClusterArgs) -> Result<Client> {
    client::connect(&access(flags)).await
}

/// Returns the access that the flags name.
pub fn access(flags: ClusterArgs) -> Access {
    let ClusterArgs {
        kubeconfig,
        context,
        cluster,
        user,
        as_user,
        as_groups,
        request_timeout,
    } = flags;
    Access {
        kubeconfig,
        context,
        cluster,
        user,
        as_user,
        as_groups,
        timeout: request_timeout,
    }
}

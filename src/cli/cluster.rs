//! The flags that choose the cluster and the user, as kubectl has them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::serve::duration;

/// Flags of every command that a person runs with a kubeconfig.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct ClusterArgs {
    /// The kubeconfig file [default: $KUBECONFIG, the file ~/.kube/config, or the pod's service account].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig [default: its current context].
    #[arg(long, value_name = "CONTEXT")]
    pub context: Option<String>,

    /// The cluster of the kubeconfig [default: that of the context].
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<String>,

    /// The user of the kubeconfig [default: that of the context].
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,

    /// The user to impersonate.
    #[arg(long = "as", value_name = "USER")]
    pub as_user: Option<String>,

    /// A group of that user. Can be repeated.
    #[arg(long = "as-group", requires = "as_user", value_name = "GROUP")]
    pub as_groups: Vec<String>,

    /// The longest time for one request to the API server [default: 15s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub request_timeout: Option<Duration>,
}

/// The flag of commands that read the objects of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct NamespaceArgs {
    /// The namespace [default: that of the kubeconfig's context, else `default`].
    #[arg(long, short = 'n', value_name = "NAMESPACE", value_parser = NonEmptyStringValueParser::new())]
    pub namespace: Option<String>,
}

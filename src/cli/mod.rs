//! The command line as it was typed. [`crate::config`] checks it; nothing else reads flags or the environment.

mod installation;
mod serve;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::installation::InstallationArgs;
pub use self::serve::Serve;
use crate::model::names;

/// Gives every PersistentVolumeClaim its own directory on an NFS server, inside the request that creates the claim.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answers admission reviews and looks after the volumes.
    Serve(Box<Serve>),
    /// Explains why a claim gets what it gets: each key of its policy with whose word it is, its directory, and what
    /// happens to it.
    ///
    /// Name a claim to hear about one that is there, or a file with claims that are still to be created. With a namespace
    /// alone, every claim in it gets a line. Nothing is changed, and the NFS server is not asked: a directory that is
    /// there already, or a server that refuses, shows only when the claim is created.
    ///
    /// Exit status: 0; 1 if a claim would be refused; 2 if something could not be read.
    Explain(Explain),
    /// Asks the API server for a claim of each of our classes, by a dry run, and says whether Bindery was asked about it and
    /// what it answered. Nothing is made.
    ///
    /// The claims have neither labels nor annotations: a class whose template wants some refuses them. Whether the NFS server
    /// answers shows only when a claim is really created.
    ///
    /// Exit status: 0 if every claim would be admitted; 1 if not; 2 if something could not be read.
    Check(Check),
    /// Lets go of all volumes, so that Bindery can leave the cluster and nothing waits for it.
    ///
    /// Stop all replicas first. Then every volume of this installation becomes one that Kubernetes keeps (reclaim policy
    /// Retain) and loses Bindery's finalizer; the webhook configuration goes. Claims, volumes and directories stay as they
    /// are; only volumes that no claim ever had are deleted. A volume whose cleanup has begun is left to Bindery, should it be
    /// started again. May be repeated.
    ///
    /// Exit status: 0; 1 if volumes are left; 2 if a replica runs or the Lease is missing, or something could not be read or
    /// written.
    Uninstall(Uninstall),
}

/// Flags of `bindery explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// A claim that is there.
    #[arg(value_name = "CLAIM", conflicts_with = "file")]
    pub claim: Option<String>,

    /// Claims that are still to be created, in YAML or JSON; `-` reads standard input. What is no claim is skipped.
    #[arg(long, short = 'f', value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// The namespace [default: what the file says, else the kubeconfig's, else `default`].
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// How the answer looks.
    #[arg(long, short = 'o', value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// The `MutatingWebhookConfiguration`, whose selectors may exempt a claim.
    #[arg(long, value_name = "NAME", default_value = "bindery")]
    pub webhook_configuration: String,

    /// Which Bindery it is about.
    #[command(flatten)]
    pub installation: InstallationArgs,
}

/// Flags of `bindery check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The classes [default: all of this provisioner].
    #[arg(value_name = "STORAGECLASS")]
    pub classes: Vec<String>,

    /// Where the claims would be, by name [default: the kubeconfig's, else `default`].
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// The `provisioner` of the StorageClasses that are served.
    #[arg(long, env = "PROVISIONER_NAME", default_value = names::PROVISIONER, value_name = "NAME")]
    pub provisioner_name: String,

    /// The cluster to talk to [default: $KUBECONFIG, the file ~/.kube/config, or the pod's service account].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// Flags of `bindery uninstall`. Which installation it is must be said as to `bindery serve`. The last of two counts.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag by itself")]
pub struct Uninstall {
    /// Volumes and directories stay: the one way of uninstalling that there is, and it must be meant.
    #[arg(long, required = true)]
    pub keep_data: bool,

    /// Also volumes whose cleanup has begun: what is left of their directories stays where it is, perhaps in the share's
    /// `.bindery-trash`.
    #[arg(long)]
    pub unfinished: bool,

    /// Only says what it would do.
    #[arg(long)]
    pub dry_run: bool,

    /// The `provisioner` of the StorageClasses that were served.
    #[arg(long, env = "PROVISIONER_NAME", default_value = names::PROVISIONER, value_name = "NAME")]
    pub provisioner_name: String,

    /// Id of this installation [default: the uid of namespace kube-system].
    #[arg(long, env = "INSTANCE", value_name = "ID")]
    pub instance: Option<String>,

    /// The `MutatingWebhookConfiguration` that goes.
    #[arg(long, default_value = "bindery", value_name = "NAME")]
    pub webhook_configuration: String,

    /// Where the Lease is.
    #[arg(long, env = "POD_NAMESPACE", default_value = "bindery", value_name = "NAME")]
    pub namespace: String,

    /// The Lease that replicas agree by. It is held meanwhile, so that none begins.
    #[arg(long, default_value = "bindery", value_name = "NAME")]
    pub lease: String,

    /// There is no such Lease, and no replica runs under another one, although volumes wait for Bindery.
    #[arg(long)]
    pub without_lease: bool,

    /// The cluster to talk to [default: $KUBECONFIG, the file ~/.kube/config, or the pod's service account].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// How an explanation looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For machines: an array with an object a claim.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::logs::LogFormat;

    #[test]
    fn the_flags_are_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_last_of_two_flags_counts_and_those_that_may_be_repeated_add_up() {
        let typed = "bindery serve --listen=0.0.0.0:1 --log-format=json --serving-name=a --mounted=a:/b=/c --log-format=text \
                     --listen=0.0.0.0:2 --serving-name=b --mounted=d:/e=/f --takeover-delete-nested --takeover-delete-nested";
        let Command::Serve(serve) = Cli::parse_from(typed.split_whitespace()).command else {
            panic!("serve");
        };
        assert_eq!((serve.listen.port(), serve.log_format), (2, LogFormat::Text));
        assert_eq!(serve.serving_names, ["a", "b"]);
        assert_eq!(serve.mounted, ["a:/b=/c", "d:/e=/f"]);
        assert!(serve.takeover_delete_nested);
    }
}

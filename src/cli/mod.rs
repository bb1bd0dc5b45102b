//! The commands and their flags. [`crate::config`] checks the values. Nothing else reads flags or environment
//! variables.

mod check;
mod installation;
mod nfs_user;
mod output;
mod serve;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use self::check::{Check, ServerArgs};
pub use self::installation::InstallationArgs;
pub use self::nfs_user::NfsUserArgs;
pub use self::output::Output;
pub use self::serve::Serve;
use crate::model::names;

/// Kubernetes NFS provisioner. It provisions the volume of a claim, a directory on an NFS server, during the request
/// that creates the claim.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the provisioner: answers admission reviews, binds volumes, and cleans up the directories of deleted claims.
    Serve(Box<Serve>),
    /// Explains what a claim gets and why: its settings, which object set each of them, its directory, and what happens
    /// next.
    ///
    /// Name an existing claim, or pass a file with claims that do not exist yet. Without either, every claim of the
    /// namespace gets one line. The command changes nothing and does not ask the NFS server. So it does not see that a
    /// directory already exists, or that the server refuses a request.
    ///
    /// Exit status: 0 if no claim would be refused; 1 if a claim would be refused; 2 if something could not be read.
    Explain(Explain),
    /// Creates a claim of each StorageClass as a dry run, and reports whether the API server asked Bindery and what
    /// Bindery answered. With --server, checks an NFS server instead.
    ///
    /// No claim is created. The claims have no labels and no annotations, so a class whose directory template needs
    /// some refuses them. The NFS server is not asked.
    ///
    /// With --server and --share, the command tries on the NFS server all that Bindery needs there, step by step, and
    /// prints what is missing. It needs no cluster. It makes a directory `.bindery-check-...` in the share, works only
    /// in that directory, and removes it in the end, also after a failure or Ctrl-C.
    ///
    /// Exit status: 0 if every claim would be admitted, or if Bindery can use the share; 1 if a claim would not be
    /// admitted, Bindery was not asked, or Bindery cannot use the share; 2 if something could not be read, or the
    /// command was interrupted.
    Check(Box<Check>),
    /// Removes Bindery's finalizer from all volumes and archives, and deletes the webhook configuration, so that Bindery
    /// can be removed from the cluster.
    ///
    /// Stop all replicas first. Each volume of this installation gets the reclaim policy Retain and loses Bindery's
    /// finalizer. Claims, volumes and directories stay as they are. Only volumes that no claim ever used are deleted. A
    /// volume whose cleanup has begun is skipped unless --unfinished is set. The command can be repeated.
    ///
    /// Exit status: 0 if no volume of this installation has Bindery's finalizer any more; 1 if some of its volumes were
    /// skipped; 2 if a replica runs, the Lease is missing, or something could not be read or written.
    Uninstall(Uninstall),
}

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
}

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
    #[arg(long, env = "POD_NAMESPACE", default_value = "bindery", value_name = "NAME")]
    pub namespace: String,

    /// The Lease of the replicas. The command holds it, so that no replica can start its background work.
    #[arg(long, default_value = "bindery", value_name = "NAME")]
    pub lease: String,

    /// Continues although the Lease does not exist. Set this only if you know that no replica runs with another Lease.
    #[arg(long)]
    pub without_lease: bool,

    /// The kubeconfig file [default: $KUBECONFIG, the file ~/.kube/config, or the pod's service account].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::logs::LogFormat;

    #[test]
    fn clap_accepts_the_definitions_of_the_flags() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_repeated_flag_replaces_the_earlier_value_or_is_added_to_its_list() {
        let typed = "bindery serve --listen=0.0.0.0:1 --log-format=json --serving-name=a --mounted=a:/b=/c \
                     --log-format=text --listen=0.0.0.0:2 --serving-name=b --mounted=d:/e=/f --takeover-delete-nested \
                     --takeover-delete-nested";
        let Command::Serve(serve) = Cli::parse_from(typed.split_whitespace()).command else {
            panic!("serve");
        };
        assert_eq!((serve.listen.port(), serve.log_format), (2, LogFormat::Text));
        assert_eq!(serve.serving_names, ["a", "b"]);
        assert_eq!(serve.mounted, ["a:/b=/c", "d:/e=/f"]);
        assert!(serve.takeover_delete_nested);
    }
}

//! The commands and their flags. [`crate::config`] checks the values. Nothing else reads flags or environment
//! variables.

mod archives;
mod check;
mod cluster;
mod completion;
mod console;
pub mod df;
mod explain;
mod installation;
mod man;
mod nfs_user;
mod output;
pub mod program;
mod restore;
mod serve;
mod uninstall;

use clap::{Parser, Subcommand};

pub use self::archives::Archives;
pub use self::check::{Check, ServerArgs};
pub use self::cluster::{ClusterArgs, NamespaceArgs};
pub use self::completion::{Complete, Completion, Shell};
pub use self::console::Console;
pub use self::explain::Explain;
pub use self::installation::InstallationArgs;
pub use self::man::Man;
pub use self::nfs_user::NfsUserArgs;
pub use self::output::{ManifestFormat, Output, TableFormat};
pub use self::restore::Restore;
pub use self::serve::Serve;
pub use self::uninstall::Uninstall;

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
    #[command(after_help = explain::EXAMPLES)]
    Explain(Box<Explain>),
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
    #[command(after_help = check::EXAMPLES)]
    Check(Box<Check>),
    /// Lists archives: the directories of deleted claims.
    ///
    /// The newest archive of a claim is first. The object of an archive whose namespace was deleted is in the namespace of
    /// Bindery; the column CLAIM then has the old namespace.
    ///
    /// Exit status: 0; 2 if something could not be read, or if no archive has the name.
    #[command(after_help = archives::EXAMPLES)]
    Archives(Archives),
    /// Prints the claim that gets the data of an archive back, or creates it with --apply.
    ///
    /// Class, size and access modes are those of the archive unless a flag says otherwise. When the claim is created,
    /// Bindery moves the directory of the archive to the new volume, whatever its size.
    ///
    /// --as is the name of the new claim. In all other commands, and in kubectl, it is the user to impersonate; here that is
    /// --as-user.
    ///
    /// Exit status: 0 if the claim was printed or created; 1 if the archive cannot be restored as the flags say, or the
    /// claim was refused; 2 if there is no such archive, or something could not be read or created.
    #[command(after_help = restore::EXAMPLES)]
    Restore(Restore),
    /// Serves a page for a browser on this machine: shares, volumes, archives, claims that wait, and problems.
    ///
    /// The page shows what the user of the kubeconfig may read, and changes nothing. Only this machine can open it, at an
    /// address that contains a secret. It ends with Ctrl-C.
    #[command(after_help = console::EXAMPLES)]
    Console(Console),
    /// Shows the space that volumes and archives use, and the free space of the shares, as Bindery has measured it.
    ///
    /// It reads PersistentVolumes, Archives and a `ConfigMap` with the rights of the kubeconfig, and asks no NFS server. What
    /// the user may not read is left out and named. `MEASURED` is the age of the numbers: `bindery serve` measures each
    /// volume once in --usage-interval.
    ///
    /// Exit status: 0 if everything could be read; 1 if a part could not be read; 2 if nothing could be read.
    #[command(after_help = df::EXAMPLES)]
    Df(df::Df),
    /// Removes Bindery's finalizer from all volumes and archives, and deletes the webhook configuration, so that Bindery
    /// can be removed from the cluster.
    ///
    /// Stop all replicas first. Each volume of this installation gets the reclaim policy Retain and loses Bindery's
    /// finalizer. Claims, volumes and directories stay as they are. Only volumes that no claim ever used are deleted. A
    /// volume whose cleanup has begun is skipped unless --unfinished is set. The command can be repeated.
    ///
    /// Exit status: 0 if no volume of this installation has Bindery's finalizer any more; 1 if some of its volumes were
    /// skipped; 2 if a replica runs, the Lease is missing, or something could not be read or written.
    #[command(after_help = uninstall::EXAMPLES)]
    Uninstall(Uninstall),
    /// Prints the script that completes commands, flags and names in a shell.
    ///
    /// `kubectl` is the program that kubectl calls to complete `kubectl bindery`. Names of namespaces, claims, archives and
    /// StorageClasses are read from the cluster.
    #[command(after_help = completion::EXAMPLES)]
    Completion(Completion),
    /// Prints the manual page.
    #[command(after_help = man::EXAMPLES)]
    Man(Man),
    /// Prints the completions of a command line, as kubectl reads them.
    #[command(name = "__complete", hide = true)]
    Complete(Complete),
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

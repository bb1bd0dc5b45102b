//! The command line as it was typed. [`crate::config`] checks it; nothing else reads flags or the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::names;

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
    Serve(Serve),
}

/// Flags of `bindery serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The `provisioner` of the StorageClasses to serve.
    #[arg(long, env = "PROVISIONER_NAME", default_value = names::PROVISIONER, value_name = "NAME")]
    pub provisioner_name: String,

    /// NFS server for classes without the parameter `server`.
    #[arg(long, env = "NFS_SERVER", value_name = "HOST")]
    pub nfs_server: Option<String>,

    /// Export for classes without the parameter `share`.
    #[arg(long, env = "NFS_PATH", value_name = "PATH")]
    pub nfs_share: Option<String>,

    /// A share that is mounted for Bindery, and the directory that it is mounted on: Bindery then works there and not
    /// over the network. May be given several times.
    #[arg(long, value_name = "SERVER:/SHARE=/PATH")]
    pub mounted: Vec<String>,

    /// User id that Bindery shows the NFS server (`AUTH_SYS`).
    #[arg(long, env = "NFS_UID", default_value_t = 0, value_name = "UID")]
    pub nfs_uid: u32,

    /// Group id that Bindery shows the NFS server (`AUTH_SYS`).
    #[arg(long, env = "NFS_GID", default_value_t = 0, value_name = "GID")]
    pub nfs_gid: u32,

    /// Id of this installation, written on every volume; what carries another is never touched [default: the uid of
    /// namespace kube-system].
    #[arg(long, env = "INSTANCE", value_name = "ID")]
    pub instance: Option<String>,

    /// Where the webhook listens (TLS).
    #[arg(long, default_value = "0.0.0.0:8443", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// Where /livez, /readyz and /metrics listen (plain HTTP).
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS:PORT")]
    pub admin_listen: SocketAddr,

    /// Time for one admission review, all effects included; keep it below the webhook's timeoutSeconds.
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub deadline: Duration,

    /// The `MutatingWebhookConfiguration` that gets the CA of the serving certificate.
    #[arg(long, default_value = "bindery", value_name = "NAME")]
    pub webhook_configuration: String,

    /// A DNS name that the API server calls the webhook by; may be given several times.
    #[arg(long = "serving-name", default_value = "bindery.bindery.svc", value_name = "NAME")]
    pub serving_names: Vec<String>,

    /// The cluster to talk to [default: $KUBECONFIG, the file ~/.kube/config, or the pod's service account].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// What is logged: a level, or a filter such as `info,bindery::storage=debug`.
    #[arg(long, env = "LOG", default_value = "info,kube=warn", value_name = "FILTER")]
    pub log: String,

    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, an object a line.
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|_| "write it as 5s, 800ms or 1m".to_owned())?;
    Duration::try_from(span).map_err(|_| "a time before now makes no sense here".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("800ms"), Ok(Duration::from_millis(800)));
        assert_eq!(duration("5"), Err("write it as 5s, 800ms or 1m".to_owned()));
        assert_eq!(duration("-5s"), Err("a time before now makes no sense here".to_owned()));
    }
}

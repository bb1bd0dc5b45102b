//! The command line as it was typed. [`crate::config`] checks it; nothing else reads flags or the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;

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

/// Flags of `bindery serve`. The last of two counts: charts and kustomizations append theirs.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct Serve {
    /// Which Bindery it is.
    #[command(flatten)]
    pub installation: Installation,

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

    /// Volumes that another program made under our provisioner name: delete directories of several segments, too, if their
    /// class says so. nfs-subdir-external-provisioner left them in place; without this flag they are archived.
    #[arg(long)]
    pub takeover_delete_nested: bool,

    /// Where the webhook listens (TLS).
    #[arg(long, default_value = "0.0.0.0:8443", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// Where /livez, /readyz and /metrics listen (plain HTTP).
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS:PORT")]
    pub admin_listen: SocketAddr,

    /// Time for one admission review, all effects included; keep it below the webhook's timeoutSeconds.
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub deadline: Duration,

    /// How much of binding is done here; each step makes a burst of claims faster.
    #[arg(long, value_enum, default_value_t = BinderMode::Complete, value_name = "MODE")]
    pub binder: BinderMode,

    /// How long a volume that no claim has had is left alone before it is taken away; keep it above the API server's
    /// longest request.
    #[arg(long, default_value = "2m", value_parser = duration, value_name = "TIME")]
    pub orphan_grace: Duration,

    /// How often to look for archives whose time is over.
    #[arg(long, default_value = "1h", value_parser = duration, value_name = "TIME")]
    pub retention_interval: Duration,

    /// The `MutatingWebhookConfiguration` that gets the CA of the serving certificate.
    #[arg(long, default_value = "bindery", value_name = "NAME")]
    pub webhook_configuration: String,

    /// A DNS name that the API server calls the webhook by; may be given several times.
    #[arg(long = "serving-name", default_value = "bindery.bindery.svc", value_name = "NAME")]
    pub serving_names: Vec<String>,

    /// Where Bindery keeps its own objects, the Lease and the Secret with its certificate [default: the namespace of its
    /// service account].
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,

    /// What this replica is called, to the other replicas and to NFS servers: two that run at the same time need two names,
    /// and one that is started anew keeps its own [default: the host's name, which is the pod's].
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub replica: Option<String>,

    /// The Secret with the certificate that all replicas serve; made if it is not there.
    #[arg(long, default_value = "bindery-tls", value_name = "NAME")]
    pub tls_secret: String,

    /// How long a certificate is valid; the next one is served when seven tenths of that are over.
    #[arg(long, default_value = "90d", value_parser = life, value_name = "TIME")]
    pub certificate_lifetime: SignedDuration,

    /// A certificate of your own, in PEM; a new one in the file is served as soon as it is there.
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// Its key.
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Its CA, for the webhook configuration; without it, that is left to whoever keeps the certificate.
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,

    /// Only clients with a certificate of this CA may call the webhook: for API servers that show one.
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,

    /// And with this common name; may be given several times [default: any].
    #[arg(long = "client-name", requires = "client_ca", value_name = "NAME")]
    pub client_names: Vec<String>,

    /// The Lease by which replicas agree on the one that runs the loops.
    #[arg(long, default_value = "bindery", value_name = "NAME")]
    pub lease: String,

    /// What is logged: a level, or a filter such as `info,bindery::storage=debug`.
    #[arg(long, env = "LOG", default_value = "info,kube=warn", value_name = "FILTER")]
    pub log: String,

    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
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

    /// Which Bindery it is about.
    #[command(flatten)]
    pub installation: Installation,
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

/// Flags of `bindery serve` and `bindery explain`: which installation of Bindery, where. `bindery explain` takes those that `bindery serve` has.
#[derive(Clone, Debug, Args)]
pub struct Installation {
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

/// How an explanation looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For machines: an array with an object a claim.
    Json,
}

/// How much of binding Bindery does, so that the controller manager need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BinderMode {
    /// Nothing: the controller manager does all of it, slowly.
    Off,
    /// The claim's uid is written into its volume as soon as it appears.
    Uid,
    /// And the claim is completed as soon as the controller manager has marked its volume `Bound`.
    Complete,
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

/// Days are what people say here.
fn life(text: &str) -> Result<SignedDuration, String> {
    let span = text.parse::<jiff::Span>().ok();
    let life = span.and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok());
    let allowed = SignedDuration::from_secs(10)..=SignedDuration::from_hours(24 * 3650);
    life.filter(|life| allowed.contains(life))
        .ok_or_else(|| "write it as 90d or 36h, from 10s to 3650d".to_owned())
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

    #[test]
    fn the_life_of_a_certificate_may_be_said_in_days() {
        assert_eq!(life("90d"), Ok(SignedDuration::from_hours(24 * 90)));
        for wrong in ["90", "1s", "-1d", "3651d", "1mo"] {
            assert_eq!(
                life(wrong),
                Err("write it as 90d or 36h, from 10s to 3650d".to_owned()),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("800ms"), Ok(Duration::from_millis(800)));
        assert_eq!(duration("5"), Err("write it as 5s, 800ms or 1m".to_owned()));
        assert_eq!(duration("-5s"), Err("a time before now makes no sense here".to_owned()));
    }
}

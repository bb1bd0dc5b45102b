//! The flags of `bindery serve`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;

use super::installation::InstallationArgs;
use crate::model::binder_mode::BinderMode;
use crate::ops::listen::Listen;
use crate::ops::logs::LogFormat;

/// Flags of `bindery serve`. The last of two counts: charts and kustomizations append theirs.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct Serve {
    /// Which Bindery it is.
    #[command(flatten)]
    pub installation: InstallationArgs,

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

    /// Where the webhook listens (TLS). Without an address: on all addresses of the host, IPv4 and IPv6.
    #[arg(long, default_value = ":8443", value_name = "[ADDRESS]:PORT")]
    pub listen: Listen,

    /// Where /livez, /readyz and /metrics listen (plain HTTP). Without an address: on all addresses of the host, IPv4 and
    /// IPv6.
    #[arg(long, default_value = ":8080", value_name = "[ADDRESS]:PORT")]
    pub admin_listen: Listen,

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

    /// What this replica is called, to the other replicas and, with the namespace and the Lease, to NFS servers. Two replicas
    /// that run at the same time need two names, and one that is started anew keeps its own [default: the host's name: the
    /// pod's, or with hostNetwork the node's].
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

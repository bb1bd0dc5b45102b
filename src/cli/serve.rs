//! The flags of `bindery serve`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;

use super::installation::InstallationArgs;
use super::nfs_user::NfsUserArgs;
use crate::model::binder_mode::BinderMode;
use crate::model::choices::CsiDriver;
use crate::ops::listen::Listen;
use crate::ops::logs::LogFormat;

/// Flags of `bindery serve`. If a flag is repeated, the last one counts: charts and kustomizations append theirs.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct Serve {
    /// The installation of Bindery.
    #[command(flatten)]
    pub installation: InstallationArgs,

    /// The kubeconfig file [default: $KUBECONFIG, the file ~/.kube/config, or the pod's service account].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// A share that is mounted in the pod, and the directory where it is mounted. Bindery uses the mount instead of its
    /// own NFS client. Can be repeated.
    #[arg(long, value_name = "SERVER:/SHARE=/PATH")]
    pub mounted: Vec<String>,

    /// The user that NFS servers see.
    #[command(flatten)]
    pub nfs_user: NfsUserArgs,

    /// For volumes that nfs-subdir-external-provisioner created: also deletes nested directories, such as team/data, if
    /// their class says so. Without this flag Bindery archives them. nfs-subdir-external-provisioner kept them.
    #[arg(long)]
    pub takeover_delete_nested: bool,

    /// Takes over all volumes of this CSI driver, and not only those with the annotation bindery.dev/take-over. Only
    /// nfs.csi.k8s.io is allowed. The nodes mount the volumes as before.
    #[arg(long, value_name = "DRIVER", value_parser = other_driver)]
    pub takeover: Option<CsiDriver>,

    /// The address of the webhook (HTTPS). Without ADDRESS it listens on all IPv4 and IPv6 addresses.
    #[arg(long, default_value = ":8443", value_name = "[ADDRESS]:PORT")]
    pub listen: Listen,

    /// The address of /livez, /readyz and /metrics (HTTP). Without ADDRESS it listens on all IPv4 and IPv6 addresses.
    #[arg(long, default_value = ":8080", value_name = "[ADDRESS]:PORT")]
    pub admin_listen: Listen,

    /// The longest time for one admission review, from 100ms to 29s. Keep it below the webhook's timeoutSeconds.
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub deadline: Duration,

    /// How much of the binding Bindery does instead of kube-controller-manager. The more it does, the sooner a claim is
    /// bound.
    #[arg(long, value_enum, default_value_t = BinderMode::Complete, value_name = "MODE")]
    pub binder: BinderMode,

    /// How long Bindery keeps a volume that no claim uses yet. Keep it longer than the longest request of the API
    /// server.
    #[arg(long, default_value = "2m", value_parser = duration, value_name = "TIME")]
    pub orphan_grace: Duration,

    /// How often Bindery looks for archives whose retention has ended, and compares the objects of archives with the
    /// shares.
    #[arg(long, default_value = "1h", value_parser = duration, value_name = "TIME")]
    pub retention_interval: Duration,

    /// How often Bindery asks each NFS server for the size and the free space of its shares. 0s turns it off.
    #[arg(long, default_value = "1m", value_parser = duration, value_name = "TIME")]
    pub space_interval: Duration,

    /// How often Bindery measures the space that each volume uses. An archive is measured once in 7 days, or after this
    /// time if that is longer. 0s turns it off.
    #[arg(long, default_value = "6h", value_parser = duration, value_name = "TIME")]
    pub usage_interval: Duration,

    /// The most calls a second to each NFS server with which Bindery measures volumes and archives. One call reads
    /// about 200 files, or 64 files of a mounted share.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "CALLS")]
    pub usage_rate: u32,

    /// The `MutatingWebhookConfiguration` in which Bindery sets the CA and the path of the webhook.
    #[arg(long, default_value = "bindery", value_name = "NAME")]
    pub webhook_configuration: String,

    /// A DNS name in the webhook's certificate, by which the API server calls it. Can be repeated.
    #[arg(long = "serving-name", default_value = "bindery.bindery.svc", value_name = "NAME")]
    pub serving_names: Vec<String>,

    /// The namespace of Bindery's own Lease and Secret [default: the namespace of its service account].
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,

    /// The name of this replica, for the Lease and for NFS servers. Replicas that run at the same time need different
    /// names; a replica that restarts should keep its name [default: the host name, which is the pod's name, or with
    /// hostNetwork the node's].
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub replica: Option<String>,

    /// The Secret with the webhook's certificate. Bindery creates it if it does not exist.
    #[arg(long, default_value = "bindery-tls", value_name = "NAME")]
    pub tls_secret: String,

    /// How long a certificate is valid, from 10s to 3650d. It is replaced after 70% of this time.
    #[arg(long, default_value = "90d", value_parser = lifetime, value_name = "TIME")]
    pub certificate_lifetime: SignedDuration,

    /// A PEM file with your own certificate, which the webhook then serves. Bindery reads it again when it changes.
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// The PEM file with the key of --tls-cert.
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// The PEM file with the CA of --tls-cert, for the webhook configuration. Without it, Bindery does not set the CA
    /// there.
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,

    /// A PEM file with a CA. Only clients with a certificate of this CA can call the webhook.
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,

    /// A common name that client certificates must have. Can be repeated [default: any name].
    #[arg(long = "client-name", requires = "client_ca", value_name = "NAME")]
    pub client_names: Vec<String>,

    /// The Lease. The replica that holds it does the background work, and writes the space of the shares into the
    /// `ConfigMap` of this name with `-shares` at its end.
    #[arg(long, default_value = "bindery", value_name = "NAME")]
    pub lease: String,

    /// What is logged: a level such as `debug`, or a filter such as `info,bindery::storage=debug`.
    #[arg(long, env = "LOG", default_value = "info,kube=warn", value_name = "FILTER")]
    pub log: String,

    /// The format of log lines.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

pub fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|_| "write it as 5s, 800ms or 1m".to_owned())?;
    Duration::try_from(span).map_err(|_| "write a time that is not negative".to_owned())
}

/// Reads the driver whose volumes are taken over.
fn other_driver(text: &str) -> Result<CsiDriver, String> {
    let driver = text.parse().ok().filter(|driver| *driver == CsiDriver::Nfs);
    driver.ok_or_else(|| format!("only {} is allowed", CsiDriver::Nfs))
}

/// Reads a certificate's lifetime, which may be in days.
fn lifetime(text: &str) -> Result<SignedDuration, String> {
    let span = text.parse::<jiff::Span>().ok();
    let lifetime = span.and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok());
    let allowed = SignedDuration::from_secs(10)..=SignedDuration::from_hours(24 * 3650);
    lifetime
        .filter(|lifetime| allowed.contains(lifetime))
        .ok_or_else(|| "write it as 90d or 36h, from 10s to 3650d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lifetime_of_a_certificate_may_be_in_days() {
        assert_eq!(lifetime("90d"), Ok(SignedDuration::from_hours(24 * 90)));
        for text in ["90", "1s", "-1d", "3651d", "1mo"] {
            assert_eq!(
                lifetime(text),
                Err("write it as 90d or 36h, from 10s to 3650d".to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("800ms"), Ok(Duration::from_millis(800)));
        assert_eq!(duration("5"), Err("write it as 5s, 800ms or 1m".to_owned()));
        assert_eq!(duration("-5s"), Err("write a time that is not negative".to_owned()));
    }
}

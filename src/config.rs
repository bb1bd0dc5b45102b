//! The checked configuration: what the flags say, held against what is possible, once, at the start.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cli;
use crate::policy::class::Defaults;
use crate::policy::directory::Share;

/// What `bindery serve` needs to know, apart from the cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// The provisioner whose classes are served.
    pub provisioner: String,
    /// Server and export for classes that name none.
    pub defaults: Defaults,
    /// Who we are to NFS servers.
    pub nfs_user: (u32, u32),
    /// Our id, if the flag names one.
    pub instance: Option<String>,
    /// Nested directories of volumes that another program made may be deleted.
    pub takeover_delete_nested: bool,
    /// Webhook.
    pub listen: SocketAddr,
    /// Probes and metrics.
    pub admin_listen: SocketAddr,
    /// Time for one review.
    pub deadline: Duration,
    /// For volumes that no claim has had.
    pub orphan_grace: Duration,
    /// Between two looks for archives whose time is over.
    pub retention_interval: Duration,
    /// The configuration object that gets our CA.
    pub webhook_configuration: String,
    /// Where our own objects are.
    pub namespace: Option<String>,
    /// What we are called among the replicas.
    pub replica: Option<String>,
    /// The Secret's name.
    pub tls_secret: String,
    /// The Lease's name.
    pub lease: String,
    /// Names in the serving certificate.
    pub serving_names: Vec<String>,
}

impl Config {
    /// Checks the flags. Each error names the flag and what it takes.
    pub fn check(flags: cli::Serve) -> Result<Self> {
        let cli::Serve {
            provisioner_name,
            nfs_server,
            nfs_share,
            nfs_uid,
            nfs_gid,
            instance,
            takeover_delete_nested,
            listen,
            admin_listen,
            deadline,
            orphan_grace,
            retention_interval,
            webhook_configuration,
            serving_names,
            namespace,
            replica,
            tls_secret,
            lease,
            kubeconfig: _,
            log: _,
            log_format: _,
        } = flags;
        ensure!(
            !provisioner_name.is_empty(),
            "--provisioner-name is empty; leave it out for bindery.dev/nfs"
        );
        let defaults = check_defaults(nfs_server, nfs_share)?;
        if let Some(instance) = &instance {
            check_instance(instance)?;
        }
        ensure!(
            (Duration::from_millis(100)..=Duration::from_secs(29)).contains(&deadline),
            "--deadline is {deadline:?}; take 100ms to 29s, and less than the webhook's timeoutSeconds"
        );
        ensure!(
            retention_interval >= Duration::from_millis(100),
            "--retention-interval is {retention_interval:?}; take 100ms or more"
        );
        Ok(Self {
            provisioner: provisioner_name,
            defaults,
            nfs_user: (nfs_uid, nfs_gid),
            instance,
            takeover_delete_nested,
            listen,
            admin_listen,
            deadline,
            orphan_grace,
            retention_interval,
            webhook_configuration,
            serving_names,
            namespace,
            replica,
            tls_secret,
            lease,
        })
    }
}

/// What the flags say of server and share.
pub fn check_defaults(server: Option<String>, share: Option<String>) -> Result<Defaults> {
    // Checked with a stand-in for what is not set, so that a typo stops the start and not the first claim.
    Share::parse(server.as_deref().unwrap_or("server"), share.as_deref().unwrap_or("/"))
        .context("--nfs-server and --nfs-share")?;
    Ok(Defaults { server, share })
}

/// An instance id becomes part of file names on the server.
fn check_instance(id: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        (1..=63).contains(&id.len()) && id.chars().all(plain),
        "--instance {id:?}: take 1 to 63 lower-case letters, digits and dashes"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn check(flags: &[&str]) -> Result<Config, String> {
        let cli = cli::Cli::parse_from(["bindery", "serve"].iter().chain(flags));
        let cli::Command::Serve(flags) = cli.command else {
            panic!("serve was asked for");
        };
        Config::check(flags).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_deadline_is_below_the_longest_timeout_of_a_webhook() {
        assert_eq!(
            check(&["--deadline", "40s"]).unwrap_err(),
            "--deadline is 40s; take 100ms to 29s, and less than the webhook's timeoutSeconds"
        );
        assert!(check(&["--deadline", "29s"]).is_ok());
    }

    #[test]
    fn a_share_is_an_absolute_path() {
        assert_eq!(
            check(&["--nfs-share", "export"]).unwrap_err(),
            "--nfs-server and --nfs-share: share \"export\" is not an absolute path; \
             write it as the server exports it, such as /export/volumes"
        );
    }

    #[test]
    fn an_instance_is_a_plain_name() {
        assert!(check(&["--instance", "blue-7"]).is_ok());
        assert_eq!(
            check(&["--instance", "../x"]).unwrap_err(),
            "--instance \"../x\": take 1 to 63 lower-case letters, digits and dashes"
        );
    }
}

//! The checked configuration: what the flags say, held against what is possible, once, at the start.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::certificate::{CertificateOptions, Files};
use crate::cli;
use crate::model::binder_mode::BinderMode;
use crate::model::directory::Share;
use crate::ops::listen::Listen;
use crate::policy::class::Defaults;

/// What `bindery serve` needs to know, apart from the cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// The provisioner whose classes are served.
    pub provisioner: String,
    /// Server and export for classes that name none.
    pub defaults: Defaults,
    /// Shares that are mounted for us, each once, and where.
    pub mounted: Vec<(Share, PathBuf)>,
    /// Who we are to NFS servers.
    pub nfs_user: (u32, u32),
    /// Our id, if the flag names one.
    pub instance: Option<String>,
    /// Nested directories of volumes that another program made may be deleted.
    pub takeover_delete_nested: bool,
    /// Webhook.
    pub listen: Listen,
    /// Probes and metrics.
    pub admin_listen: Listen,
    /// Time for one review.
    pub deadline: Duration,
    /// How much of binding is done here.
    pub binder: BinderMode,
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
    /// What the webhook serves with.
    pub certificate: CertificateOptions,
    /// The Lease's name.
    pub lease: String,
}

impl Config {
    /// Checks the flags. Each error names the flag and what it takes.
    pub fn check(flags: cli::Serve) -> Result<Self> {
        let cli::Serve {
            installation:
                cli::InstallationArgs {
                    provisioner_name,
                    nfs_server,
                    nfs_share,
                    instance,
                    kubeconfig: _,
                },
            mounted,
            nfs_uid,
            nfs_gid,
            takeover_delete_nested,
            listen,
            admin_listen,
            deadline,
            binder,
            orphan_grace,
            retention_interval,
            webhook_configuration,
            serving_names,
            namespace,
            replica,
            tls_secret,
            certificate_lifetime,
            tls_cert,
            tls_key,
            tls_ca,
            client_ca,
            client_names,
            lease,
            log: _,
            log_format: _,
        } = flags;
        ensure!(
            !provisioner_name.is_empty(),
            "--provisioner-name is empty; leave it out for bindery.dev/nfs"
        );
        let defaults = check_defaults(nfs_server, nfs_share)?;
        let mounted = check_mounted(&mounted)?;
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
            mounted,
            nfs_user: (nfs_uid, nfs_gid),
            instance,
            takeover_delete_nested,
            listen,
            admin_listen,
            deadline,
            binder,
            orphan_grace,
            retention_interval,
            webhook_configuration,
            certificate: CertificateOptions {
                secret: tls_secret,
                names: serving_names,
                lifetime: certificate_lifetime,
                files: Files {
                    serving: tls_cert.zip(tls_key),
                    ca: tls_ca,
                    client_ca,
                },
                clients: client_names,
            },
            namespace,
            replica,
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

fn check_mounted(flags: &[String]) -> Result<Vec<(Share, PathBuf)>> {
    let mut mounted: Vec<(Share, PathBuf)> = Vec::new();
    for flag in flags {
        let (share, path) = mount(flag).with_context(|| format!("--mounted {flag:?}"))?;
        ensure!(
            mounted.iter().all(|(other, _)| *other != share),
            "--mounted {flag:?}: share {share} is named twice; name it once"
        );
        mounted.push((share, path));
    }
    Ok(mounted)
}

/// Reads `SERVER:/SHARE=/PATH`. No server's name has a slash, also no IPv6 address; and the last `=/` counts, for the path
/// on this side is the administrator's to choose.
fn mount(flag: &str) -> Result<(Share, PathBuf)> {
    let halves = flag.rsplit_once("=/").and_then(|(remote, path)| {
        let (server, share) = remote.split_once(":/")?;
        Some((server, format!("/{share}"), format!("/{path}")))
    });
    let Some((server, share, path)) = halves else {
        bail!("write it as SERVER:/SHARE=/PATH, such as nfs.example.com:/export/volumes=/mnt/volumes");
    };
    let share = Share::parse(server, &share)?;
    let path = Path::new(&path);
    ensure!(
        path.components().all(|part| part != Component::ParentDir),
        "path {} has .. in it; write it without",
        path.display()
    );
    ensure!(
        path.components().count() > 1,
        "path / is Bindery's own disk; name the directory that the share is mounted on"
    );
    Ok((share, path.to_owned()))
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
        Config::check(*flags).map_err(|error| format!("{error:#}"))
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
    fn a_mounted_share_is_read_with_any_kind_of_address() {
        let config = check(&[
            "--mounted=NAS:/export/a=/mnt/a",
            "--mounted=[fd00::5]:/x=y=/mnt/b/",
            "--mounted=fd00:0:0::6:/=/mnt/c",
        ]);
        let mounted = config.unwrap().mounted;
        let read: Vec<String> = mounted
            .iter()
            .map(|(share, path)| format!("{share} {}", path.display()))
            .collect();
        assert_eq!(
            read,
            ["nas:/export/a /mnt/a", "fd00::5:/x=y /mnt/b/", "fd00::6:/ /mnt/c"]
        );
        assert_eq!(mounted[1].0, Share::parse("fd00::5", "/x=y").unwrap());
    }

    #[test]
    fn a_mounted_share_that_is_none_says_why() {
        let wrong = |flag: &str| check(&["--mounted", flag]).unwrap_err();
        let form = "write it as SERVER:/SHARE=/PATH, such as nfs.example.com:/export/volumes=/mnt/volumes";
        for flag in ["nas:/export", "nas=/mnt", "nas:export=/mnt", "nas:/export=mnt"] {
            assert_eq!(wrong(flag), format!("--mounted {flag:?}: {form}"));
        }
        assert_eq!(
            wrong("n s:/a=/mnt"),
            "--mounted \"n s:/a=/mnt\": server \"n s\" is not a host name or an address"
        );
        assert_eq!(
            wrong("nas:2049:/a=/mnt"),
            "--mounted \"nas:2049:/a=/mnt\": server \"nas:2049\" names a port; remove it, because Bindery and the \
            nodes connect to port 2049"
        );
        assert_eq!(
            wrong("nas:/a=/"),
            "--mounted \"nas:/a=/\": path / is Bindery's own disk; name the directory that the share is mounted on"
        );
        assert_eq!(
            wrong("nas:/a=/mnt/../etc"),
            "--mounted \"nas:/a=/mnt/../etc\": path /mnt/../etc has .. in it; write it without"
        );
        assert_eq!(
            check(&["--mounted=nas:/a=/mnt/a", "--mounted=NAS.:/a/=/mnt/b"]).unwrap_err(),
            "--mounted \"NAS.:/a/=/mnt/b\": share nas:/a is named twice; name it once"
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

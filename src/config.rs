//! The configuration of `bindery serve`: its flags, checked at the start.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::certificate::{CertificateOptions, Files};
use crate::cli;
use crate::model::binder_mode::BinderMode;
use crate::model::directory::Share;
use crate::ops::listen::Listen;
use crate::policy::class::Defaults;

/// The configuration of `bindery serve`.
#[derive(Clone, Debug)]
pub struct Config {
    /// The provisioner name of the served StorageClasses.
    pub provisioner: String,
    /// The server and the export for classes that name none.
    pub defaults: Defaults,
    /// Mounted shares, each once, with their mount points.
    pub mounted: Vec<(Share, PathBuf)>,
    /// The user and group id that NFS servers receive.
    pub nfs_user: (u32, u32),
    /// The id of the installation, if the flag sets it.
    pub instance: Option<String>,
    /// Whether nested directories of volumes that nfs-subdir-external-provisioner made may be deleted.
    pub takeover_delete_nested: bool,
    /// The address of the webhook.
    pub listen: Listen,
    /// The address of probes and metrics.
    pub admin_listen: Listen,
    /// The longest time for one review.
    pub deadline: Duration,
    /// How much of the binding Bindery does.
    pub binder: BinderMode,
    /// How long a volume that no claim uses is kept.
    pub orphan_grace: Duration,
    /// How often expired archives are looked for.
    pub retention_interval: Duration,
    /// The name of the webhook configuration.
    pub webhook_configuration: String,
    /// The namespace of the Lease and the Secret.
    pub namespace: Option<String>,
    /// The name of this replica.
    pub replica: Option<String>,
    /// The certificate of the webhook.
    pub certificate: CertificateOptions,
    /// The name of the Lease.
    pub lease: String,
}

impl Config {
    /// Checks the flags. An error names the flag and the values that it accepts.
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
            "--provisioner-name is empty; omit the flag to use bindery.dev/nfs"
        );
        let defaults = check_defaults(nfs_server, nfs_share)?;
        let mounted = check_mounted(&mounted)?;
        if let Some(instance) = &instance {
            check_instance(instance)?;
        }
        ensure!(
            (Duration::from_millis(100)..=Duration::from_secs(29)).contains(&deadline),
            "--deadline is {deadline:?}; set 100ms to 29s, and less than the webhook's timeoutSeconds"
        );
        ensure!(
            retention_interval >= Duration::from_millis(100),
            "--retention-interval is {retention_interval:?}; set 100ms or more"
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

/// Checks the flags for server and share.
pub fn check_defaults(server: Option<String>, share: Option<String>) -> Result<Defaults> {
    // A value that is not set is replaced by a valid one, so that the other one is checked at the start.
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

/// Parses `SERVER:/SHARE=/PATH`. A server has no slash, not even an IPv6 address. The last `=/` counts: the share may
/// have one in its name, and the administrator can choose the mount point.
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
        "path {} contains ..; write it without",
        path.display()
    );
    ensure!(
        path.components().count() > 1,
        "path / is not a mount point; name the directory where the share is mounted"
    );
    Ok((share, path.to_owned()))
}

/// Checks an instance id. It becomes part of file names on the server.
fn check_instance(id: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        (1..=63).contains(&id.len()) && id.chars().all(plain),
        "--instance {id:?}: write 1 to 63 lower-case letters, digits and dashes"
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
            "--deadline is 40s; set 100ms to 29s, and less than the webhook's timeoutSeconds"
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
        let error = |flag: &str| check(&["--mounted", flag]).unwrap_err();
        let form = "write it as SERVER:/SHARE=/PATH, such as nfs.example.com:/export/volumes=/mnt/volumes";
        for flag in ["nas:/export", "nas=/mnt", "nas:export=/mnt", "nas:/export=mnt"] {
            assert_eq!(error(flag), format!("--mounted {flag:?}: {form}"));
        }
        assert_eq!(
            error("n s:/a=/mnt"),
            "--mounted \"n s:/a=/mnt\": server \"n s\" is not a host name or an address"
        );
        assert_eq!(
            error("nas:2049:/a=/mnt"),
            "--mounted \"nas:2049:/a=/mnt\": server \"nas:2049\" names a port; remove it, because Bindery and the \
            nodes connect to port 2049"
        );
        assert_eq!(
            error("nas:/a=/"),
            "--mounted \"nas:/a=/\": path / is not a mount point; name the directory where the share is mounted"
        );
        assert_eq!(
            error("nas:/a=/mnt/../etc"),
            "--mounted \"nas:/a=/mnt/../etc\": path /mnt/../etc contains ..; write it without"
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
            "--instance \"../x\": write 1 to 63 lower-case letters, digits and dashes"
        );
    }
}

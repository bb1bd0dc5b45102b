//! Checks the flags of `bindery serve` at the start.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::cli;
use crate::model::directory::Share;
use crate::policy::class::Defaults;

/// Values that `bindery serve` computes from its flags. It uses all other flags as they are.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server and the export of classes that do not set them.
    pub defaults: Defaults,
    /// Mounted shares, each once, with their mount points.
    pub mounted: Vec<(Share, PathBuf)>,
}

impl Config {
    /// Checks the flags. An error names the flag and the values that it accepts.
    pub fn check(flags: &cli::Serve) -> Result<Self> {
        ensure!(
            !flags.installation.provisioner_name.is_empty(),
            "--provisioner-name is empty; omit the flag to use bindery.dev/nfs"
        );
        let defaults = check_defaults(&flags.installation)?;
        let mounted = check_mounted(&flags.mounted)?;
        if let Some(instance) = &flags.installation.instance {
            check_instance(instance)?;
        }
        let (deadline, interval) = (flags.deadline, flags.retention_interval);
        ensure!(
            (Duration::from_millis(100)..=Duration::from_secs(29)).contains(&deadline),
            "--deadline is {deadline:?}; set 100ms to 29s, and less than the webhook's timeoutSeconds"
        );
        for (flag, interval) in [
            ("--space-interval", flags.space_interval),
            ("--usage-interval", flags.usage_interval),
        ] {
            ensure!(
                interval.is_zero() || interval >= Duration::from_millis(100),
                "{flag} is {interval:?}; set 100ms or more, or 0s to turn it off"
            );
        }
        ensure!(
            interval >= Duration::from_millis(100),
            "--retention-interval is {interval:?}; set 100ms or more"
        );
        Ok(Self { defaults, mounted })
    }
}

/// Checks the flags for server and share.
pub fn check_defaults(flags: &cli::InstallationArgs) -> Result<Defaults> {
    let (server, share) = (flags.nfs_server.clone(), flags.nfs_share.clone());
    // If only one of the two is set, a valid value takes the place of the other, so that the one is checked.
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

/// The share and the mount that `bindery check --server` checks.
pub struct ServerToCheck {
    /// The share, in the version of the flag, or else in the default version.
    pub share: Share,
    /// Where it is mounted, if the mount is to be checked.
    pub mounted: Option<PathBuf>,
}

impl ServerToCheck {
    /// Checks the flags. Returns `None` without `--server`.
    pub fn check(flags: &cli::ServerArgs) -> Result<Option<Self>> {
        let (Some(host), Some(path)) = (&flags.host, &flags.share) else {
            return Ok(None);
        };
        let share = Share::parse(host, path).context("--server and --share")?;
        ensure!(
            flags.timeout >= Duration::from_millis(100),
            "--timeout is {:?}; set 100ms or more",
            flags.timeout
        );
        if let Some(mounted) = &flags.mounted {
            check_mount_point(mounted).with_context(|| format!("--mounted {:?}", mounted.display().to_string()))?;
        }
        Ok(Some(Self {
            share: share.over(flags.nfs_version.unwrap_or_default()),
            mounted: flags.mounted.clone(),
        }))
    }
}

/// Parses `SERVER:/SHARE=/PATH`. No form of SERVER contains a slash, so the first `:/` ends it. The last `=/` ends
/// SHARE, which may contain `=/` itself; the administrator can choose a mount point that does not.
fn mount(flag: &str) -> Result<(Share, PathBuf)> {
    let parts = flag.rsplit_once("=/").and_then(|(remote, path)| {
        let (server, share) = remote.split_once(":/")?;
        Some((server, format!("/{share}"), format!("/{path}")))
    });
    let Some((server, share, path)) = parts else {
        bail!("write it as SERVER:/SHARE=/PATH, such as nfs.example.com:/export/volumes=/mnt/volumes");
    };
    let share = Share::parse(server, &share)?;
    check_mount_point(Path::new(&path))?;
    Ok((share, PathBuf::from(path)))
}

fn check_mount_point(path: &Path) -> Result<()> {
    ensure!(
        path.is_absolute(),
        "path {} is relative; write it from the root on",
        path.display()
    );
    ensure!(
        path.components().all(|part| part != Component::ParentDir),
        "path {} contains ..; write the path without it",
        path.display()
    );
    ensure!(
        path.components().count() > 1,
        "path / is not a mount point; name the directory where the share is mounted"
    );
    Ok(())
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
            panic!("the command is serve");
        };
        Config::check(&flags).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn serve_uses_every_one_of_its_flags() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (checks, _) = include_str!("config.rs").split_once("#[cfg(test)]").unwrap();
        let code = [include_str!("commands/serve.rs"), checks].concat();
        let read: Vec<&str> = code
            .split('.')
            .filter_map(|rest| rest.split(|c| !is_name(c)).next())
            .collect();
        let flags = [
            include_str!("cli/serve.rs"),
            include_str!("cli/installation.rs"),
            include_str!("cli/nfs_user.rs"),
        ];
        let flags = flags.concat();
        let fields = flags
            .lines()
            .filter_map(|line| line.strip_prefix("    pub ")?.split_once(':'));
        let fields: Vec<&str> = fields.map(|(name, _)| name).collect();
        assert!(fields.len() > 25, "{fields:?}");
        for field in fields {
            assert!(read.contains(&field), "bindery serve does not read the flag {field}");
        }
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
    fn an_interval_is_zero_or_not_too_short() {
        for flag in ["--space-interval", "--usage-interval"] {
            assert!(check(&[flag, "0s"]).is_ok());
            assert_eq!(
                check(&[flag, "5ms"]).unwrap_err(),
                format!("{flag} is 5ms; set 100ms or more, or 0s to turn it off")
            );
        }
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
    fn the_server_of_a_mounted_share_is_a_name_or_an_address() {
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
    fn an_invalid_mounted_share_is_rejected_with_the_reason() {
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
            "--mounted \"nas:/a=/mnt/../etc\": path /mnt/../etc contains ..; write the path without it"
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

//! Checks an NFS server: tries on a share all that Bindery needs there, and reports each step.
//!
//! - [`connection`] checks what comes before the share: the server's name, a connection, the NFS versions.
//! - [`trials`] uses the share as Bindery does, in a directory of its own, which [`directories`] makes and removes.
//! - [`step`](mod@step) runs the calls of one step. [`report`] is the result.
//!
//! The messages about failures are those of [`crate::storage`].

mod connection;
mod directories;
mod report;
mod step;
mod trials;

use std::io::Write;

use anyhow::{Result, bail};
use uuid::Uuid;

use self::connection::Versions;
use self::directories::Directories;
use self::report::{Finding, Line, Report, Step};
use crate::cli::{NfsUserArgs, Output, ServerArgs};
use crate::commands::serialize;
use crate::config::ServerToCheck;
use crate::model::directory::{NfsVersion, Share};
use crate::ops::tasks::shutdown_signal;
use crate::storage::Storages;
use crate::storage::mounted::MountedStorage;
use crate::storage::nfs::NfsOptions;

/// Checks a server. Returns whether Bindery can use the share.
pub async fn check(checked: ServerToCheck, flags: ServerArgs) -> Result<bool> {
    let is_mount = checked.mounted.is_some();
    let (uid, gid) = if is_mount {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        (uid.as_raw(), gid.as_raw())
    } else {
        (flags.user.nfs_uid, flags.user.nfs_gid)
    };
    // As `bindery serve` does.
    rustix::process::umask(rustix::fs::Mode::empty());
    let run = Uuid::new_v4();
    let mut report = Report {
        server: checked.share.server().to_owned(),
        share: checked.share.path().to_owned(),
        access: None,
        uid,
        gid,
        usable: false,
        left: None,
        steps: Vec::new(),
    };
    let mut directories = None;
    let from_any_port = Storages::new(options(flags.user, run, Port::Any));
    let interrupted = tokio::select! {
        () = steps(checked, &flags, run, &mut report, &mut directories, &from_any_port) => None,
        signal = shutdown_signal() => Some(signal?),
    };
    from_any_port.shut_down().await;
    if let Some(directories) = directories {
        // A second signal ends the program although the directory is not removed yet.
        tokio::select! {
            () = directories.clean_up(&mut report) => {}
            signal = shutdown_signal() => {
                signal?;
                report.left = directories.left();
            }
        }
        directories.shut_down().await;
    }
    report.complete(Step::ALL.into_iter().filter(|step| !is_mount || step.is_for_mounts()));
    let text = match flags.output {
        Output::Json => serialize::json(&report)?,
        Output::Yaml => serialize::yaml(&report)?,
        Output::Text => report.text(),
    };
    // This fails if the program at the other end has closed the pipe.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if let Some(signal) = interrupted {
        bail!("{signal} ended the check before all steps were tried; start it again");
    }
    Ok(report.usable && report.left.is_none())
}

/// Runs the steps until one fails on which the others depend. `directories` gets what must be cleaned up.
async fn steps(
    checked: ServerToCheck,
    flags: &ServerArgs,
    run: Uuid,
    report: &mut Report,
    directories: &mut Option<Directories>,
    from_any_port: &Storages,
) {
    let ServerToCheck { mut share, mounted } = checked;
    let timeout = flags.timeout;
    let nfs = || options(flags.user, run, Port::Privileged);
    let Some(mount) = mounted else {
        let Some(versions) = connection::check(&share, &nfs(), timeout, &mut report.steps).await else {
            return;
        };
        if flags.nfs_version.is_none() && versions.only_3() {
            share = share.over(NfsVersion::V3);
        }
        report.access = access(&share, &versions);
        let storage = Storages::new(nfs());
        let directories = directories.insert(Directories::new(share, storage, run, timeout));
        let found = directories.find(&mut report.steps).await;
        if found {
            let needs_setting = flags.nfs_version.is_none() && versions.only_3();
            if needs_setting {
                name_the_setting(&mut report.steps);
            }
            directories
                .source_port(from_any_port, versions.privileged, &mut report.steps)
                .await;
        }
        if found {
            directories.use_share(&mut report.steps).await;
        }
        return;
    };
    report.access = Some("mount".to_owned());
    let mounted = MountedStorage::new(vec![(share.clone(), mount)]);
    let storage = Storages::new(nfs()).with_mounted(mounted);
    let directories = directories.insert(Directories::new(share, storage, run, timeout));
    if directories.find(&mut report.steps).await {
        directories.use_share(&mut report.steps).await;
    }
}

/// The source port of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    /// Below 1024, if this process may use one.
    Privileged,
    /// Any port.
    Any,
}

/// Returns the identity of the check on the server. Its name is its own, because a client with the name of a replica would
/// end the sessions of that replica.
fn options(user: NfsUserArgs, run: Uuid, port: Port) -> NfsOptions {
    NfsOptions {
        uid: user.nfs_uid,
        gid: user.nfs_gid,
        machine: format!("bindery-check {run} {port:?}"),
        privileged_port: port == Port::Privileged,
    }
}

fn access(share: &Share, versions: &Versions) -> Option<String> {
    match share.version() {
        NfsVersion::V4 => versions.newest_4().map(|minor| format!("NFSv4.{minor}")),
        NfsVersion::V3 => Some("NFSv3".to_owned()),
    }
}

/// Says on the line of version 3 what a StorageClass needs.
fn name_the_setting(lines: &mut [Line]) {
    for line in lines {
        if line.step == Step::V3 {
            line.result = Finding::Limited;
            line.detail +=
                "; the server supports neither NFSv4.2 nor NFSv4.1: set nfsVersion: \"3\" in the StorageClass";
        }
    }
}

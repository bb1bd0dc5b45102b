//! What comes before the share: the server's name, a connection, the NFS versions.

use std::net::IpAddr;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use super::report::{Finding, Line, Step};
use super::step::{deadline, step};
use crate::model::directory::{NfsVersion, Share};
use crate::storage::StorageError;
use crate::storage::nfs::NfsOptions;
use crate::storage::nfs::probe::{Connected, Ports, Probe};

/// What a server offers.
pub struct Versions {
    /// The minor versions of version 4 that the server supports.
    minors: Vec<u32>,
    /// Whether the server has answered that it supports no minor version that Bindery uses.
    lacks_4: bool,
    has_3: bool,
    /// Whether the connection came from a privileged port.
    pub privileged: bool,
}

impl Versions {
    /// Returns the newest minor version of version 4 that Bindery uses.
    pub fn newest_4(&self) -> Option<u32> {
        self.minors.iter().copied().filter(|minor| *minor > 0).max()
    }

    /// Returns whether version 3 is the only one that Bindery can use.
    pub fn only_3(&self) -> bool {
        self.has_3 && self.lacks_4
    }
}

/// Checks the connection. Returns `None` if the server's name has no address, or if no address accepts a connection.
pub async fn check(share: &Share, options: &NfsOptions, timeout: Duration, lines: &mut Vec<Line>) -> Option<Versions> {
    let probe = Probe::new(share, options.clone());
    let addresses = step(lines, Step::Name, probe.addresses(deadline(timeout)), |addresses| {
        (Finding::Ok, list(addresses.iter().map(IpAddr::to_string)))
    });
    let addresses = addresses.await?;
    // Without a connection, each version would have the same reason.
    let connected = connect(&probe, &addresses, timeout, lines).await?;
    let versions = versions(&probe, connected.server.ip(), share.version(), timeout, lines).await;
    Some(Versions {
        privileged: connected.privileged,
        ..versions
    })
}

/// Connects to all addresses at the same time. Bindery needs one of them.
async fn connect(probe: &Probe, addresses: &[IpAddr], timeout: Duration, lines: &mut Vec<Line>) -> Option<Connected> {
    let all = async {
        let all = addresses
            .iter()
            .map(|address| probe.connect(*address, deadline(timeout)));
        let (mut open, mut failed) = (Vec::new(), Vec::new());
        for tried in join_all(all).await {
            match tried {
                Ok(connected) => open.push(connected),
                Err(error) => failed.push(error),
            }
        }
        match (open.is_empty(), failed.pop()) {
            (true, Some(error)) => Err(error),
            (_, last) => Ok((open, failed.into_iter().chain(last).collect())),
        }
    };
    let describe = |(open, failed): &(Vec<Connected>, Vec<StorageError>)| {
        let to = |connected: &Connected| format!("to {} from port {}", connected.server, connected.source_port);
        let text = list(open.iter().map(to));
        if failed.is_empty() {
            return (Finding::Ok, text);
        }
        // Bindery tries all addresses in turn, which takes time for those that do not answer.
        let causes = failed
            .iter()
            .map(|error| error.cause.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        (
            Finding::Limited,
            format!("{text}, but not to every address of the name: {causes}"),
        )
    };
    let (open, _) = step(lines, Step::Connect, all, describe).await?;
    open.first().copied()
}

/// Asks for all versions at the same time. `version` is the one to be used.
async fn versions(
    probe: &Probe,
    address: IpAddr,
    version: NfsVersion,
    timeout: Duration,
    lines: &mut Vec<Line>,
) -> Versions {
    let end = deadline(timeout);
    let minors = join_all([2, 1, 0].map(|minor| timed(probe.supports_v4(address, minor, end))));
    let (minors, (ports, time)) = tokio::join!(minors, timed(probe.ports_of_v3(address, end)));
    let mut supported = Vec::new();
    let mut lacking = 0;
    for (minor, (answer, time)) in [2, 1, 0].into_iter().zip(minors) {
        let (result, detail) = match answer {
            Ok(true) => {
                supported.push(minor);
                let unused = if minor == 0 { "Bindery does not use it" } else { "" };
                (Finding::Ok, unused.to_owned())
            }
            Ok(false) => {
                lacking += usize::from(minor > 0);
                (Finding::No, "the server does not support it".to_owned())
            }
            Err(error) => (Finding::No, error.cause),
        };
        lines.push(line(Step::V4(minor), result, time, detail));
    }
    let has_3 = ports.is_ok();
    let needs_3 = version == NfsVersion::V3 || supported.iter().all(|minor| *minor == 0);
    let (result, detail) = match ports {
        Ok(Ports { mountd, nfs }) => (Finding::Ok, format!("portmapper 111, mountd {mountd}, NFS {nfs}")),
        // The advice would be about something that nobody needs.
        Err(_) if !needs_3 => (
            Finding::No,
            "the server does not offer it, and Bindery does not need it".to_owned(),
        ),
        Err(error) => (Finding::No, error.cause),
    };
    lines.push(line(Step::V3, result, time, detail));
    Versions {
        minors: supported,
        lacks_4: lacking == 2,
        has_3,
        privileged: false,
    }
}

async fn timed<T>(call: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    (call.await, began.elapsed())
}

fn line(step: Step, result: Finding, time: Duration, detail: String) -> Line {
    Line {
        step,
        result,
        time: Some(time),
        detail,
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

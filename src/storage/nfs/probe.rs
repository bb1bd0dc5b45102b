//! Asks a server what it offers, before a share is used: its addresses, a connection, its NFS versions.
//!
//! The verbs do the same when they need it. Here each step is one call, so that `bindery check --server` can report it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::connect::{ConnectError, Name, connect_to};
use super::options::NfsOptions;
pub use super::v3::probe::Ports;
use super::{v3, v4};
use crate::model::directory::{NfsVersion, Share};
use crate::storage::error::Reason;
use crate::storage::refusal::ErrorContext;
use crate::storage::{Outcome, StorageError, messages, no_answer};

/// The port of version 4. No other port is needed.
const NFS: u16 = 2049;
/// The port of the portmapper, which version 3 asks for the other ports.
const PORTMAPPER: u16 = 111;

/// A connection that was opened, and closed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The address and the port of the server.
    pub server: SocketAddr,
    /// The port of this host.
    pub source_port: u16,
    /// Whether that port is a privileged one.
    pub privileged: bool,
}

/// Asks the server of one share. Every question has a deadline.
#[derive(Clone, Debug)]
pub struct Probe {
    share: Share,
    options: Arc<NfsOptions>,
}

impl Probe {
    /// Creates a probe. Sends nothing.
    pub fn new(share: &Share, options: NfsOptions) -> Self {
        Self {
            share: share.clone(),
            options: Arc::new(options),
        }
    }

    /// Resolves the name of the server.
    pub async fn addresses(&self, deadline: Instant) -> Result<Vec<IpAddr>, StorageError> {
        const WHAT: &str = "find the server's addresses";
        let name = Name::new(self.share.server(), NFS);
        let unresolved = || no_answer::unresolved(self.share.server());
        let found = timeout_at(deadline, name.addresses(&Handle::current())).await;
        let Ok(Ok(found)) = found else {
            return Err(self.error(WHAT, unresolved()));
        };
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.into_iter().map(|address| address.ip()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(self.error(WHAT, unresolved()));
        }
        Ok(addresses)
    }

    /// Connects to the port that a client asks first: of NFS, or in version 3 of the portmapper.
    pub async fn connect(&self, address: IpAddr, deadline: Instant) -> Result<Connected, StorageError> {
        const WHAT: &str = "connect to the server";
        let port = match self.share.version() {
            NfsVersion::V4 => NFS,
            NfsVersion::V3 => PORTMAPPER,
        };
        let server = SocketAddr::new(address, port);
        let failed = |error: &std::io::Error| self.error(WHAT, no_answer::no_connection(server, error));
        let connection = match timeout_at(deadline, connect_to(server, self.options.privileged_port)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(ConnectError::Connect(_, error))) => return Err(failed(&error)),
            Ok(Err(ConnectError::Resolve(error))) => return Err(failed(&error)),
            Err(_) => return Err(failed(&std::io::ErrorKind::TimedOut.into())),
        };
        let local = connection.stream.local_addr().map_err(|error| failed(&error))?;
        Ok(Connected {
            server,
            source_port: local.port(),
            privileged: connection.privileged,
        })
    }

    /// Returns whether the server supports a minor version of version 4.
    pub async fn supports_v4(&self, address: IpAddr, minor: u32, deadline: Instant) -> Result<bool, StorageError> {
        let share = self.share.clone().over(NfsVersion::V4);
        let context = self.context(&share);
        let server = SocketAddr::new(address, NFS);
        let answer = v4::probe::supports(server, minor, &self.options, &context);
        let answer = timeout_at(deadline, answer).await;
        let answer = answer.unwrap_or_else(|_| Err(messages::timed_out(&context)));
        answer.map_err(|reason| self.error(&format!("ask for NFSv4.{minor}"), reason))
    }

    /// Returns the ports of version 3.
    pub async fn ports_of_v3(&self, address: IpAddr, deadline: Instant) -> Result<Ports, StorageError> {
        let share = self.share.clone().over(NfsVersion::V3);
        let context = self.context(&share);
        let answer = v3::probe::ports(SocketAddr::new(address, PORTMAPPER), &context);
        let answer = timeout_at(deadline, answer).await;
        let answer = answer.unwrap_or_else(|_| Err(v3::probe::timed_out(&context)));
        answer.map_err(|reason| self.error("ask for NFSv3", reason))
    }

    fn context<'a>(&'a self, share: &'a Share) -> ErrorContext<'a> {
        ErrorContext {
            share,
            uid: self.options.uid,
            privileged: self.options.privileged_port,
            mount: None,
        }
    }

    fn error(&self, what: &str, reason: Reason) -> StorageError {
        StorageError::of(what, &self.share, reason, Outcome::NotDone)
    }
}

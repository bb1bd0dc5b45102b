//! Opens a TCP connection to an NFS server, from a privileged port if that is possible.
//!
//! Linux exports default to `secure`: they serve source ports below 1024 only. An ordinary user may bind those where
//! `net.ipv4.ip_unprivileged_port_start` allows it, as the sysctl in Bindery's deployment does. Keepalive is not used: no
//! connection waits for an answer longer than a verb lasts, and idle ones are closed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// The range of source ports that Linux' NFS client uses.
const PRIVILEGED: std::ops::Range<u16> = 665..1024;
const PORTS_TO_TRY: u16 = 8;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// The server's name has no address.
    Resolve(Arc<io::Error>),
    /// None of its addresses accepted the connection; the reason of the last one.
    Connect(SocketAddr, io::Error),
}

/// A connection, and whether it comes from a privileged port.
#[derive(Debug)]
pub(super) struct Connection {
    pub stream: TcpStream,
    /// The server's end.
    pub address: SocketAddr,
    pub privileged: bool,
}

/// The addresses of a name. Several calls may wait for them, so the error is shared.
type Resolved = Result<Vec<SocketAddr>, Arc<io::Error>>;

/// A server's name and port, to be resolved.
///
/// All callers share one look-up at a time, because a resolver that hangs cannot be stopped.
#[derive(Debug)]
pub(super) struct Name {
    host: String,
    port: u16,
    in_progress: Arc<Mutex<Option<Shared<BoxFuture<'static, Resolved>>>>>,
}

impl Name {
    /// Creates a name. Does not resolve it.
    pub fn new(name: &str, port: u16) -> Self {
        Self {
            host: name.to_owned(),
            port,
            in_progress: Arc::default(),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.host
    }

    /// Resolves the name in a task of `runtime`, so that the caller may be dropped at any time.
    pub async fn addresses(&self, runtime: &Handle) -> Result<Vec<SocketAddr>, ConnectError> {
        let lookup = {
            let mut in_progress = self.in_progress.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || {
                let (name, port, this) = (self.host.clone(), self.port, self.in_progress.clone());
                let task = runtime.spawn(async move {
                    let resolved = resolve(&name, port).await;
                    *this.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    resolved
                });
                task.map(|ended| ended.unwrap_or_else(|error| Err(Arc::new(error.into()))))
                    .boxed()
                    .shared()
            };
            in_progress.get_or_insert_with(new).clone()
        };
        lookup.await.map_err(ConnectError::Resolve)
    }
}

async fn resolve(name: &str, port: u16) -> Resolved {
    Ok(lookup_host((name, port)).await.map_err(Arc::new)?.collect())
}

/// Tries all addresses of a server in turn; each gets an equal part of the time until `deadline`.
pub(super) async fn connect(
    addresses: &[SocketAddr],
    privileged: bool,
    deadline: Instant,
) -> Result<Connection, ConnectError> {
    let mut refused = ConnectError::Resolve(Arc::new(io::Error::other("the name has no address")));
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for &address in addresses {
        let now = Instant::now();
        let end = now + deadline.saturating_duration_since(now) / left;
        left -= 1;
        match timeout_at(end, connect_to(address, privileged)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => refused = error,
            Err(_) => refused = ConnectError::Connect(address, io::ErrorKind::TimedOut.into()),
        }
    }
    Err(refused)
}

/// Connects to one address of a server.
pub(super) async fn connect_to(address: SocketAddr, privileged: bool) -> Result<Connection, ConnectError> {
    let (stream, privileged) = from_best_port(address, privileged)
        .await
        .map_err(|error| ConnectError::Connect(address, error))?;
    Ok(Connection {
        stream,
        address,
        privileged,
    })
}

async fn from_best_port(address: SocketAddr, privileged: bool) -> io::Result<(TcpStream, bool)> {
    if privileged {
        let ports = u32::from(PRIVILEGED.end - PRIVILEGED.start);
        // A random start, so that calls at the same time seldom try the same ports.
        let start = u16::try_from(uuid::Uuid::new_v4().as_fields().0 % ports).unwrap_or_default();
        for step in 0..PORTS_TO_TRY {
            let port = PRIVILEGED.start + (start + step) % (PRIVILEGED.end - PRIVILEGED.start);
            match connect_from(port, address).await {
                Ok(stream) => return Ok((stream, true)),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
                Err(error) if port_in_use(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok((stream, false))
}

async fn connect_from(port: u16, address: SocketAddr) -> io::Result<TcpStream> {
    let (socket, any) = match address {
        SocketAddr::V4(_) => (TcpSocket::new_v4()?, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        SocketAddr::V6(_) => (TcpSocket::new_v6()?, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
    // There are few of these ports, so one is used again soon after its connection is closed, or for another server.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(any, port))?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn port_in_use(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

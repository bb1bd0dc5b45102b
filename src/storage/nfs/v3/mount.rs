//! Opens a connection to the server of a share: portmapper, mount protocol, NFS (RFC 1833, 3; RFC 1813, 5).
//!
//! All three are asked for each connection, because a server that has restarted may have other ports and other handles. UMNT
//! is not sent, because servers keep their list of mounts for display only.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nfs3_client::nfs3_types::mount::{MOUNT_PROGRAM, PROGRAM as MOUNT, VERSION as MOUNT_VERSION, dirpath};
use nfs3_client::nfs3_types::nfs3::{PROGRAM as NFS, VERSION as NFS_VERSION, nfs_fh3};
use nfs3_client::nfs3_types::portmap::IPPROTO_TCP;
use nfs3_client::nfs3_types::rpc::{auth_unix, opaque_auth};
use nfs3_client::nfs3_types::xdr_codec::{Error as XdrError, Opaque, Unpack};
use nfs3_client::rpc::RpcClient;
use nfs3_client::{Nfs3Client, PortmapError, PortmapperClient, RpcError};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::io::Records;
use super::procedure::{Handle, has_valid_length};
use crate::storage::nfs::connect::{ConnectError, connect_to};
use crate::storage::nfs::options::NfsOptions;
use crate::storage::nfs::record;

const AUTH_SYS: u32 = 1;
/// The most authentication flavors in a reply. Servers send fewer.
const MAX_FLAVORS: u32 = 64;

/// The parts of a server that a share needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Part {
    /// `rpcbind`, on port 111.
    Portmapper,
    /// `mountd`.
    Mount,
    Nfs,
}

/// Why there is no connection, or no answer to a call.
#[derive(Debug)]
pub(super) enum Failure {
    Resolve(Arc<io::Error>),
    /// No TCP connection to this part.
    Connect(Part, SocketAddr, io::Error),
    /// The part gave no useful answer.
    Call(Part, RpcError),
    /// The portmapper does not know this part.
    NotRegistered(Part),
    /// The mount protocol's status.
    Mount(u32),
    /// The share does not accept AUTH_SYS.
    NoAuthSys,
}

impl Failure {
    /// Returns whether the connection ended without an answer.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Call(_, RpcError::Io(error)) if is_broken(error))
    }

    /// Returns whether the server has refused to carry the call out.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Call(
                _,
                RpcError::Auth(_)
                    | RpcError::RpcMismatch { .. }
                    | RpcError::ProgUnavail
                    | RpcError::ProgMismatch { .. }
                    | RpcError::ProcUnavail
                    | RpcError::GarbageArgs
            )
        )
    }
}

/// Returns whether an error is one of the connection, not of the server's reply.
pub(super) fn is_broken(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::InvalidData
}

/// A connection to a share's NFS server.
#[derive(Debug)]
pub(super) struct Connection {
    pub client: Nfs3Client<Records>,
    stream: Arc<TcpStream>,
    /// When it was last used.
    pub used: Instant,
}

impl Connection {
    /// Returns whether the server has closed it.
    pub fn closed(&self) -> bool {
        record::closed(&self.stream)
    }

    /// Cuts it, so that this host sends nothing more of a call.
    pub fn cut(self) {
        record::cut(&self.stream);
    }
}

/// Reports the state of a connection that is being opened.
pub(super) struct Progress<'a, F> {
    /// Called with each part of the server before it is asked.
    pub asks: F,
    /// Whether the latest connection to a part comes from a port below 1024.
    pub has_privileged_port: &'a AtomicBool,
}

/// Opens a connection, and returns it with the handle of the share. Tries all addresses of a server in turn; each gets an equal part of the time until `deadline`, the last one the rest.
pub(super) async fn open(
    addresses: &[SocketAddr],
    path: &str,
    options: &NfsOptions,
    deadline: Instant,
    progress: &Progress<'_, impl Fn(Part) + Sync>,
) -> Result<(Connection, Handle), Failure> {
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for &address in addresses {
        let open = open_at(address, path, options, progress);
        if left == 1 {
            return open.await;
        }
        let now = Instant::now();
        let end = now + deadline.saturating_duration_since(now) / left;
        left -= 1;
        match timeout_at(end, open).await {
            Ok(Ok(opened)) => return Ok(opened),
            // Each address gives the same answer about a share.
            Ok(Err(error @ (Failure::Mount(_) | Failure::NoAuthSys))) => return Err(error),
            Ok(Err(error)) => tracing::debug!(%address, ?error, "a server's next address is tried"),
            Err(_) => tracing::debug!(%address, "a server's next address is tried: this one does not answer"),
        }
    }
    let nothing = io::Error::other("the name has no address");
    Err(Failure::Resolve(Arc::new(nothing)))
}

async fn open_at(
    portmapper: SocketAddr,
    path: &str,
    options: &NfsOptions,
    progress: &Progress<'_, impl Fn(Part) + Sync>,
) -> Result<(Connection, Handle), Failure> {
    (progress.asks)(Part::Portmapper);
    // The portmapper accepts any source port.
    let (stream, _) = connect(Part::Portmapper, portmapper, false).await?;
    let mut asked = PortmapperClient::new(Records::new(stream));
    let mount = port(&mut asked, Part::Mount, MOUNT, MOUNT_VERSION).await?;
    let nfs = port(&mut asked, Part::Nfs, NFS, NFS_VERSION).await?;
    drop(asked);
    let at = |port| SocketAddr::new(portmapper.ip(), port);

    (progress.asks)(Part::Mount);
    let (stream, privileged) = connect(Part::Mount, at(mount), options.privileged_port).await?;
    progress.has_privileged_port.store(privileged, Ordering::Relaxed);
    let root = mount_share(stream, path, options).await?;

    (progress.asks)(Part::Nfs);
    let (stream, privileged) = connect(Part::Nfs, at(nfs), options.privileged_port).await?;
    progress.has_privileged_port.store(privileged, Ordering::Relaxed);
    let connection = Connection {
        client: Nfs3Client::new_with_auth(Records::new(stream.clone()), auth(options), opaque_auth::default()),
        stream,
        used: Instant::now(),
    };
    Ok((connection, root))
}

async fn mount_share(stream: Arc<TcpStream>, path: &str, options: &NfsOptions) -> Result<Handle, Failure> {
    let mut mount = RpcClient::new_with_auth(Records::new(stream), auth(options), opaque_auth::default());
    let path = dirpath(Opaque::borrowed(path.as_bytes()));
    let answer: MountReply = mount
        .call(MOUNT, MOUNT_VERSION, MOUNT_PROGRAM::MOUNTPROC3_MNT as u32, &path)
        .await
        .map_err(|error| Failure::Call(Part::Mount, error))?;
    match answer {
        MountReply::Denied(status) => Err(Failure::Mount(status)),
        // Old servers send an empty list.
        MountReply::Accepted { flavors, .. } if !flavors.is_empty() && !flavors.contains(&AUTH_SYS) => {
            Err(Failure::NoAuthSys)
        }
        MountReply::Accepted { root, .. } => Ok(root),
    }
}

pub(super) async fn connect(
    part: Part,
    address: SocketAddr,
    privileged: bool,
) -> Result<(Arc<TcpStream>, bool), Failure> {
    match connect_to(address, privileged).await {
        Ok(connection) => Ok((Arc::new(connection.stream), connection.privileged)),
        Err(ConnectError::Resolve(error)) => Err(Failure::Resolve(error)),
        Err(ConnectError::Connect(address, error)) => Err(Failure::Connect(part, address, error)),
    }
}

pub(super) async fn port(
    asked: &mut PortmapperClient<Records>,
    part: Part,
    program: u32,
    version: u32,
) -> Result<u16, Failure> {
    match asked.getport(program, version, IPPROTO_TCP).await {
        Ok(number) => Ok(number),
        Err(PortmapError::Rpc(error)) => Err(Failure::Call(Part::Portmapper, error)),
        Err(PortmapError::ProgramUnavailable | PortmapError::InvalidPortValue(_)) => Err(Failure::NotRegistered(part)),
    }
}

fn auth(options: &NfsOptions) -> opaque_auth<'static> {
    opaque_auth::auth_unix(&auth_unix {
        machinename: Opaque::owned(options.machine.as_bytes().to_vec()),
        uid: options.uid,
        gid: options.gid,
        ..auth_unix::default()
    })
}

/// The answer to MNT. The crate's own type would allocate as much memory as the reply claims to need.
enum MountReply {
    Accepted { root: Handle, flavors: Vec<u32> },
    Denied(u32),
}

impl Unpack for MountReply {
    fn unpack(input: &mut impl io::Read) -> Result<(Self, usize), XdrError> {
        let (status, mut read) = u32::unpack(input)?;
        if status != 0 {
            return Ok((Self::Denied(status), read));
        }
        let (root, length) = nfs_fh3::unpack(input)?;
        read += length;
        let (count, length) = u32::unpack(input)?;
        read += length;
        if count > MAX_FLAVORS || !has_valid_length(&root) {
            return Err(XdrError::ObjectTooLarge(count as usize));
        }
        let mut flavors = Vec::new();
        for _ in 0..count {
            let (flavor, length) = u32::unpack(input)?;
            read += length;
            flavors.push(flavor);
        }
        Ok((Self::Accepted { root, flavors }, read))
    }
}

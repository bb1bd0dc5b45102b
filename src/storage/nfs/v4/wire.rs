//! A connection, and the operations that create and destroy clients and sessions on it (RFC 8881, 18.34 to 18.51; minor
//! version 2: RFC 7862). None of them needs a session on this connection.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::compound::{self, Results};
use super::limits::{LARGEST_CALL, LARGEST_REPLY, Limits, MAX_OPERATIONS};
use super::rpc::{self, RpcError};
use super::server_id::ServerId;
use super::xdr::{Malformed, Writer};
use crate::storage::nfs::connect::{ConnectError, Connection};
use crate::storage::nfs::options::NfsOptions;
use crate::storage::nfs::record;
use crate::storage::status::Status;

/// The minor version that is tried first.
pub(super) const NEWEST_MINOR: u32 = 2;

const BIND_CONN_TO_SESSION: u32 = 41;
const EXCHANGE_ID: u32 = 42;
const CREATE_SESSION: u32 = 43;
const DESTROY_SESSION: u32 = 44;
pub(super) const SEQUENCE: u32 = 53;
const DESTROY_CLIENTID: u32 = 57;

/// The flag of a client without pNFS.
const USE_NON_PNFS: u32 = 0x0001_0000;
/// The flag in the reply that the client has had a session already.
const CONFIRMED: u32 = 0x8000_0000;

/// Why there is no session, or no reply to the operations that were sent.
#[derive(Debug)]
pub(super) enum SessionError {
    Connect(ConnectError),
    Rpc(RpcError),
    /// The server refused an operation of the session itself, so nothing else was carried out.
    Refused(&'static str, Status),
}

impl From<ConnectError> for SessionError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<RpcError> for SessionError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl From<Malformed> for SessionError {
    fn from(malformed: Malformed) -> Self {
        Self::Rpc(RpcError::Malformed(malformed))
    }
}

/// The server's answer to EXCHANGE_ID.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registered {
    pub client: u64,
    /// The number of the client's first CREATE_SESSION; none if the server knows the client already.
    pub next: Option<u32>,
    pub server: ServerId,
}

/// Distinguishes the incarnations of a client owner (18.35.3).
pub(super) type Verifier = [u8; 8];

pub(super) fn new_verifier() -> Verifier {
    uuid::Uuid::new_v4().as_u64_pair().0.to_be_bytes()
}

/// A session's name on its server.
pub(super) type SessionId = [u8; 16];

/// A connection to one address of a server.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    pub address: SocketAddr,
    options: Arc<NfsOptions>,
    pub minor: u32,
    xid: u32,
}

impl Wire {
    /// Wraps a connection. Sends nothing.
    pub fn new(connection: Connection, options: Arc<NfsOptions>, minor: u32) -> Self {
        Self {
            stream: connection.stream,
            address: connection.address,
            options,
            minor,
            // Any value; a random one distinguishes connections in a capture.
            xid: uuid::Uuid::new_v4().as_fields().0,
        }
    }

    /// Begins the arguments of a COMPOUND with `count` operations.
    pub fn begin(&self, count: usize) -> Writer {
        compound::begin(self.minor, count)
    }

    pub async fn send(&mut self, arguments: Writer) -> Result<Vec<u8>, RpcError> {
        self.xid = self.xid.wrapping_add(1);
        let arguments = arguments.into_bytes();
        rpc::call(&mut self.stream, self.xid, &self.options, &arguments).await
    }

    /// Returns whether the server has closed the connection, or sent bytes that are no answer to a call.
    pub fn closed(&self) -> bool {
        record::closed(&self.stream)
    }

    /// Closes the connection so that this host sends nothing more of a call that was given up.
    pub fn cut(self) {
        record::cut(&self.stream);
    }

    /// Sends EXCHANGE_ID (18.35) with the client owner and its incarnation. If the server knew another incarnation, its
    /// sessions and late calls end with the first CREATE_SESSION of this one.
    pub async fn exchange_id(&mut self, owner: &str, verifier: Verifier) -> Result<Registered, SessionError> {
        let mut arguments = self.begin(1);
        arguments.u32(EXCHANGE_ID);
        arguments.fixed(&verifier);
        arguments.opaque(owner.as_bytes());
        arguments.u32(USE_NON_PNFS);
        arguments.u32(0); // SP4_NONE
        arguments.u32(0); // no implementation id
        let reply = self.send(arguments).await?;
        let mut results = Results::new(&reply)?;
        accepted("EXCHANGE_ID", results.next(EXCHANGE_ID)?)?;
        let reader = results.reader();
        let (client, next, flags) = (reader.u64()?, reader.u32()?, reader.u32()?);
        Ok(Registered {
            client,
            next: (flags & CONFIRMED == 0).then_some(next),
            server: ServerId::read(reader)?,
        })
    }

    /// Sends CREATE_SESSION (18.36).
    pub async fn create_session(&mut self, client: u64, sequence: u32) -> Result<(SessionId, Limits), SessionError> {
        let mut arguments = self.begin(1);
        arguments.u32(CREATE_SESSION);
        arguments.u64(client);
        arguments.u32(sequence);
        arguments.u32(0); // neither persistent nor with callbacks
        let forward = [0, LARGEST_CALL, LARGEST_REPLY, 4096, MAX_OPERATIONS, 1, 0];
        // The backchannel is never used, but servers refuse a session without one, or with smaller limits.
        let back = [0, 4096, 4096, 0, 2, 1, 0];
        for value in forward.into_iter().chain(back) {
            arguments.u32(value);
        }
        arguments.u32(0x4000_0000); // callback program
        arguments.u32(1); // one way to call back: AUTH_NONE
        arguments.u32(0);
        let reply = self.send(arguments).await?;
        let mut results = Results::new(&reply)?;
        accepted("CREATE_SESSION", results.next(CREATE_SESSION)?)?;
        let reader = results.reader();
        let id = reader.fixed()?;
        reader.u32()?; // the sequence that was sent
        reader.u32()?; // flags
        let [_padding, call, reply, _cached, operations] = [
            reader.u32()?,
            reader.u32()?,
            reader.u32()?,
            reader.u32()?,
            reader.u32()?,
        ];
        let limits = Limits::granted(operations, call, reply)?;
        Ok((id, limits))
    }

    /// Sends DESTROY_SESSION (18.37). A session that the server does not know counts as destroyed: by a restart, or when the
    /// lease expired.
    pub async fn destroy_session(&mut self, session: &SessionId) -> Result<(), SessionError> {
        let mut arguments = self.begin(1);
        arguments.u32(DESTROY_SESSION);
        arguments.fixed(session);
        let reply = self.send(arguments).await?;
        match Results::new(&reply)?.next(DESTROY_SESSION)? {
            status if status.lost_session() => Ok(()),
            status => accepted("DESTROY_SESSION", status),
        }
    }

    /// Sends DESTROY_CLIENTID (18.50). Without it the server forgets the client when the lease expires.
    pub async fn destroy_client(&mut self, client: u64) -> Result<Status, RpcError> {
        let mut arguments = self.begin(1);
        arguments.u32(DESTROY_CLIENTID);
        arguments.u64(client);
        let reply = self.send(arguments).await?;
        Ok(Results::new(&reply)?.next(DESTROY_CLIENTID)?)
    }

    /// Sends BIND_CONN_TO_SESSION (18.34). If the server refuses it, the next operation fails.
    pub async fn bind(&mut self, session: &SessionId) -> Result<(), RpcError> {
        let mut arguments = self.begin(1);
        arguments.u32(BIND_CONN_TO_SESSION);
        arguments.fixed(session);
        arguments.u32(1); // for calls, not for callbacks
        arguments.u32(0); // no RDMA
        self.send(arguments).await?;
        Ok(())
    }

    /// Sends a SEQUENCE alone, and returns its status.
    pub async fn sequence(&mut self, session: &SessionId, sequence: u32) -> Result<Status, RpcError> {
        let mut arguments = self.begin(1);
        write_sequence(&mut arguments, session, sequence);
        let reply = self.send(arguments).await?;
        Ok(Results::new(&reply)?.next(SEQUENCE)?)
    }
}

/// Writes SEQUENCE (18.46). The reply need not be cached: no call is repeated in its slot.
pub(super) fn write_sequence(arguments: &mut Writer, session: &SessionId, sequence: u32) {
    arguments.u32(SEQUENCE);
    arguments.fixed(session);
    for value in [sequence, 0, 0, 0] {
        arguments.u32(value); // sequence, slot, highest slot, cache
    }
}

pub(super) fn accepted(operation: &'static str, status: Status) -> Result<(), SessionError> {
    match status {
        Status::OK => Ok(()),
        status => Err(SessionError::Refused(operation, status)),
    }
}

//! Sessions (RFC 8881, 2.10 and 18.34 to 18.51; minor version 2: RFC 7862).
//!
//! A [`Session`] is a TCP connection, a client id, a session and its one slot, all of its own. So a call that got no
//! answer concerns no other: its session is destroyed, by a [`Fence`], and whatever of it is still under way gets
//! BADSESSION. Calls run side by side in several of these.
//!
//! Left out: reclaiming after a restart (Bindery holds no state on a server), the reply cache (every verb can be
//! repeated), callbacks, pNFS, state protection, renewing the lease of an idle session (the next call finds the session
//! gone and another is opened).

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::compound::{self, Op, Reply, Results};
use super::connect::Connection;
use super::rpc::{self, Credentials, RpcError};
use super::status::Status;
use super::xdr::{Malformed, Writer};

const BIND_CONN_TO_SESSION: u32 = 41;
const EXCHANGE_ID: u32 = 42;
const CREATE_SESSION: u32 = 43;
const DESTROY_SESSION: u32 = 44;
const SEQUENCE: u32 = 53;
const DESTROY_CLIENTID: u32 = 57;
const RECLAIM_COMPLETE: u32 = 58;

/// Says that this client does no pNFS.
const USE_NON_PNFS: u32 = 0x0001_0000;
/// What the session is asked to carry at most; a server may say less.
const LARGEST_CALL: u32 = 32 * 1024;
const LARGEST_REPLY: u32 = 64 * 1024;
const MOST_OPERATIONS: u32 = 64;
/// With fewer operations in a COMPOUND the verbs do not work.
const FEWEST_OPERATIONS: u32 = 8;
const SMALLEST_REPLY: u32 = 4096;

/// What the server lets one COMPOUND carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Operations, SEQUENCE included.
    pub operations: usize,
    /// Bytes of a reply.
    pub reply: u32,
}

/// A session that may have a call under way, to be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fence {
    session: [u8; 16],
    client: u64,
    /// The call that may be under way.
    sequence: u32,
    /// Which of the server's addresses the session is on: behind one name there may be several servers.
    pub address: SocketAddr,
    pub since: Instant,
}

/// No reply to the operations that were sent.
#[derive(Debug)]
pub(super) enum SessionError {
    Rpc(RpcError),
    /// The server refused an operation of the session itself, so nothing else was carried out.
    Refused(&'static str, Status),
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

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    stream: TcpStream,
    address: SocketAddr,
    credentials: Arc<Credentials>,
    minor: u32,
    xid: u32,
    id: [u8; 16],
    client: u64,
    sequence: u32,
    limits: Limits,
    used: Instant,
}

impl Session {
    /// Opens a session on a fresh connection: minor version 2, or else 1.
    pub async fn open(connection: Connection, credentials: Arc<Credentials>) -> Result<Self, SessionError> {
        let mut session = Self {
            stream: connection.stream,
            address: connection.address,
            credentials,
            minor: 2,
            // Whatever it starts with; a value of its own helps to tell connections apart in a capture.
            xid: uuid::Uuid::new_v4().as_fields().0,
            id: [0; 16],
            client: 0,
            sequence: 1,
            limits: Limits {
                operations: 0,
                reply: 0,
            },
            used: Instant::now(),
        };
        let sequence = match session.exchange_id().await {
            Err(SessionError::Refused(_, Status::MINOR_VERS_MISMATCH)) => {
                session.minor = 1;
                session.exchange_id().await?
            }
            other => other?,
        };
        session.create_session(sequence).await?;
        session.reclaim_complete().await?;
        Ok(session)
    }

    /// Carries out the operations, as far as the server gets.
    ///
    /// After [`SessionError::Rpc`], or when the future is dropped, the call may still be under way: the session must
    /// be fenced. After [`SessionError::Refused`] nothing was carried out.
    pub async fn call(&mut self, ops: &[Op<'_>]) -> Result<Reply, SessionError> {
        let mut arguments = compound::begin(self.minor, ops.len() + 1);
        write_sequence(&mut arguments, &self.id, self.sequence);
        for op in ops {
            op.write(&mut arguments);
        }
        let reply = self.send(arguments).await?;
        let mut results = Results::new(&reply)?;
        self.read_sequence(&mut results)?;
        Ok(results.read(ops)?)
    }

    /// What destroys this session on another connection.
    pub fn fence(&self) -> Fence {
        Fence {
            session: self.id,
            client: self.client,
            sequence: self.sequence,
            address: self.address,
            since: Instant::now(),
        }
    }

    /// Sees to it that the call that may be under way in another session is over, or never begins, and destroys that
    /// session and its client. DELAY (the call is being carried out right now) is the caller's to wait for.
    pub async fn destroy(&mut self, fence: &Fence) -> Result<(), SessionError> {
        // Servers want the connection to be the session's. If this is refused, what follows tells.
        self.bind(fence).await?;
        self.take_slot(fence).await?;
        match self.destroy_session(fence).await? {
            // Gone: with the server's memory, or with its lease.
            Status::OK | Status::BADSESSION | Status::DEADSESSION | Status::STALE_CLIENTID | Status::EXPIRED => {}
            status => return Err(SessionError::Refused("DESTROY_SESSION", status)),
        }
        // Only tidiness: without it the server forgets the client when the lease ends.
        let mut arguments = compound::begin(self.minor, 1);
        arguments.u32(DESTROY_CLIENTID);
        arguments.u64(fence.client);
        self.send(arguments).await?;
        Ok(())
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// When it last answered.
    pub fn used(&self) -> Instant {
        self.used
    }

    /// Whether the server has closed the connection, or sent what nobody asked for.
    pub fn closed(&self) -> bool {
        let read = self.stream.try_read(&mut [0]);
        !matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }

    async fn send(&mut self, arguments: Writer) -> Result<Vec<u8>, RpcError> {
        self.xid = self.xid.wrapping_add(1);
        let arguments = arguments.into_bytes();
        let reply = rpc::call(&mut self.stream, self.xid, &self.credentials, &arguments).await?;
        self.used = Instant::now();
        Ok(reply)
    }

    /// 18.35. The owner is a fresh one each time: no other session, replica or earlier life can be taken for it.
    async fn exchange_id(&mut self) -> Result<u32, SessionError> {
        let fresh = uuid::Uuid::new_v4();
        let mut arguments = compound::begin(self.minor, 1);
        arguments.u32(EXCHANGE_ID);
        arguments.fixed(&fresh.as_bytes()[..8]); // verifier: one life of the owner, and it has only one
        arguments.opaque(format!("bindery {} {fresh}", self.credentials.machine).as_bytes());
        arguments.u32(USE_NON_PNFS);
        arguments.u32(0); // SP4_NONE
        arguments.u32(0); // no implementation id
        let reply = self.send(arguments).await?;
        let mut results = Results::new(&reply)?;
        accepted("EXCHANGE_ID", results.next(EXCHANGE_ID)?)?;
        self.client = results.reader().u64()?;
        Ok(results.reader().u32()?)
    }

    /// 18.36.
    async fn create_session(&mut self, sequence: u32) -> Result<(), SessionError> {
        let mut arguments = compound::begin(self.minor, 1);
        arguments.u32(CREATE_SESSION);
        arguments.u64(self.client);
        arguments.u32(sequence);
        arguments.u32(0); // neither persistent nor with callbacks
        let forward = [0, LARGEST_CALL, LARGEST_REPLY, 4096, MOST_OPERATIONS, 1, 0];
        // Never used, but servers refuse a session without it, or with less.
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
        self.id = reader.fixed()?;
        reader.u32()?; // the sequence that was sent
        reader.u32()?; // flags
        let [_padding, _call, reply, _cached, operations] = [
            reader.u32()?,
            reader.u32()?,
            reader.u32()?,
            reader.u32()?,
            reader.u32()?,
        ];
        if operations < FEWEST_OPERATIONS || reply < SMALLEST_REPLY {
            return Err(Malformed("the server allows fewer operations, or smaller replies, than Bindery needs").into());
        }
        let operations = operations.min(MOST_OPERATIONS) as usize;
        self.limits = Limits {
            operations,
            reply: reply.min(LARGEST_REPLY),
        };
        Ok(())
    }

    /// 18.51: nothing to reclaim. Servers may hold calls back until this is said.
    async fn reclaim_complete(&mut self) -> Result<(), SessionError> {
        let mut arguments = compound::begin(self.minor, 2);
        write_sequence(&mut arguments, &self.id, self.sequence);
        arguments.u32(RECLAIM_COMPLETE);
        arguments.u32(0); // of all file systems
        let reply = self.send(arguments).await?;
        let mut results = Results::new(&reply)?;
        self.read_sequence(&mut results)?;
        match results.next(RECLAIM_COMPLETE)? {
            Status::COMPLETE_ALREADY => Ok(()),
            status => accepted("RECLAIM_COMPLETE", status),
        }
    }

    fn read_sequence(&mut self, results: &mut Results<'_>) -> Result<(), SessionError> {
        accepted("SEQUENCE", results.next(SEQUENCE)?)?;
        let (id, sequence) = (results.reader().fixed::<16>()?, results.reader().u32()?);
        if id != self.id || sequence != self.sequence {
            return Err(Malformed("the reply belongs to another session or call").into());
        }
        for _slot_highest_target_flags in 0..4 {
            results.reader().u32()?;
        }
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }

    /// 18.37.
    async fn destroy_session(&mut self, fence: &Fence) -> Result<Status, SessionError> {
        let mut arguments = compound::begin(self.minor, 1);
        arguments.u32(DESTROY_SESSION);
        arguments.fixed(&fence.session);
        let reply = self.send(arguments).await?;
        Ok(Results::new(&reply)?.next(DESTROY_SESSION)?)
    }

    /// Sends the very SEQUENCE of the call that may be under way (2.10.6.1). Either it comes first: then the call finds
    /// its turn taken. Or it counts as a repetition: then the server answers DELAY until the call is over. To destroy the
    /// session alone is not enough, for a server may do that while it carries out a call.
    async fn take_slot(&mut self, fence: &Fence) -> Result<(), SessionError> {
        let mut arguments = compound::begin(self.minor, 1);
        write_sequence(&mut arguments, &fence.session, fence.sequence);
        let reply = self.send(arguments).await?;
        match Results::new(&reply)?.next(SEQUENCE)? {
            status if status.later() => Err(SessionError::Refused("SEQUENCE", status)),
            // Whatever else it says, it is done with the call, or does not know the session.
            _ => Ok(()),
        }
    }

    /// 18.34.
    async fn bind(&mut self, fence: &Fence) -> Result<(), SessionError> {
        let mut arguments = compound::begin(self.minor, 1);
        arguments.u32(BIND_CONN_TO_SESSION);
        arguments.fixed(&fence.session);
        arguments.u32(1); // for calls, not for callbacks
        arguments.u32(0); // no RDMA
        self.send(arguments).await?;
        Ok(())
    }
}

/// 18.46. The reply need not be cached: nobody wants it later.
fn write_sequence(arguments: &mut Writer, session: &[u8; 16], sequence: u32) {
    arguments.u32(SEQUENCE);
    arguments.fixed(session);
    for value in [sequence, 0, 0, 0] {
        arguments.u32(value); // sequence, slot, highest slot, cache
    }
}

fn accepted(operation: &'static str, status: Status) -> Result<(), SessionError> {
    match status {
        Status::OK => Ok(()),
        status => Err(SessionError::Refused(operation, status)),
    }
}

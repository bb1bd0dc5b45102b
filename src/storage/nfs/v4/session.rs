//! Sessions (RFC 8881, 2.10).
//!
//! A [`Session`] is a TCP connection, a session of the client ([`super::client`]), and the only slot of that session.
//! Parallel calls use several sessions. So a call without an answer affects no other: a [`Fence`] destroys its session, and
//! if the call arrives later, it gets BADSESSION.
//!
//! Bindery opens no files, so after a restart of the server it has nothing to reclaim. At first it sends no
//! RECLAIM_COMPLETE: servers record the clients that send it, and after a restart Linux' server lets no client open a file
//! until all recorded clients are back, or the grace period has ended. It is sent when a server answers GRACE, and then for
//! each client that replaces such a client ([`Session::complete_reclaim`]).
//!
//! Not used: the reply cache (every verb can be repeated), and renewal of the lease of an idle session (it is closed before
//! the lease expires).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attributes;
use super::client::{Client, USUAL_LEASE};
use super::compound::{Reply, Results};
use super::fence::Fence;
use super::limits::Limits;
use super::operation::Op;
use super::wire::{SEQUENCE, SessionError, SessionId, Wire, accepted, write_sequence};
use super::xdr::Malformed;
use crate::storage::nfs::options::NfsOptions;
use crate::storage::status::Status;

const GETATTR: u32 = 9;
const PUTROOTFH: u32 = 24;
const RECLAIM_COMPLETE: u32 = 58;

/// The longest lease that is used. A longer one counts as this one.
const LONGEST_LEASE: Duration = Duration::from_mins(10);

/// A session on its connection.
#[derive(Debug)]
pub(super) struct Session {
    pub wire: Wire,
    pub client: Arc<Client>,
    id: SessionId,
    sequence: u32,
    pub limits: Limits,
    /// When the server last answered in it.
    pub used: Instant,
}

impl Session {
    /// Wraps a new session, on the connection on which it was created.
    pub fn new(wire: Wire, client: Arc<Client>, id: SessionId, limits: Limits) -> Self {
        Self {
            wire,
            client,
            id,
            sequence: 1,
            limits,
            used: Instant::now(),
        }
    }

    /// Sends the operations. The server stops at the first one that fails.
    ///
    /// After [`SessionError::Rpc`], or when the future is dropped, the call may still be in progress: if it changes
    /// anything, the session must be fenced. After [`SessionError::Refused`] nothing was carried out.
    pub async fn call(&mut self, ops: &[Op<'_>]) -> Result<Reply, SessionError> {
        let mut arguments = self.wire.begin(ops.len() + 1);
        write_sequence(&mut arguments, &self.id, self.sequence);
        for op in ops {
            op.write(&mut arguments);
        }
        let reply = self.wire.send(arguments).await?;
        let mut results = Results::new(&reply)?;
        self.read_sequence(&mut results)?;
        Ok(results.read(ops)?)
    }

    /// Sends RECLAIM_COMPLETE (18.51), unless the server has accepted it before: the client has nothing to reclaim.
    pub async fn complete_reclaim(&mut self) -> Result<(), SessionError> {
        if self.client.complete.is_set() {
            return Ok(());
        }
        self.client.recorded.set();
        let mut arguments = self.wire.begin(2);
        write_sequence(&mut arguments, &self.id, self.sequence);
        arguments.u32(RECLAIM_COMPLETE);
        arguments.u32(0); // of all file systems
        let reply = self.wire.send(arguments).await?;
        let mut results = Results::new(&reply)?;
        self.read_sequence(&mut results)?;
        match results.next(RECLAIM_COMPLETE)? {
            Status::OK | Status::COMPLETE_ALREADY => {
                self.client.complete.set();
                Ok(())
            }
            status => accepted("RECLAIM_COMPLETE", status),
        }
    }

    /// Asks for the lease, unless another session of the client has asked.
    pub async fn ask_for_lease(&mut self) -> Result<(), SessionError> {
        if self.client.known_lease.get().is_some() {
            return Ok(());
        }
        let mut arguments = self.wire.begin(3);
        write_sequence(&mut arguments, &self.id, self.sequence);
        arguments.u32(PUTROOTFH);
        arguments.u32(GETATTR);
        attributes::write_bitmap(&mut arguments, attributes::SERVER_ATTRIBUTES);
        let reply = self.wire.send(arguments).await?;
        let mut results = Results::new(&reply)?;
        self.read_sequence(&mut results)?;
        let mut lease = None;
        // Some servers deny access to their root. Then the usual lease is assumed.
        if results.next(PUTROOTFH)? == Status::OK && results.next(GETATTR)? == Status::OK {
            lease = attributes::Values::read(results.reader())?.lease;
        }
        let lease = lease.map_or(USUAL_LEASE, |lease| lease.min(LONGEST_LEASE));
        self.client.known_lease.get_or_init(|| lease);
        Ok(())
    }

    /// Destroys the session.
    pub async fn close(&mut self) -> Result<(), SessionError> {
        self.wire.destroy_session(&self.id).await
    }

    /// Closes the connection, and returns the fence that destroys the session on another one.
    pub fn into_fence(self, options: Arc<NfsOptions>) -> Fence {
        let fence = Fence {
            session: self.id,
            client: self.client,
            sequence: self.sequence,
            address: self.wire.address,
            options,
        };
        self.wire.cut();
        fence
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
        self.used = Instant::now();
        self.client.renew();
        Ok(())
    }
}

//! Sessions (RFC 8881, 2.10).
//!
//! A [`Session`] is a TCP connection, a client id, a session and its one slot, all of its own. So a call that got no
//! answer concerns no other: its session is destroyed, by a [`Fence`], and whatever of it is still under way gets
//! BADSESSION. Calls run side by side in several of these.
//!
//! Left out: reclaiming after a restart (Bindery holds no state on a server), the reply cache (every verb can be
//! repeated), renewing the lease of an idle session (it is closed before it runs out).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::attributes;
use super::compound::{Reply, Results};
use super::fence::{self, Fence};
use super::limits::Limits;
use super::operation::Op;
use super::owner::Owner;
use super::rpc::{Credentials, RpcError};
use super::server_id::ServerId;
use super::wire::{self, Introduced, SEQUENCE, SessionError, SessionId, Wire, accepted, write_sequence};
use super::xdr::Malformed;
use crate::storage::connect::Connection;
use crate::storage::status::Status;

const GETATTR: u32 = 9;
const PUTROOTFH: u32 = 24;
const RECLAIM_COMPLETE: u32 = 58;

/// What most servers have, where one does not tell.
const USUAL_LEASE: Duration = Duration::from_secs(90);
/// A lease beyond this is not believed.
const LONGEST_LEASE: Duration = Duration::from_mins(10);
/// How soon a server is asked again that is busy with what is to be ended.
const AGAIN: Duration = Duration::from_millis(50);
/// What a few calls that touch no disk may take.
const STEP: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    wire: Wire,
    owner: Owner,
    id: SessionId,
    client: u64,
    server: ServerId,
    sequence: u32,
    limits: Limits,
    lease: Duration,
    used: Instant,
}

impl Session {
    /// Opens a session on a fresh connection: minor version 2, or else 1.
    pub async fn open(
        connection: Connection,
        credentials: Arc<Credentials>,
        owner: Owner,
    ) -> Result<Self, SessionError> {
        let mut wire = Wire::new(connection, credentials, 2);
        let introduced = match wire.exchange_id(&owner.name()).await {
            Err(SessionError::Refused(_, Status::MINOR_VERS_MISMATCH)) => {
                wire.set_minor(1);
                wire.exchange_id(&owner.name()).await?
            }
            other => other?,
        };
        let (id, limits) = wire.create_session(introduced.client, introduced.sequence).await?;
        let mut session = Self {
            wire,
            owner,
            id,
            client: introduced.client,
            server: introduced.server,
            sequence: 1,
            limits,
            lease: USUAL_LEASE,
            used: Instant::now(),
        };
        session.begin().await?;
        Ok(session)
    }

    /// Carries out the operations, as far as the server gets.
    ///
    /// After [`SessionError::Rpc`], or when the future is dropped, the call may still be under way: if it changes
    /// anything, the session must be fenced. After [`SessionError::Refused`] nothing was carried out.
    pub async fn call(&mut self, ops: &[Op<'_>]) -> Result<Reply, SessionError> {
        let mut arguments = self.wire.begin(ops.len() + 1);
        write_sequence(&mut arguments, &self.id, self.sequence);
        for op in ops {
            op.write(&mut arguments);
        }
        let reply = self.wire.send(arguments).await?;
        self.used = Instant::now();
        let mut results = Results::new(&reply)?;
        self.read_sequence(&mut results)?;
        Ok(results.read(ops)?)
    }

    /// Ends what sessions of an earlier life of this machine have left on the server, calls that are still on their way
    /// included. `most`: how many it may have had.
    pub async fn succeed(&mut self, most: usize) -> Result<(), RpcError> {
        for owner in self.owner.others(most) {
            let since = Instant::now();
            loop {
                let ended = timeout(STEP, end_earlier(&mut self.wire, &owner)).await;
                match ended.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))? {
                    Ok(()) => break,
                    Err(SessionError::Rpc(error)) => return Err(error),
                    // It still carries out a call of that session, and will not for ever.
                    Err(SessionError::Refused(_, status))
                        if status.later() && since.elapsed() < fence::patience(self.lease) =>
                    {
                        sleep(AGAIN).await;
                    }
                    Err(SessionError::Refused(operation, status)) => {
                        tracing::debug!(
                            owner,
                            operation,
                            ?status,
                            "what an earlier life left ends with its lease"
                        );
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Closes it politely: the server need not remember it until the lease is over.
    pub async fn close(mut self) -> Result<(), SessionError> {
        self.wire.destroy_session(&self.id).await?;
        Ok(self.wire.destroy_client(self.client).await?)
    }

    /// What destroys this session on another connection.
    pub fn into_fence(self, credentials: Arc<Credentials>) -> Fence {
        let fence = Fence {
            session: self.id,
            client: self.client,
            sequence: self.sequence,
            address: self.wire.address(),
            minor: self.wire.minor(),
            lease: self.lease,
            since: Instant::now(),
            credentials,
            _owner: self.owner,
        };
        self.wire.cut();
        fence
    }

    /// Lets go of a call that may take effect late. Its owner stays taken as long as the server may be busy with it: one
    /// that opened a session of that name would have to wait for it.
    pub async fn outlast(self) {
        let Self { owner, lease, .. } = self;
        sleep(lease).await;
        drop(owner);
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.wire.address()
    }

    /// Which server it is on.
    pub fn server(&self) -> ServerId {
        self.server
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How long the server remembers a silent client.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// When it last answered.
    pub fn used(&self) -> Instant {
        self.used
    }

    /// See [`Wire::closed`].
    pub fn closed(&self) -> bool {
        self.wire.closed()
    }

    /// 18.51: nothing to reclaim. Servers may hold calls back until this is said. It also asks for the lease.
    async fn begin(&mut self) -> Result<(), SessionError> {
        let mut arguments = self.wire.begin(4);
        write_sequence(&mut arguments, &self.id, self.sequence);
        arguments.u32(RECLAIM_COMPLETE);
        arguments.u32(0); // of all file systems
        arguments.u32(PUTROOTFH);
        arguments.u32(GETATTR);
        attributes::write_bitmap(&mut arguments, attributes::OF_THE_SERVER);
        let reply = self.wire.send(arguments).await?;
        let mut results = Results::new(&reply)?;
        self.read_sequence(&mut results)?;
        match results.next(RECLAIM_COMPLETE)? {
            Status::COMPLETE_ALREADY => return Ok(()),
            status => accepted("RECLAIM_COMPLETE", status)?,
        }
        // Some let nobody look at their root: the usual lease will do.
        if results.next(PUTROOTFH)? == Status::OK && results.next(GETATTR)? == Status::OK {
            let lease = attributes::Values::read(results.reader())?.lease();
            self.lease = lease.map_or(USUAL_LEASE, |lease| lease.min(LONGEST_LEASE));
        }
        Ok(())
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
}

async fn end_earlier(wire: &mut wire::Wire, owner: &str) -> Result<(), SessionError> {
    if !wire.knows(owner).await? {
        return Ok(());
    }
    let Introduced { client, sequence, .. } = wire.exchange_id(owner).await?;
    let (session, _) = wire.create_session(client, sequence).await?;
    wire.destroy_session(&session).await?;
    Ok(wire.destroy_client(client).await?)
}

//! One share's connections: a bounded pool.
//!
//! A call borrows a connection ([`Loan`]) and gives it back when the server has answered. A loan that ends in any other way
//! (a deadline, a broken connection, a caller that went away) takes its connection along: what comes out of it next would
//! be the answer to the call before. Shares know nothing of each other: a server that hangs delays no other.
//!
//! The pool lives as long as somebody holds it: a verb, or the task that closes connections at rest. So a share that
//! nobody needs any more is forgotten by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nfs3_client::RpcError;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use super::mount::{Connection, NoConnection, Part, Progress, open};
use super::procedure::{Answer, Call, Handle};
use crate::model::directory::Share;
use crate::storage::nfs::connect::{ConnectError, Name};
use crate::storage::nfs::idle::{Idle, Reusable};
use crate::storage::nfs::options::NfsOptions;
use crate::storage::nfs::verbs::remove_tree;

/// Where the portmapper listens (RFC 1833, 3). All else it tells.
const PORT: u16 = 111;
/// Calls under way on one share.
const MOST_CONNECTIONS: usize = 16;
/// After that time at rest a connection is closed: a firewall may have forgotten it.
const LONGEST_IDLE: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Debug)]
pub struct Pool {
    name: Name,
    path: String,
    options: Arc<NfsOptions>,
    /// Where tasks run: what begins one may be dropped anywhere.
    runtime: Runtime,
    permits: Semaphore,
    /// For calls of trees that are removed.
    removals: Semaphore,
    idle: Idle<Connection>,
    came_privileged: AtomicBool,
}

impl Pool {
    /// Nothing is sent before the first call. To be called in a Tokio runtime.
    pub fn new(share: &Share, options: Arc<NfsOptions>) -> Arc<Self> {
        Arc::new(Self {
            name: Name::new(share.server(), PORT),
            path: share.path().to_owned(),
            options,
            runtime: Runtime::current(),
            permits: Semaphore::new(MOST_CONNECTIONS),
            removals: Semaphore::new(remove_tree::MOST_CALLS),
            idle: Idle::default(),
            came_privileged: AtomicBool::new(false),
        })
    }

    /// Lends a connection: a rested one, else a new one. `waiting` is told for whom.
    ///
    /// It may be dropped at any point; `deadline` only divides the time among the server's addresses.
    pub async fn borrow(
        self: &Arc<Self>,
        deadline: Instant,
        waiting: impl Fn(Part) + Send + Sync,
    ) -> Result<Loan<'_>, NoConnection> {
        // Never closed, so this never fails; a closed one would mean a bug, and a connection error is answer enough.
        let closed = |_| NoConnection::Resolve(Arc::new(std::io::Error::other("the client is closed")));
        waiting(Part::Nfs);
        let permit = self.permits.acquire().await.map_err(closed)?;
        let loan = |connection, rested| Loan {
            pool: self,
            connection: Some(connection),
            rested,
            under_way: false,
            _permit: permit,
        };
        if let Some(connection) = self.idle.take(drop) {
            return Ok(loan(connection, true));
        }
        waiting(Part::Portmapper);
        let addresses = self.name.addresses(&self.runtime).await.map_err(|error| match error {
            ConnectError::Resolve(error) => NoConnection::Resolve(error),
            ConnectError::Connect(address, error) => NoConnection::Connect(Part::Portmapper, address, error),
        })?;
        let progress = PoolProgress { pool: self, waiting };
        let connection = open(&addresses, &self.path, &self.options, deadline, &progress).await?;
        tracing::debug!(
            server = self.name.as_str(),
            path = self.path,
            privileged = self.came_privileged(),
            "a share is reached over NFSv3"
        );
        Ok(loan(connection, false))
    }

    /// A permit for each call that is under way for any tree.
    pub fn removals(&self) -> &Semaphore {
        &self.removals
    }

    pub fn options(&self) -> &NfsOptions {
        &self.options
    }

    /// Whether the latest connection came from a privileged port.
    pub fn came_privileged(&self) -> bool {
        self.came_privileged.load(Ordering::Relaxed)
    }

    /// The server was started again, or does not know the share's handle any more: that goes for all connections.
    pub fn forget_idle(&self) {
        let forgotten = self.idle.remove(|_| true);
        tracing::debug!(
            server = self.name.as_str(),
            connections = forgotten.len(),
            "connections at rest are forgotten"
        );
    }

    fn release(self: &Arc<Self>, mut connection: Connection) {
        connection.used = Instant::now();
        if self.idle.put(connection) {
            self.runtime.spawn(self.clone().close_expired());
        }
    }

    /// Closes connections that have been idle for too long, until none is left.
    async fn close_expired(self: Arc<Self>) {
        loop {
            match self.idle.take_expired() {
                (expired, None) if expired.is_empty() => return,
                (expired, Some(next)) if expired.is_empty() => sleep_until(next).await,
                (expired, _) => drop(expired),
            }
        }
    }
}

impl Reusable for Connection {
    fn expires(&self) -> Instant {
        self.used + LONGEST_IDLE
    }

    fn closed(&self) -> bool {
        self.closed()
    }
}

/// Keeps what is told on the way to a connection, also if there comes none of it.
struct PoolProgress<'a, F> {
    pool: &'a Pool,
    waiting: F,
}

impl<F: Fn(Part) + Send + Sync> Progress for PoolProgress<'_, F> {
    fn asks(&self, part: Part) {
        (self.waiting)(part);
    }

    fn came(&self, privileged: bool) {
        self.pool.came_privileged.store(privileged, Ordering::Relaxed);
    }
}

/// A connection in use.
pub(super) struct Loan<'a> {
    pool: &'a Arc<Pool>,
    connection: Option<Connection>,
    rested: bool,
    /// A call that changes something has no answer yet.
    under_way: bool,
    _permit: SemaphorePermit<'a>,
}

impl Loan<'_> {
    /// See [`Call::send`].
    pub async fn call(&mut self, call: &Call<'_>) -> Result<Answer, RpcError> {
        let Some(connection) = &mut self.connection else {
            // Only what consumes the loan takes the connection out of it.
            return Err(RpcError::Io(std::io::ErrorKind::NotConnected.into()));
        };
        self.under_way = call.changes();
        let answer = call.send(&mut connection.client).await?;
        self.under_way = false;
        Ok(answer)
    }

    /// The share's own handle.
    pub fn root(&self) -> Option<Handle> {
        self.connection.as_ref().map(|connection| connection.root.clone())
    }

    /// Whether its connection was at rest before.
    pub fn rested(&self) -> bool {
        self.rested
    }

    /// The server has answered: the connection is free for the next call.
    pub fn release(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.release(connection);
        }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.under_way
        {
            connection.cut();
        }
    }
}

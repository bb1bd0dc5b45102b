//! The connections of one share: a bounded pool.
//!
//! A call takes a connection ([`PooledConnection`]) and returns it when the server has answered. If the caller stops waiting
//! in any other way (a deadline, a broken connection), the connection is dropped: the next answer on it would belong to the
//! previous call. Shares are independent: a server that hangs delays no other.
//!
//! The handle of the share's root is asked for with each new connection, and at least every [`ROOT_IS_VALID`]. If the
//! directory of an export is replaced, the handle of the old directory stays valid, and calls would continue there. While
//! mountd or the portmapper does not answer, calls continue with the old handle.
//!
//! The pool lives as long as something uses it: a verb, or the task that closes idle connections.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nfs3_client::RpcError;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::mount::{Connection, Failure, Part, Progress, open};
use super::procedure::{Answer, Call, Handle};
use crate::model::directory::Share;
use crate::storage::nfs::connect::{ConnectError, Name};
use crate::storage::nfs::idle::{Idle, Reusable};
use crate::storage::nfs::options::NfsOptions;
use crate::storage::verbs::remove_tree;

/// The port of the portmapper (RFC 1833, 3), which returns the other ports.
const PORT: u16 = 111;
/// The most connections in use for one share, each with one call.
const MAX_CONNECTIONS: usize = 16;
/// A connection is closed after this idle time: a firewall may drop it.
const LONGEST_IDLE: Duration = Duration::from_mins(1);
/// After this time the mount protocol is asked for the handle of the share's root again.
const ROOT_IS_VALID: Duration = Duration::from_secs(5);
/// A call that has a connection waits no longer than this for the handle of the root. It then uses the old one.
const LONGEST_WAIT_FOR_ROOT: Duration = Duration::from_secs(1);

/// The root of the share.
#[derive(Debug, Default)]
struct Root {
    /// Empty until the mount protocol has answered, and after the server has not known the handle.
    handle: Option<Handle>,
    /// When the mount protocol was asked the last time.
    asked: Option<Instant>,
}

/// The connections of one share.
#[derive(Debug)]
pub struct Pool {
    name: Name,
    path: String,
    options: Arc<NfsOptions>,
    /// The runtime of the tasks, because a caller that starts one may be dropped at any time.
    runtime: Runtime,
    permits: Semaphore,
    /// Limits the calls that remove trees, over all trees.
    pub(super) removals: Semaphore,
    idle: Idle<Connection>,
    root: Mutex<Root>,
    has_privileged_port: AtomicBool,
}

impl Pool {
    /// Creates a pool without connections. Sends nothing. Must be called in a Tokio runtime.
    pub fn new(share: &Share, options: Arc<NfsOptions>) -> Arc<Self> {
        Arc::new(Self {
            name: Name::new(share.server(), PORT),
            path: share.path().to_owned(),
            options,
            runtime: Runtime::current(),
            permits: Semaphore::new(MAX_CONNECTIONS),
            removals: Semaphore::new(remove_tree::MAX_CALLS),
            idle: Idle::default(),
            root: Mutex::default(),
            has_privileged_port: AtomicBool::new(false),
        })
    }

    /// Lends a connection: an idle one, else a new one. Calls `waiting` with the part of the server that it waits for.
    ///
    /// The future may be dropped at any time. `deadline` only divides the time among the server's addresses.
    pub async fn acquire(
        self: &Arc<Self>,
        deadline: Instant,
        waiting: impl Fn(Part) + Send + Sync,
    ) -> Result<PooledConnection<'_>, Failure> {
        // The semaphore is never closed. If it were, this would be a connection error.
        let closed = |_| Failure::Resolve(Arc::new(std::io::Error::other("the client is closed")));
        waiting(Part::Nfs);
        let permit = self.permits.acquire().await.map_err(closed)?;
        let pooled = |connection, reused| PooledConnection {
            pool: self,
            connection: Some(connection),
            reused,
            in_progress: false,
            _permit: permit,
        };
        if let Some(idle) = self.idle.take(drop) {
            if !self.must_ask_for_root() {
                return Ok(pooled(idle, true));
            }
            // A new connection asks for the root, and replaces the idle one.
            let soon = deadline.min(Instant::now() + LONGEST_WAIT_FOR_ROOT);
            return match timeout_at(soon, self.connect(soon, &waiting)).await {
                Ok(Ok(connection)) => Ok(pooled(connection, false)),
                // The server says that the share is not there, or is not for this host.
                Ok(Err(failure @ (Failure::Mount(_) | Failure::NoAuthSys))) => Err(failure),
                Ok(Err(_)) | Err(_) if self.root().is_some() => Ok(pooled(idle, true)),
                Ok(Err(failure)) => Err(failure),
                Err(_) => Ok(pooled(self.connect(deadline, &waiting).await?, false)),
            };
        }
        Ok(pooled(self.connect(deadline, &waiting).await?, false))
    }

    /// Opens a connection, and asks for the root.
    async fn connect(&self, deadline: Instant, waiting: &(impl Fn(Part) + Send + Sync)) -> Result<Connection, Failure> {
        waiting(Part::Portmapper);
        let addresses = self.name.addresses(&self.runtime).await.map_err(|error| match error {
            ConnectError::Resolve(error) => Failure::Resolve(error),
            ConnectError::Connect(address, error) => Failure::Connect(Part::Portmapper, address, error),
        })?;
        let progress = Progress {
            asks: waiting,
            has_privileged_port: &self.has_privileged_port,
        };
        let (connection, root) = open(&addresses, &self.path, &self.options, deadline, &progress).await?;
        self.set_root(root);
        tracing::debug!(
            server = self.name.as_str(),
            path = self.path,
            privileged = self.has_privileged_port(),
            "a share is reached over NFSv3"
        );
        Ok(connection)
    }

    pub fn options(&self) -> &NfsOptions {
        &self.options
    }

    /// Returns whether the latest connection came from a privileged port.
    pub fn has_privileged_port(&self) -> bool {
        self.has_privileged_port.load(Ordering::Relaxed)
    }

    /// Returns whether this call must open a connection, because the handle of the root is missing or too old. Other calls
    /// use the old handle until that is done: if all of them opened connections, they would use up the privileged ports.
    fn must_ask_for_root(&self) -> bool {
        let mut root = self.root_state();
        let is_new = root.asked.is_some_and(|asked| asked.elapsed() < ROOT_IS_VALID);
        root.asked = root.asked.filter(|_| is_new).or_else(|| Some(Instant::now()));
        !is_new || root.handle.is_none()
    }

    fn set_root(&self, handle: Handle) {
        let mut root = self.root_state();
        if root.handle.as_ref().is_some_and(|before| before.data != handle.data) {
            tracing::info!(
                server = self.name.as_str(),
                path = self.path,
                "the root of the share is another directory than before"
            );
        }
        *root = Root {
            handle: Some(handle),
            asked: Some(Instant::now()),
        };
    }

    /// Returns the handle of the share's root.
    pub(super) fn root(&self) -> Option<Handle> {
        self.root_state().handle.clone()
    }

    fn root_state(&self) -> MutexGuard<'_, Root> {
        // Each change is one assignment.
        self.root.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the idle connections and the root: the server has restarted, or does not know the share's handle any more.
    pub fn forget_idle(&self) {
        *self.root_state() = Root::default();
        let forgotten = self.idle.remove(|_| true);
        tracing::debug!(
            server = self.name.as_str(),
            connections = forgotten.len(),
            "idle connections are dropped"
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

/// A connection in use.
pub(super) struct PooledConnection<'a> {
    pool: &'a Arc<Pool>,
    connection: Option<Connection>,
    reused: bool,
    /// A call that changes something has no answer yet.
    in_progress: bool,
    _permit: SemaphorePermit<'a>,
}

impl PooledConnection<'_> {
    /// See [`Call::send`].
    pub async fn call(&mut self, call: &Call<'_>) -> Result<Answer, RpcError> {
        let Some(connection) = &mut self.connection else {
            // Only methods that consume `self` take the connection out.
            return Err(RpcError::Io(std::io::ErrorKind::NotConnected.into()));
        };
        self.in_progress = call.changes();
        let answer = call.send(&mut connection.client).await?;
        self.in_progress = false;
        Ok(answer)
    }

    /// Returns whether its connection was idle before.
    pub fn reused(&self) -> bool {
        self.reused
    }

    /// Returns the connection to the pool after the server has answered.
    pub fn release(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.release(connection);
        }
    }
}

impl Drop for PooledConnection<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.in_progress
        {
            connection.cut();
        }
    }
}

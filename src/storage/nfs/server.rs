//! One server's sessions: a bounded pool, and the rule for calls that got no answer.
//!
//! A call borrows a session ([`Loan`]) and gives it back when the server has answered. A loan that ends in any other
//! way (a deadline, a broken connection, a caller that went away) leaves a fence, and no session is lent again until
//! all fences are settled: until the server has confirmed, on a new connection, that those sessions are destroyed.
//! Servers know nothing of each other: one that hangs delays no other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

use super::compound::{Op, Reply};
use super::connect::{ConnectError, Connection, connect, connect_to};
use super::rpc::{Credentials, RpcError};
use super::session::{Fence, Limits, Session, SessionError};

/// Calls under way on one server.
const MOST_SESSIONS: usize = 16;
/// After that time at rest a session is not used again: its lease may be over, a firewall may have forgotten it.
const LONGEST_REST: Duration = Duration::from_mins(1);
/// How soon a server is asked again that is still busy with the call to be fenced.
const FENCE_AGAIN: Duration = Duration::from_millis(50);

/// After that time a fence is given up if nobody listens any more where its session was.
const LONGEST_FENCE: Duration = Duration::from_mins(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Server {
    name: String,
    credentials: Arc<Credentials>,
    privileged_port: bool,
    permits: Semaphore,
    resting: Mutex<Vec<Session>>,
    fences: Mutex<Vec<Fence>>,
    /// Held while fences are settled, so that only one call does it.
    settling: tokio::sync::Mutex<()>,
    limits: Mutex<Limits>,
    came_privileged: AtomicBool,
}

/// Why no session is to be had.
#[derive(Debug)]
pub(super) enum NoSession {
    Connect(ConnectError),
    Session(SessionError),
}

impl From<SessionError> for NoSession {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

/// A session in use. Dropped without [`Loan::give_back`] or [`Loan::discard`], it leaves a fence.
pub(super) struct Loan<'a> {
    server: &'a Server,
    session: Option<Session>,
    _permit: SemaphorePermit<'a>,
}

impl Server {
    /// Nothing is sent before the first call.
    pub fn new(name: &str, credentials: Arc<Credentials>, privileged_port: bool) -> Self {
        Self {
            name: name.to_owned(),
            credentials,
            privileged_port,
            permits: Semaphore::new(MOST_SESSIONS),
            resting: Mutex::default(),
            fences: Mutex::default(),
            settling: tokio::sync::Mutex::default(),
            // The least that a session may have, until one says more.
            limits: Mutex::new(Limits {
                operations: 8,
                reply: 4096,
            }),
            came_privileged: AtomicBool::new(false),
        }
    }

    /// Lends a session: a rested one, else a new one, after all fences are settled.
    ///
    /// It may be dropped at any point; `deadline` only divides the time among the server's addresses.
    pub async fn borrow(&self, deadline: Instant) -> Result<Loan<'_>, NoSession> {
        // Never closed, so this never fails; a closed one would mean a bug, and a connection error is answer enough.
        let permit = self.permits.acquire().await.map_err(|_| no_permit())?;
        self.settle().await?;
        let session = if let Some(session) = self.rested() {
            session
        } else {
            let connection = connect(&self.name, self.privileged_port, deadline).await;
            self.open(connection.map_err(NoSession::Connect)?).await?
        };
        Ok(Loan {
            server: self,
            session: Some(session),
            _permit: permit,
        })
    }

    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// What the latest session may carry.
    pub fn limits(&self) -> Limits {
        *lock(&self.limits)
    }

    /// Whether the latest connection came from a privileged port.
    pub fn came_privileged(&self) -> bool {
        self.came_privileged.load(Ordering::Relaxed)
    }

    /// Destroys the sessions whose calls got no answer.
    async fn settle(&self) -> Result<(), NoSession> {
        if lock(&self.fences).is_empty() {
            return Ok(());
        }
        let _only_one = self.settling.lock().await;
        let fences = lock(&self.fences).clone();
        if fences.is_empty() {
            return Ok(());
        }
        for fence in fences {
            match connect_to(fence.address, self.privileged_port).await {
                Ok(connection) => self.destroy(connection, &fence).await?,
                // The server has left that address for good. What it did not do by now it will not do: leases are over.
                Err(error) if fence.since.elapsed() > LONGEST_FENCE => {
                    tracing::warn!(
                        server = self.name,
                        ?error,
                        "a call without an answer can no longer be fenced off"
                    );
                }
                Err(error) => return Err(NoSession::Connect(error)),
            }
            lock(&self.fences).retain(|other| *other != fence);
        }
        Ok(())
    }

    async fn destroy(&self, connection: Connection, fence: &Fence) -> Result<(), NoSession> {
        let mut session = self.open(connection).await?;
        while let Err(error) = session.destroy(fence).await {
            match error {
                SessionError::Refused(_, status) if status.later() => sleep(FENCE_AGAIN).await,
                error => return Err(error.into()),
            }
        }
        tracing::info!(server = self.name, "a call without an answer is fenced off");
        lock(&self.resting).push(session);
        Ok(())
    }

    fn rested(&self) -> Option<Session> {
        let mut resting = lock(&self.resting);
        // The last one given back first: the others come to rest and are let go.
        while let Some(session) = resting.pop() {
            if session.used().elapsed() < LONGEST_REST && !session.closed() {
                return Some(session);
            }
        }
        None
    }

    async fn open(&self, connection: Connection) -> Result<Session, SessionError> {
        let privileged = connection.privileged;
        self.came_privileged.store(privileged, Ordering::Relaxed);
        let session = Session::open(connection, self.credentials.clone()).await?;
        *lock(&self.limits) = session.limits();
        tracing::debug!(server = self.name, privileged, "a session is open");
        Ok(session)
    }
}

impl Loan<'_> {
    /// See [`Session::call`].
    pub async fn call(&mut self, ops: &[Op<'_>]) -> Result<Reply, SessionError> {
        match &mut self.session {
            Some(session) => session.call(ops).await,
            // Only what consumes the loan takes the session out of it.
            None => Err(SessionError::Rpc(RpcError::Broken(
                std::io::ErrorKind::NotConnected.into(),
            ))),
        }
    }

    /// The server has answered: the session is free for the next call.
    pub fn give_back(mut self) {
        if let Some(session) = self.session.take() {
            lock(&self.server.resting).push(session);
        }
    }

    /// The server has answered that it does not know the session: there is nothing to fence.
    pub fn discard(mut self) {
        self.session = None;
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            lock(&self.server.fences).push(session.fence());
        }
    }
}

fn no_permit() -> NoSession {
    NoSession::Connect(ConnectError::Resolve(std::io::Error::other("the client is closed")))
}

/// What the locks hold is whole after each statement, also where a thread panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

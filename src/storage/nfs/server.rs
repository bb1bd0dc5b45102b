//! One server's sessions: a bounded pool, and the rule for calls that got no answer.
//!
//! A call borrows a session ([`Loan`]) and gives it back when the server has answered. A loan that ends in any other
//! way (a deadline, a broken connection, a caller that went away) while a call that changes something is under way
//! leaves a [`super::fence`]: it is carried out in the background at once, and no session is lent until that is done.
//! Servers know nothing of each other: one that hangs delays no other.
//!
//! The server lives as long as somebody holds it: a verb, a fence, a look-up of its name, or the task that closes
//! sessions at rest. So one that nobody needs any more is forgotten by itself.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::diagnose::Waiting;
use super::limits::Limits;
use super::loan::Loan;
use super::owner::Owners;
use super::rpc::{Credentials, RpcError};
use super::server_id::ServerId;
use super::session::Session;
use super::wire::SessionError;
use crate::storage::connect::{ConnectError, Connection, Name, connect};

/// RFC 8881, 2.9.3: no portmapper is asked.
const PORT: u16 = 2049;

/// Calls under way on one server.
const MOST_SESSIONS: usize = 16;
/// After that time at rest a session is closed, or after half its lease: a firewall may have forgotten it.
const LONGEST_REST: Duration = Duration::from_mins(1);
/// How long a server may take to part with a session.
const GOODBYE: Duration = Duration::from_secs(3);

/// What all servers have in common.
#[derive(Clone, Debug)]
pub(super) struct Manners {
    pub credentials: Arc<Credentials>,
    pub privileged_port: bool,
    /// See [`super::NfsStorage::with_longest_fence`].
    pub longest_fence: Option<Duration>,
}

/// Whether what an earlier life of this machine has left on a server was ended. Outlives the [`Server`].
pub(super) type Succeeded = Arc<tokio::sync::Mutex<bool>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Server {
    name: Name,
    manners: Manners,
    /// Where tasks run: what begins one may be dropped anywhere.
    runtime: Handle,
    permits: Semaphore,
    rest: Mutex<Rest>,
    owners: Owners,
    /// The addresses at which calls are being fenced off.
    fences: watch::Sender<Vec<SocketAddr>>,
    succeeded: Succeeded,
    limits: Mutex<Limits>,
    id: Mutex<Option<ServerId>>,
    came_privileged: AtomicBool,
}

/// The sessions that nobody uses.
#[derive(Debug, Default)]
struct Rest {
    sessions: Vec<Session>,
    /// A task closes those that have rested too long.
    tended: bool,
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

impl Server {
    /// Nothing is sent before the first call. To be called in a Tokio runtime.
    pub fn new(name: &str, manners: Manners, succeeded: Succeeded) -> Arc<Self> {
        Arc::new(Self {
            name: Name::new(name, PORT),
            runtime: Handle::current(),
            permits: Semaphore::new(MOST_SESSIONS),
            rest: Mutex::default(),
            owners: Owners::new(&manners.credentials, name),
            fences: watch::Sender::default(),
            succeeded,
            // Until a session says more.
            limits: Mutex::new(Limits::LEAST),
            id: Mutex::default(),
            came_privileged: AtomicBool::new(false),
            manners,
        })
    }

    /// Lends a session: a rested one, else a new one, when no fence is left. `waiting` is told for what.
    ///
    /// It may be dropped at any point; `deadline` only divides the time among the server's addresses.
    pub async fn borrow(self: &Arc<Self>, deadline: Instant, waiting: impl Fn(Waiting)) -> Result<Loan<'_>, NoSession> {
        let permit = loop {
            self.settled(&waiting).await;
            waiting(Waiting::Session);
            // Never closed, so this never fails; a closed one would mean a bug, and a connection error is answer enough.
            let permit = self.permits.acquire().await.map_err(|_| no_permit())?;
            if self.fences.borrow().is_empty() {
                break permit;
            }
        };
        let rested = self.rested();
        let loan = |session, rested| Loan {
            server: self,
            session: Some(session),
            rested,
            under_way: None,
            _permit: permit,
        };
        if let Some(session) = rested {
            return Ok(loan(session, true));
        }
        let addresses = self.name.addresses(&self.runtime).await.map_err(NoSession::Connect)?;
        let connection = connect(&addresses, self.manners.privileged_port, deadline).await;
        let session = self.open(connection.map_err(NoSession::Connect)?).await?;
        Ok(loan(session, false))
    }

    pub fn credentials(&self) -> &Credentials {
        &self.manners.credentials
    }

    /// What the latest session may carry.
    pub fn limits(&self) -> Limits {
        *lock(&self.limits)
    }

    /// Which server the latest session is on; none before the first. An address may lead to another server later.
    pub fn id(&self) -> Option<ServerId> {
        *lock(&self.id)
    }

    /// Whether the latest connection came from a privileged port.
    pub fn came_privileged(&self) -> bool {
        self.came_privileged.load(Ordering::Relaxed)
    }

    /// The server does not know a session that was at rest any more: then it knows none of them.
    pub fn forget_rested(&self) {
        let forgotten = std::mem::take(&mut lock(&self.rest).sessions);
        tracing::debug!(
            server = self.name.as_str(),
            sessions = forgotten.len(),
            "sessions at rest are forgotten"
        );
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    async fn settled(&self, waiting: &impl Fn(Waiting)) {
        let mut fences = self.fences.subscribe();
        loop {
            let first = fences.borrow_and_update().first().copied();
            let Some(address) = first else { return };
            waiting(Waiting::Fence(address));
            // The sender is in `self`.
            if fences.changed().await.is_err() {
                return;
            }
        }
    }

    /// Fences the call off that is under way in this session.
    pub fn fence(self: &Arc<Self>, session: Session) {
        let address = session.address();
        self.fences.send_modify(|fences| fences.push(address));
        let fence = session.into_fence(self.manners.credentials.clone());
        let server = self.clone();
        self.runtime.spawn(async move {
            let Manners {
                privileged_port,
                longest_fence,
                ..
            } = server.manners;
            fence.carry_out(privileged_port, longest_fence).await;
            server.fences.send_modify(|fences| {
                if let Some(at) = fences.iter().position(|other| *other == address) {
                    fences.swap_remove(at);
                }
            });
        });
    }

    fn rested(&self) -> Option<Session> {
        let mut rest = lock(&self.rest);
        // The last one given back first: the others come to rest and are closed.
        while let Some(session) = rest.sessions.pop() {
            if Instant::now() < end_of_rest(&session) && !session.closed() {
                return Some(session);
            }
        }
        None
    }

    /// The session is free for the next call.
    pub fn lay_to_rest(self: &Arc<Self>, session: Session) {
        let mut rest = lock(&self.rest);
        rest.sessions.push(session);
        if !std::mem::replace(&mut rest.tended, true) {
            self.runtime.spawn(self.clone().tend());
        }
    }

    /// Closes sessions that have rested too long, until none is left.
    async fn tend(self: Arc<Self>) {
        loop {
            let (over, next) = {
                let mut rest = lock(&self.rest);
                let now = Instant::now();
                let over: Vec<_> = rest
                    .sessions
                    .extract_if(.., |session| end_of_rest(session) <= now)
                    .collect();
                let next = rest.sessions.iter().map(end_of_rest).min();
                rest.tended = next.is_some() || !over.is_empty();
                (over, next)
            };
            match next {
                None if over.is_empty() => return,
                Some(next) if over.is_empty() => sleep_until(next).await,
                _ => {
                    for session in over {
                        let closed = timeout(GOODBYE, session.close()).await;
                        tracing::debug!(server = self.name.as_str(), ?closed, "a session at rest is closed");
                    }
                }
            }
        }
    }

    async fn open(&self, connection: Connection) -> Result<Session, SessionError> {
        let privileged = connection.privileged;
        self.came_privileged.store(privileged, Ordering::Relaxed);
        let open = async || Session::open(connection, self.manners.credentials.clone(), self.owners.take()).await;
        let mut succeeded = self.succeeded.clone().lock_owned().await;
        let session = if *succeeded {
            drop(succeeded);
            open().await?
        } else {
            // The lock is held meanwhile, or this would end sessions of this life, too.
            let mut session = open().await?;
            // A verb whose time is short must not cut it off: each would begin again, and none get through.
            let task = self.runtime.spawn(async move {
                session.succeed(MOST_SESSIONS).await?;
                *succeeded = true;
                Ok::<_, RpcError>(session)
            });
            task.await.map_err(|error| RpcError::Broken(error.into()))??
        };
        *lock(&self.limits) = session.limits();
        *lock(&self.id) = Some(session.server());
        let id = self.id().map(tracing::field::display);
        tracing::debug!(server = self.name.as_str(), id, privileged, "a session is open");
        Ok(session)
    }
}

fn end_of_rest(session: &Session) -> Instant {
    session.used() + LONGEST_REST.min(session.lease() / 2)
}

fn no_permit() -> NoSession {
    let closed = std::io::Error::other("the client is closed");
    NoSession::Connect(ConnectError::Resolve(Arc::new(closed)))
}

/// What the locks hold is whole after each statement, also where a thread panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

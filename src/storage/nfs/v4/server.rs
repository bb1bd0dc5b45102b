//! One server's sessions: a bounded pool of one client's ([`super::client`]), and the rule for calls that got no answer.
//!
//! A call borrows a session ([`Loan`]) and gives it back when the server has answered. A loan that ends in any other
//! way (a deadline, a broken connection, a caller that went away) while a call that changes something is under way
//! leaves a [`super::fence`]: it is carried out in the background at once, and no session is lent until that is done.
//! Servers know nothing of each other: one that hangs delays no other.
//!
//! A session that is not used any more is destroyed: by the task that closes those at rest, or else on a connection of its
//! own ([`Server::discard`]). With the last one goes the client. A process that stops in order ends all of it
//! ([`Server::leave`]).
//!
//! The server lives as long as somebody holds it: a verb, a fence, a look-up of its name, or the task that closes
//! sessions at rest. So one that nobody needs any more is forgotten by itself.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::client::Client;
use super::clients::Clients;
use super::diagnose::Waiting;
use super::fence::{End, Fence};
use super::limits::Limits;
use super::rpc::{Credentials, RpcError};
use super::server_id::ServerId;
use super::session::Session;
use super::wire::{NEWEST_MINOR, SessionError, Wire};
use crate::storage::nfs::connect::{ConnectError, Connection, Name, connect, connect_to};
use crate::storage::nfs::remove_tree;

/// RFC 8881, 2.9.3: no portmapper is asked.
const PORT: u16 = 2049;

/// Calls under way on one server.
const MOST_SESSIONS: usize = 16;
/// How long a server may take to open a session. The others that need one wait meanwhile.
const OPENING: Duration = Duration::from_secs(5);
/// Discards under way on one server.
const MOST_DISCARDS: usize = 2;
/// After that time at rest a session is closed, or after half its lease: a firewall may have forgotten it.
const LONGEST_IDLE: Duration = Duration::from_mins(1);
/// The same for a client that the server has noted down: if the server restarts meanwhile, it waits for the client to come
/// back. Longer than the pauses of a verb that is asked to come back later.
const RECORDED_IDLE: Duration = Duration::from_secs(5);
/// How long a server may take to part with a session, or with the client.
const GOODBYE: Duration = Duration::from_secs(3);

/// What all servers have in common.
#[derive(Clone, Debug)]
pub(super) struct ClientConfig {
    pub credentials: Arc<Credentials>,
    pub privileged_port: bool,
    /// See [`super::NfsStorage::with_longest_fence`].
    pub longest_fence: Option<Duration>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Server {
    name: Name,
    config: ClientConfig,
    /// Where tasks run: what begins one may be dropped anywhere.
    runtime: Handle,
    permits: Semaphore,
    /// For calls of trees that are removed.
    removals: Semaphore,
    discards: Semaphore,
    idle: Mutex<Idle>,
    /// Locked while a session is opened: the numbers of CREATE_SESSION are one sequence.
    clients: tokio::sync::Mutex<Clients>,
    /// The addresses at which calls are being fenced off.
    fences: watch::Sender<Vec<SocketAddr>>,
    limits: Mutex<Limits>,
    id: Mutex<Option<ServerId>>,
    came_privileged: AtomicBool,
}

/// The sessions that nobody uses.
#[derive(Debug, Default)]
struct Idle {
    sessions: Vec<Session>,
    /// A task closes those that have rested too long.
    has_closer: bool,
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
    pub fn new(name: &str, config: ClientConfig) -> Arc<Self> {
        Arc::new(Self {
            name: Name::new(name, PORT),
            runtime: Handle::current(),
            permits: Semaphore::new(MOST_SESSIONS),
            removals: Semaphore::new(remove_tree::MOST_CALLS),
            discards: Semaphore::new(MOST_DISCARDS),
            idle: Mutex::default(),
            clients: tokio::sync::Mutex::new(Clients::new(&config.credentials, name)),
            fences: watch::Sender::default(),
            // Until a session says more.
            limits: Mutex::new(Limits::LEAST),
            id: Mutex::default(),
            came_privileged: AtomicBool::new(false),
            config,
        })
    }

    /// A permit for each session in use.
    pub fn permits(&self) -> &Semaphore {
        &self.permits
    }

    /// A permit for each call that is under way for any tree.
    pub fn removals(&self) -> &Semaphore {
        &self.removals
    }

    pub fn credentials(&self) -> &Credentials {
        &self.config.credentials
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

    /// The server does not know a session of this client that was at rest any more: then it knows none of them.
    pub fn forget_idle(&self, client: &Client) {
        let same = |session: &mut Session| std::ptr::eq(session.client(), client);
        let forgotten = lock(&self.idle).sessions.extract_if(.., same).count();
        tracing::debug!(
            server = self.name.as_str(),
            sessions = forgotten,
            "sessions at rest are forgotten"
        );
    }

    /// The connection of a session that was at rest is broken: then that of each of them is. The server may know them.
    pub fn discard_idle(self: &Arc<Self>) {
        let rested = std::mem::take(&mut lock(&self.idle).sessions);
        for session in rested {
            self.discard(session, Duration::ZERO);
        }
    }

    /// Destroys, after a pause, a session that nobody uses any more: else the server would keep it as long as the client.
    pub fn discard(self: &Arc<Self>, session: Session, pause: Duration) {
        let fence = session.into_fence(self.config.credentials.clone());
        let server = self.clone();
        self.runtime.spawn(async move {
            sleep(pause).await;
            let Ok(_permit) = server.discards.acquire().await else {
                return;
            };
            // No export is named, so any port will do. Privileged ones are few.
            let end = fence.carry_out(false, None).await;
            tracing::debug!(server = server.name.as_str(), ?end, "a session is discarded");
            if end == End::Confirmed {
                server.part(fence, false).await;
            }
        });
    }

    /// The client goes with its last session, also where that was destroyed on another connection.
    async fn part(&self, fence: Fence, privileged: bool) {
        let Fence { client, address, .. } = fence;
        if !self.clients.lock().await.is_unused(&client) {
            return;
        }
        let parted = timeout(GOODBYE, async {
            let connection = connect_to(address, privileged).await.map_err(NoSession::Connect)?;
            let mut wire = Wire::new(connection, self.config.credentials.clone(), client.minor());
            self.part_on(client, &mut wire).await.map_err(NoSession::Session)
        });
        let parted = parted.await;
        tracing::debug!(
            server = self.name.as_str(),
            ?parted,
            "the client's last session is gone"
        );
    }

    async fn part_on(&self, client: Arc<Client>, wire: &mut Wire) -> Result<(), SessionError> {
        Ok(self.clients.lock().await.part(client, wire).await?)
    }

    /// Ends all that this process has on the server, for when it stops: sessions, those in use included, and the client.
    /// A server that does not answer soon forgets them with their lease.
    pub async fn leave(&self) {
        // Longer than this it is held only where several wait for a silent server.
        let Ok(mut clients) = timeout(OPENING, self.clients.lock()).await else {
            tracing::debug!(
                server = self.name.as_str(),
                "the client stays: a session is still being opened"
            );
            return;
        };
        let earlier = clients.new_incarnation();
        lock(&self.idle).sessions.clear();
        // Behind one name there may be several servers: none waits for another.
        let left = earlier.into_iter().map(|(address, minor)| {
            let life = clients.same_incarnation();
            async move {
                let left = timeout(GOODBYE, self.leave_at(address, minor, life)).await;
                tracing::debug!(server = self.name.as_str(), %address, ?left, "the client is taken off the server");
            }
        });
        join_all(left).await;
    }

    async fn leave_at(&self, address: SocketAddr, minor: u32, mut life: Clients) -> Result<(), NoSession> {
        let connection = connect_to(address, self.config.privileged_port).await;
        let connection = connection.map_err(NoSession::Connect)?;
        let wire = Wire::new(connection, self.config.credentials.clone(), minor);
        Ok(life.leave(wire).await?)
    }

    /// Waits until no call is being fenced off; `waiting` is told for what.
    pub async fn until_nothing_is_fenced(&self, waiting: &impl Fn(Waiting)) {
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

    pub fn is_fencing(&self) -> bool {
        !self.fences.borrow().is_empty()
    }

    /// Fences the call off that is under way in this session.
    pub fn fence(self: &Arc<Self>, session: Session) {
        let address = session.address();
        self.fences.send_modify(|fences| fences.push(address));
        let fence = session.into_fence(self.config.credentials.clone());
        let server = self.clone();
        self.runtime.spawn(async move {
            let ClientConfig {
                privileged_port,
                longest_fence,
                ..
            } = server.config;
            let end = fence.carry_out(privileged_port, longest_fence).await;
            match end {
                End::Confirmed => tracing::info!(%address, "a call without an answer is fenced off"),
                End::Unconfirmed => {
                    tracing::warn!(
                        %address,
                        "the server did not confirm that a call without an answer is fenced off, for longer than its lease; \
                         the next session ends what it may still know of it"
                    );
                    server.clients.lock().await.new_incarnation();
                    // The next session is to be a new one.
                    lock(&server.idle).sessions.clear();
                }
                End::Busy => tracing::warn!(
                    %address,
                    "the server has been carrying out a call for too long; nobody waits for it any more, and it may still \
                     take effect. Look for what holds it up in the server's log"
                ),
            }
            server.fences.send_modify(|fences| {
                if let Some(at) = fences.iter().position(|other| *other == address) {
                    fences.swap_remove(at);
                }
            });
            if end == End::Confirmed {
                server.part(fence, privileged_port).await;
            }
        });
    }

    /// An idle session of which the server still knows, as far as can be told.
    pub fn take_idle(self: &Arc<Self>) -> Option<Session> {
        let mut idle = lock(&self.idle);
        // The last one given back first: the others come to rest and are closed.
        while let Some(session) = idle.sessions.pop_if(|session| Instant::now() < idle_until(session)) {
            if !session.closed() {
                return Some(session);
            }
            self.discard(session, Duration::ZERO);
        }
        None
    }

    /// The session is free for the next call.
    pub fn release(self: &Arc<Self>, session: Session) {
        // The next session of the client that has taken its place ends it.
        if session.client().replaced() {
            return;
        }
        let mut idle = lock(&self.idle);
        idle.sessions.push(session);
        if !std::mem::replace(&mut idle.has_closer, true) {
            self.runtime.spawn(self.clone().close_expired());
        }
    }

    /// Closes sessions that have rested too long, until none is left.
    async fn close_expired(self: Arc<Self>) {
        loop {
            let (over, next) = {
                let mut idle = lock(&self.idle);
                let now = Instant::now();
                let over: Vec<_> = idle
                    .sessions
                    .extract_if(.., |session| idle_until(session) <= now)
                    .collect();
                let next = idle.sessions.iter().map(idle_until).min();
                idle.has_closer = next.is_some() || !over.is_empty();
                (over, next)
            };
            match next {
                None if over.is_empty() => return,
                // Meanwhile the client may become one that the server has noted down.
                Some(next) if over.is_empty() => sleep_until(next.min(Instant::now() + RECORDED_IDLE)).await,
                _ => {
                    for session in over {
                        self.close(session).await;
                    }
                }
            }
        }
    }

    /// The client goes with its last session.
    async fn close(self: &Arc<Self>, mut session: Session) {
        let closed = timeout(GOODBYE, session.close()).await;
        tracing::debug!(server = self.name.as_str(), ?closed, "a session at rest is closed");
        if !matches!(closed, Ok(Ok(()))) {
            return self.discard(session, Duration::ZERO);
        }
        let (client, mut wire) = session.into_parts();
        let parted = timeout(GOODBYE, self.part_on(client, &mut wire)).await;
        tracing::debug!(
            server = self.name.as_str(),
            ?parted,
            "its client goes if it was the last one"
        );
    }

    /// Opens a session on a new connection. `deadline` only divides the time among the server's addresses.
    pub async fn open_session(&self, deadline: Instant) -> Result<Session, NoSession> {
        let addresses = self.name.addresses(&self.runtime).await.map_err(NoSession::Connect)?;
        let connection = connect(&addresses, self.config.privileged_port, deadline).await;
        Ok(self.open(connection.map_err(NoSession::Connect)?).await?)
    }

    async fn open(&self, connection: Connection) -> Result<Session, SessionError> {
        let privileged = connection.privileged;
        self.came_privileged.store(privileged, Ordering::Relaxed);
        let wire = Wire::new(connection, self.config.credentials.clone(), NEWEST_MINOR);
        let mut clients = self.clients.lock().await;
        let session = timeout(OPENING, clients.open(wire)).await;
        let session = session.map_err(|_| RpcError::Broken(std::io::ErrorKind::TimedOut.into()))??;
        drop(clients);
        *lock(&self.limits) = session.limits();
        *lock(&self.id) = Some(session.client().server());
        let id = self.id().map(tracing::field::display);
        tracing::debug!(server = self.name.as_str(), id, privileged, "a session is open");
        Ok(session)
    }
}

fn idle_until(session: &Session) -> Instant {
    let client = session.client();
    let longest = if client.recorded() { RECORDED_IDLE } else { LONGEST_IDLE };
    session.used() + longest.min(client.lease() / 2)
}

/// What the locks hold is whole after each statement, also where a thread panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

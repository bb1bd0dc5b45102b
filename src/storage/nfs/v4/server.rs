//! One server's sessions: a bounded pool of one client's ([`super::client`]), and the rule for calls that got no answer.
//!
//! A call borrows a session and gives it back when the server has answered. A loan that ends in any other
//! way (a deadline, a broken connection, a caller that went away) while a call that changes something is under way
//! leaves a [`super::fence`]: it is carried out in the background at once, and no session is lent until that is done.
//! Servers know nothing of each other: one that hangs delays no other.
//!
//! A session that is not used any more is destroyed: by the task that closes idle ones, or else on a connection of its
//! own ([`Server::discard`]). With the last one goes the client. A process that stops in order ends all of it
//! ([`Server::leave`]).
//!
//! The server lives as long as somebody holds it: a verb, a fence, a look-up of its name, or the task that closes
//! idle sessions. So one that nobody needs any more is forgotten by itself.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::client::Client;
use super::clients::Clients;
use super::fence::{End, Fence};
use super::fences::Fences;
use super::limits::Limits;
use super::rpc::RpcError;
use super::server_id::ServerId;
use super::session::Session;
use super::wire::{NEWEST_MINOR, SessionError, Wire};
use crate::storage::nfs::connect::{ConnectError, Connection, Name, connect, connect_to};
use crate::storage::nfs::idle::{Idle, Reusable};
use crate::storage::nfs::options::{ClientConfig, NfsOptions};
use crate::storage::nfs::verbs::remove_tree;

/// RFC 8881, 2.9.3: no portmapper is asked.
const PORT: u16 = 2049;

/// Calls under way on one server.
const MOST_SESSIONS: usize = 16;
/// How long a server may take to open a session. The others that need one wait meanwhile.
const OPENING: Duration = Duration::from_secs(5);
/// Discards under way on one server.
const MOST_DISCARDS: usize = 2;
/// After that time idle a session is closed, or after half its lease: a firewall may have forgotten it.
const LONGEST_IDLE: Duration = Duration::from_mins(1);
/// The same for a client that the server has noted down: if the server restarts meanwhile, it waits for the client to come
/// back. Longer than the pauses of a verb that is asked to come back later.
const RECORDED_IDLE: Duration = Duration::from_secs(5);
/// How long a server may take to part with a session, or with the client.
const GOODBYE: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub struct Server {
    name: Name,
    config: ClientConfig,
    /// Where tasks run: what begins one may be dropped anywhere.
    runtime: Handle,
    permits: Semaphore,
    /// For calls of trees that are removed.
    removals: Semaphore,
    discards: Semaphore,
    idle: Idle<Session>,
    /// Locked while a session is opened: the numbers of CREATE_SESSION are one sequence.
    clients: tokio::sync::Mutex<Clients>,
    fences: Fences,
    limits: Mutex<Limits>,
    id: Mutex<Option<ServerId>>,
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

impl Server {
    /// Nothing is sent before the first call. To be called in a Tokio runtime.
    pub fn new(name: &str, config: ClientConfig) -> Arc<Self> {
        Arc::new(Self {
            name: Name::new(name, PORT),
            runtime: Handle::current(),
            permits: Semaphore::new(MOST_SESSIONS),
            removals: Semaphore::new(remove_tree::MOST_CALLS),
            discards: Semaphore::new(MOST_DISCARDS),
            idle: Idle::default(),
            clients: tokio::sync::Mutex::new(Clients::new(&config.options, name)),
            fences: Fences::default(),
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

    pub fn options(&self) -> &NfsOptions {
        &self.config.options
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
        let forgotten = self.idle.remove(same).len();
        tracing::debug!(
            server = self.name.as_str(),
            sessions = forgotten,
            "sessions at rest are forgotten"
        );
    }

    /// The connection of a session that was at rest is broken: then that of each of them is. The server may know them.
    pub fn discard_idle(self: &Arc<Self>) {
        for session in self.idle.remove(|_| true) {
            self.discard(session, Duration::ZERO);
        }
    }

    /// Destroys, after a pause, a session that nobody uses any more: else the server would keep it as long as the client.
    pub fn discard(self: &Arc<Self>, session: Session, pause: Duration) {
        let fence = session.into_fence(self.config.options.clone());
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
            let mut wire = Wire::new(connection, self.config.options.clone(), client.minor());
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
        drop(self.idle.remove(|_| true));
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
        let connection = connect_to(address, self.config.options.privileged_port).await;
        let connection = connection.map_err(NoSession::Connect)?;
        let wire = Wire::new(connection, self.config.options.clone(), minor);
        Ok(life.leave(wire).await?)
    }

    pub fn fences(&self) -> &Fences {
        &self.fences
    }

    /// Fences the call off that is under way in this session.
    pub fn fence(self: &Arc<Self>, session: Session) {
        let address = session.address();
        self.fences.begin(address);
        let fence = session.into_fence(self.config.options.clone());
        let server = self.clone();
        self.runtime.spawn(async move {
            let privileged_port = server.config.options.privileged_port;
            let end = fence.carry_out(privileged_port, server.config.longest_fence).await;
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
                    drop(server.idle.remove(|_| true));
                }
                End::Busy => tracing::warn!(
                    %address,
                    "the server has been carrying out a call for too long; nobody waits for it any more, and it may still \
                     take effect. Look for what holds it up in the server's log"
                ),
            }
            server.fences.end(address);
            if end == End::Confirmed {
                server.part(fence, privileged_port).await;
            }
        });
    }

    /// Takes an idle session that the server knows, unless it has been restarted since.
    pub fn take_idle(self: &Arc<Self>) -> Option<Session> {
        self.idle.take(|session| self.discard(session, Duration::ZERO))
    }

    /// Keeps a session for the next call.
    pub fn release(self: &Arc<Self>, session: Session) {
        // The next session of the client that has taken its place ends it.
        if session.client().replaced() {
            return;
        }
        if self.idle.put(session) {
            self.runtime.spawn(self.clone().close_expired());
        }
    }

    /// Closes sessions that have been idle for too long, until none is left.
    async fn close_expired(self: Arc<Self>) {
        loop {
            match self.idle.take_expired() {
                (expired, None) if expired.is_empty() => return,
                // Meanwhile the server may record the client, which shortens the time.
                (expired, Some(next)) if expired.is_empty() => {
                    sleep_until(next.min(Instant::now() + RECORDED_IDLE)).await
                }
                (expired, _) => {
                    for session in expired {
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
        let connection = connect(&addresses, self.config.options.privileged_port, deadline).await;
        Ok(self.open(connection.map_err(NoSession::Connect)?).await?)
    }

    async fn open(&self, connection: Connection) -> Result<Session, SessionError> {
        let privileged = connection.privileged;
        self.came_privileged.store(privileged, Ordering::Relaxed);
        let wire = Wire::new(connection, self.config.options.clone(), NEWEST_MINOR);
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

impl Reusable for Session {
    fn expires(&self) -> Instant {
        let client = self.client();
        let longest = if client.recorded() { RECORDED_IDLE } else { LONGEST_IDLE };
        self.used() + longest.min(client.lease() / 2)
    }

    fn closed(&self) -> bool {
        self.closed()
    }
}

/// What the locks hold is whole after each statement, also where a thread panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

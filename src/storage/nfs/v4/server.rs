//! One server: its sessions, and its calls without an answer.
//!
//! A call takes a session from the pool ([`super::pool`]) and returns it when the server has answered. If the caller stops
//! waiting before that (a deadline, a broken connection) while a call that changes something is in progress, the call is
//! fenced off ([`super::fence`]) at once, in the background. Until that is done, no session is lent. Servers are
//! independent: one that hangs delays no other.
//!
//! A session that is not used any more is destroyed: by the task that closes idle ones, or on a connection of its own
//! ([`Server::discard`]). The client is destroyed with its last session. A process that stops cleanly destroys all sessions
//! ([`Server::shut_down`]).
//!
//! The value lives as long as something uses it: a verb, a fence, a look-up of its name, or the task that closes idle
//! sessions.

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
use crate::storage::nfs::connect::{Connection, Name, connect, connect_to};
use crate::storage::nfs::idle::{Idle, Reusable};
use crate::storage::nfs::options::{ClientConfig, NfsOptions};
use crate::storage::verbs::remove_tree;

/// The port of NFSv4 (RFC 8881, 2.9.3); no portmapper is needed.
const PORT: u16 = 2049;

/// The most sessions in use on one server, each with one call.
const MAX_SESSIONS: usize = 16;
/// How long a server may take to open a session. Other calls that need a new one wait meanwhile.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// The most sessions that are discarded at the same time.
const MAX_DISCARDS: usize = 2;
/// A session is closed after this idle time, or after half its lease: a firewall may drop its connection.
const LONGEST_IDLE: Duration = Duration::from_mins(1);
/// The same for a client that the server has recorded: after a restart, the server waits for such a client. Longer than the
/// pauses between the attempts of a verb.
const RECORDED_IDLE: Duration = Duration::from_secs(5);
/// How long a server may take to destroy a session, or the client.
const DESTROY_TIMEOUT: Duration = Duration::from_secs(3);

/// The state of one server.
#[derive(Debug)]
pub struct Server {
    name: Name,
    config: ClientConfig,
    /// The runtime of the tasks, because a caller that starts one may be dropped at any time.
    runtime: Handle,
    /// Limits the sessions in use.
    pub(super) permits: Semaphore,
    /// Limits the calls that remove trees, over all trees.
    pub(super) removals: Semaphore,
    discards: Semaphore,
    idle: Idle<Session>,
    /// Locked while a session is opened: the numbers of CREATE_SESSION are one sequence.
    clients: tokio::sync::Mutex<Clients>,
    pub(super) fences: Fences,
    limits: Mutex<Limits>,
    id: Mutex<Option<ServerId>>,
    has_privileged_port: AtomicBool,
}

impl Server {
    /// Creates the state of a server. Sends nothing. Must be called in a Tokio runtime.
    pub fn new(name: &str, config: ClientConfig) -> Arc<Self> {
        Arc::new(Self {
            name: Name::new(name, PORT),
            runtime: Handle::current(),
            permits: Semaphore::new(MAX_SESSIONS),
            removals: Semaphore::new(remove_tree::MAX_CALLS),
            discards: Semaphore::new(MAX_DISCARDS),
            idle: Idle::default(),
            clients: tokio::sync::Mutex::new(Clients::new(&config.options, name)),
            fences: Fences::default(),
            // Until a session allows more.
            limits: Mutex::new(Limits::LEAST),
            id: Mutex::default(),
            has_privileged_port: AtomicBool::new(false),
            config,
        })
    }

    pub fn options(&self) -> &NfsOptions {
        &self.config.options
    }

    /// Returns the limits of the latest session.
    pub fn limits(&self) -> Limits {
        *lock(&self.limits)
    }

    /// Returns the id of the server of the latest session; `None` before the first one. An address may belong to another
    /// server later.
    pub fn id(&self) -> Option<ServerId> {
        *lock(&self.id)
    }

    /// Returns whether the latest connection came from a privileged port.
    pub fn has_privileged_port(&self) -> bool {
        self.has_privileged_port.load(Ordering::Relaxed)
    }

    /// Forgets the idle sessions of this client: the server did not know one of them, so it knows none.
    pub fn forget_idle(&self, client: &Client) {
        let same = |session: &mut Session| std::ptr::eq(Arc::as_ptr(&session.client), client);
        let forgotten = self.idle.remove(same).len();
        tracing::debug!(
            server = self.name.as_str(),
            sessions = forgotten,
            "idle sessions are forgotten"
        );
    }

    /// Destroys the idle sessions: one connection was broken, so the others are, too. The server may still know the
    /// sessions.
    pub fn discard_idle(self: &Arc<Self>) {
        for session in self.idle.remove(|_| true) {
            self.discard(session, Duration::ZERO);
        }
    }

    /// Destroys, after a pause, a session that is not used any more. Otherwise the server would keep it as long as the
    /// client.
    pub fn discard(self: &Arc<Self>, session: Session, pause: Duration) {
        let fence = session.into_fence(self.config.options.clone());
        let server = self.clone();
        self.runtime.spawn(async move {
            sleep(pause).await;
            let Ok(_permit) = server.discards.acquire().await else {
                return;
            };
            // Only exports require privileged ports, and there are few of those.
            let end = fence.carry_out(false, None).await;
            tracing::debug!(server = server.name.as_str(), ?end, "a session is discarded");
            if end == End::Confirmed {
                server.destroy_unused(fence, false).await;
            }
        });
    }

    /// Destroys the client on a new connection, if the session of the fence was its last one.
    async fn destroy_unused(&self, fence: Fence, privileged: bool) {
        let Fence { client, address, .. } = fence;
        if !self.clients.lock().await.is_unused(&client) {
            return;
        }
        let destroyed = timeout(DESTROY_TIMEOUT, async {
            let connection = connect_to(address, privileged).await?;
            let mut wire = Wire::new(connection, self.config.options.clone(), client.minor);
            self.destroy_unused_on(client, &mut wire).await
        });
        let destroyed = destroyed.await;
        tracing::debug!(
            server = self.name.as_str(),
            ?destroyed,
            "the client's last session was destroyed"
        );
    }

    async fn destroy_unused_on(&self, client: Arc<Client>, wire: &mut Wire) -> Result<(), SessionError> {
        Ok(self.clients.lock().await.destroy_unused(client, wire).await?)
    }

    /// Destroys the client and all its sessions, also those in use, before the process stops. A server that does not answer
    /// in time forgets them when the lease expires.
    pub async fn shut_down(&self) {
        // The lock is held for longer only if several calls wait for a server that does not answer.
        let Ok(mut clients) = timeout(OPEN_TIMEOUT, self.clients.lock()).await else {
            tracing::debug!(
                server = self.name.as_str(),
                "the client is not destroyed: a session is still being opened"
            );
            return;
        };
        let earlier = clients.new_incarnation();
        drop(self.idle.remove(|_| true));
        // One name may have several servers: none waits for another.
        let left = earlier.into_iter().map(|(address, minor)| {
            let same = clients.same_incarnation();
            async move {
                let left = timeout(DESTROY_TIMEOUT, self.shut_down_at(address, minor, same)).await;
                tracing::debug!(server = self.name.as_str(), %address, ?left, "the client is destroyed on the server");
            }
        });
        join_all(left).await;
    }

    async fn shut_down_at(&self, address: SocketAddr, minor: u32, mut clients: Clients) -> Result<(), SessionError> {
        let connection = connect_to(address, self.config.options.privileged_port).await?;
        let wire = Wire::new(connection, self.config.options.clone(), minor);
        clients.shut_down(wire).await
    }

    /// Fences off the call that is in progress in this session.
    pub fn fence(self: &Arc<Self>, session: Session) {
        let address = session.wire.address;
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
                        "the server did not confirm within its lease that a call without an answer is fenced off; the next \
                         session replaces the client, which ends the call"
                    );
                    server.clients.lock().await.new_incarnation();
                    // The next session must be a new one.
                    drop(server.idle.remove(|_| true));
                }
                End::Busy => tracing::warn!(
                    %address,
                    "the server has been carrying out a call for too long; Bindery does not wait any more, and the call may \
                     still take effect. Look for the reason in the server's log"
                ),
            }
            server.fences.end(address);
            if end == End::Confirmed {
                server.destroy_unused(fence, privileged_port).await;
            }
        });
    }

    /// Takes an idle session. The server knows it, unless it has restarted since.
    pub fn take_idle(self: &Arc<Self>) -> Option<Session> {
        self.idle.take(|session| self.discard(session, Duration::ZERO))
    }

    /// Keeps a session for the next call.
    pub fn release(self: &Arc<Self>, session: Session) {
        // Another client has replaced its client. The first session of that one ends this session.
        if session.client.replaced.is_set() {
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
                    sleep_until(next.min(Instant::now() + RECORDED_IDLE)).await;
                }
                (expired, _) => {
                    for session in expired {
                        self.close(session).await;
                    }
                }
            }
        }
    }

    /// Closes a session, and destroys the client if that was its last one.
    async fn close(self: &Arc<Self>, mut session: Session) {
        let closed = timeout(DESTROY_TIMEOUT, session.close()).await;
        tracing::debug!(server = self.name.as_str(), ?closed, "an idle session is closed");
        if !matches!(closed, Ok(Ok(()))) {
            return self.discard(session, Duration::ZERO);
        }
        let Session { client, mut wire, .. } = session;
        let destroyed = timeout(DESTROY_TIMEOUT, self.destroy_unused_on(client, &mut wire)).await;
        tracing::debug!(
            server = self.name.as_str(),
            ?destroyed,
            "its client is destroyed if that was its last session"
        );
    }

    /// Opens a session on a new connection. `deadline` only divides the time among the server's addresses.
    pub async fn open_session(&self, deadline: Instant) -> Result<Session, SessionError> {
        let addresses = self.name.addresses(&self.runtime).await?;
        let connection = connect(&addresses, self.config.options.privileged_port, deadline).await?;
        self.open(connection).await
    }

    async fn open(&self, connection: Connection) -> Result<Session, SessionError> {
        let privileged = connection.privileged;
        self.has_privileged_port.store(privileged, Ordering::Relaxed);
        let wire = Wire::new(connection, self.config.options.clone(), NEWEST_MINOR);
        let mut clients = self.clients.lock().await;
        let session = timeout(OPEN_TIMEOUT, clients.open(wire)).await;
        let session = session.map_err(|_| RpcError::Broken(std::io::ErrorKind::TimedOut.into()))??;
        drop(clients);
        *lock(&self.limits) = session.limits;
        *lock(&self.id) = Some(session.client.server);
        let id = self.id().map(tracing::field::display);
        tracing::debug!(server = self.name.as_str(), id, privileged, "a session is open");
        Ok(session)
    }
}

impl Reusable for Session {
    fn expires(&self) -> Instant {
        let client = &self.client;
        let longest = if client.recorded.is_set() {
            RECORDED_IDLE
        } else {
            LONGEST_IDLE
        };
        self.used + longest.min(client.lease() / 2)
    }

    fn closed(&self) -> bool {
        self.wire.closed()
    }
}

/// Locks a value that is consistent after each statement, also if a thread panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The client that a server knows this process as (RFC 8881, 2.4): one, however many sessions it has there.
//!
//! The owner's name stays the same when a process starts again; the verifier is a new one. So the first session that a
//! process opens on a server ends all that an earlier process of that name has left there: sessions, and calls that are
//! still on their way (18.35.4, 18.36.4). The server's name is part of the owner's name, because two names of one server
//! are two clients.
//!
//! One name may have several addresses, of one server or of several. Which of them are one server is told by EXCHANGE_ID:
//! it answers with the same client id and the same [`ServerId`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::server_id::ServerId;

/// What most servers have, where one does not tell.
const USUAL_LEASE: Duration = Duration::from_secs(90);

/// What the sessions of one client share. Each session and each fence holds it, so it tells whether any is left.
#[derive(Debug)]
pub(super) struct Client {
    id: u64,
    server: ServerId,
    minor: u32,
    lease: OnceLock<Duration>,
    /// When the server last answered any of its sessions: until then, at least, the lease was renewed.
    renewed: Mutex<Instant>,
    /// RECLAIM_COMPLETE may have been sent: servers note such a client down, and wait for it after a restart.
    recorded: AtomicBool,
    /// The server has taken RECLAIM_COMPLETE.
    complete: AtomicBool,
    /// Another client takes its place, and ends its sessions.
    replaced: AtomicBool,
}

impl Client {
    pub fn new(id: u64, server: ServerId, minor: u32, recorded: bool) -> Self {
        Self {
            id,
            server,
            minor,
            lease: OnceLock::new(),
            renewed: Mutex::new(Instant::now()),
            recorded: AtomicBool::new(recorded),
            complete: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
        }
    }

    /// The number by which the server knows it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Which server knows it.
    pub fn server(&self) -> ServerId {
        self.server
    }

    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// How long the server remembers the client when it is silent; nothing before the server was asked.
    pub fn known_lease(&self) -> Option<Duration> {
        self.lease.get().copied()
    }

    /// The same, or the usual lease.
    pub fn lease(&self) -> Duration {
        self.known_lease().unwrap_or(USUAL_LEASE)
    }

    pub fn set_lease(&self, lease: Option<Duration>) {
        self.lease.get_or_init(|| lease.unwrap_or(USUAL_LEASE));
    }

    pub fn renewed(&self) -> Instant {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server has answered.
    pub fn renew(&self) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub fn recorded(&self) -> bool {
        self.recorded.load(Ordering::Relaxed)
    }

    /// From now on it counts as recorded.
    pub fn record(&self) {
        self.recorded.store(true, Ordering::Relaxed);
    }

    pub fn complete(&self) -> bool {
        self.complete.load(Ordering::Relaxed)
    }

    /// The server has taken RECLAIM_COMPLETE.
    pub fn set_complete(&self) {
        self.complete.store(true, Ordering::Relaxed);
    }

    /// From now on another client takes its place.
    pub fn set_replaced(&self) {
        self.replaced.store(true, Ordering::Relaxed);
    }

    pub fn replaced(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
    }
}

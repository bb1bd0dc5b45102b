//! The client as which a server knows this process (RFC 8881, 2.4): one client for all sessions.
//!
//! The client owner stays the same when a process starts again; the verifier is new. So the first session that a process
//! opens on a server ends all that an earlier process of that name has left there: sessions and late calls (18.35.4,
//! 18.36.4). The server's name is part of the client owner, because two names of one server are two clients.
//!
//! One name may have several addresses, of one server or of several. EXCHANGE_ID shows which of them are the same server: it
//! answers with the same client id and the same [`ServerId`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::server_id::ServerId;

/// The lease of most servers, for one that does not say.
const USUAL_LEASE: Duration = Duration::from_secs(90);

/// What the sessions of one client share. Each session and each fence has a reference to it, so the count says whether any is left.
#[derive(Debug)]
pub(super) struct Client {
    id: u64,
    server: ServerId,
    minor: u32,
    lease: OnceLock<Duration>,
    /// When the server last answered one of its sessions: the lease was renewed then or later.
    renewed: Mutex<Instant>,
    /// RECLAIM_COMPLETE may have been sent: servers record such a client, and wait for it after a restart.
    recorded: AtomicBool,
    /// The server has accepted RECLAIM_COMPLETE.
    complete: AtomicBool,
    /// Another client replaces it, and ends its sessions.
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

    /// How long the server keeps a client that sends nothing; none before the server was asked.
    pub fn known_lease(&self) -> Option<Duration> {
        self.lease.get().copied()
    }

    /// The same; before the server was asked, the usual lease.
    pub fn lease(&self) -> Duration {
        self.known_lease().unwrap_or(USUAL_LEASE)
    }

    pub fn set_lease(&self, lease: Option<Duration>) {
        self.lease.get_or_init(|| lease.unwrap_or(USUAL_LEASE));
    }

    pub fn renewed(&self) -> Instant {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the server has answered.
    pub fn renew(&self) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub fn recorded(&self) -> bool {
        self.recorded.load(Ordering::Relaxed)
    }

    /// Notes that the server may have recorded it.
    pub fn record(&self) {
        self.recorded.store(true, Ordering::Relaxed);
    }

    pub fn complete(&self) -> bool {
        self.complete.load(Ordering::Relaxed)
    }

    /// Notes that the server has accepted RECLAIM_COMPLETE.
    pub fn set_complete(&self) {
        self.complete.store(true, Ordering::Relaxed);
    }

    /// Notes that another client replaces it.
    pub fn set_replaced(&self) {
        self.replaced.store(true, Ordering::Relaxed);
    }

    pub fn replaced(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
    }
}

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
pub(super) const USUAL_LEASE: Duration = Duration::from_secs(90);

/// What the sessions of one client share. Each session and each fence has a reference to it, so the count says whether any is left.
#[derive(Debug)]
pub(super) struct Client {
    /// The number by which the server knows it.
    pub id: u64,
    /// Which server knows it.
    pub server: ServerId,
    pub minor: u32,
    /// How long the server keeps a client that sends nothing; none before the server was asked.
    pub known_lease: OnceLock<Duration>,
    /// When the server last answered one of its sessions: the lease was renewed then or later.
    renewed: Mutex<Instant>,
    /// RECLAIM_COMPLETE may have been sent: servers record such a client, and wait for it after a restart.
    pub recorded: Flag,
    /// The server has accepted RECLAIM_COMPLETE.
    pub complete: Flag,
    /// Another client replaces it, and ends its sessions.
    pub replaced: Flag,
}

/// What was noted about a client, or not yet.
#[derive(Debug, Default)]
pub(super) struct Flag(AtomicBool);

impl Client {
    pub fn new(id: u64, server: ServerId, minor: u32, recorded: bool) -> Self {
        Self {
            id,
            server,
            minor,
            known_lease: OnceLock::new(),
            renewed: Mutex::new(Instant::now()),
            recorded: Flag(AtomicBool::new(recorded)),
            complete: Flag::default(),
            replaced: Flag::default(),
        }
    }

    /// Returns the lease; before the server was asked, the usual one.
    pub fn lease(&self) -> Duration {
        self.known_lease.get().copied().unwrap_or(USUAL_LEASE)
    }

    pub fn renewed(&self) -> Instant {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the server has answered.
    pub fn renew(&self) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Flag {
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

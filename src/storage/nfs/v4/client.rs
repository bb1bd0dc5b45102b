//! The client as which a server knows this process (RFC 8881, 2.4). All sessions on a server belong to the same client.
//!
//! When a process starts again, it has the same client owner and a new verifier. So its first session on a server ends the
//! sessions and late calls that an earlier process of the same name has left there (18.35.4, 18.36.4). The server's name is
//! part of the client owner, because two names of one server are two clients.
//!
//! One name may have several addresses, of one server or of several. EXCHANGE_ID shows which of them are the same server: it
//! answers with the same client id and the same [`ServerId`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::server_id::ServerId;

/// The lease of most servers, for one that does not tell its lease.
pub(super) const USUAL_LEASE: Duration = Duration::from_secs(90);

/// The state that the sessions of one client share. Each session and each fence has a reference: the count shows whether any
/// is left.
#[derive(Debug)]
pub(super) struct Client {
    /// The client id.
    pub id: u64,
    /// The server that knows it.
    pub server: ServerId,
    pub minor: u32,
    /// How long the server keeps a client that sends nothing; empty until the server was asked.
    pub known_lease: OnceLock<Duration>,
    /// When the server last answered one of its sessions. It renewed the lease shortly before.
    renewed: Mutex<Instant>,
    /// RECLAIM_COMPLETE may have been sent: servers record such a client, and wait for it after a restart.
    pub recorded: Flag,
    /// The server has accepted RECLAIM_COMPLETE.
    pub complete: Flag,
    /// Another client replaces it, and ends its sessions.
    pub replaced: Flag,
}

/// A fact about a client, once it is known.
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

    /// Returns the lease; the usual one before the server was asked.
    pub fn lease(&self) -> Duration {
        self.known_lease.get().copied().unwrap_or(USUAL_LEASE)
    }

    pub fn renewed(&self) -> Instant {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the server has answered.
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

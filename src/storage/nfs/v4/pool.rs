//! Lends sessions to calls, and decides what happens to a call when its caller does not wait for it any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use super::compound::Reply;
use super::diagnose::Prerequisite;
use super::operation::Op;
use super::rpc::RpcError;
use super::server::Server;
use super::session::Session;
use super::wire::SessionError;
use crate::storage::nfs::connect::ConnectError;

/// What happens to a call whose caller does not wait for it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// It must not take effect any more: it is fenced off.
    Fenced,
    /// It changes nothing, or only what another call changes in the same way.
    Harmless,
}

/// A session in use.
pub(super) struct PooledSession<'a> {
    pub server: &'a Arc<Server>,
    pub session: Option<Session>,
    pub reused: bool,
    /// The call in progress: what happens to it when this is dropped.
    pub in_progress: Option<Late>,
    pub _permit: SemaphorePermit<'a>,
}

impl Server {
    /// Waits until no call is being fenced off, and lends a session: an idle one, else a new one. Calls `waiting` with the
    /// condition that it waits for.
    ///
    /// The future may be dropped at any time. `deadline` only divides the time among the server's addresses.
    pub async fn acquire(
        self: &Arc<Self>,
        deadline: Instant,
        waiting: impl Fn(Prerequisite),
    ) -> Result<PooledSession<'_>, SessionError> {
        let permit = loop {
            self.fences
                .until_empty(|address| waiting(Prerequisite::Fence(address)))
                .await;
            waiting(Prerequisite::Session);
            // The semaphore is never closed. If it were, this would be a connection error.
            let permit = self.permits.acquire().await.map_err(|_| no_permit())?;
            if self.fences.is_empty() {
                break permit;
            }
        };
        let idle = self.take_idle();
        let pooled = |session, reused| PooledSession {
            server: self,
            session: Some(session),
            reused,
            in_progress: None,
            _permit: permit,
        };
        if let Some(session) = idle {
            return Ok(pooled(session, true));
        }
        let session = self.open_session(deadline).await?;
        let mut session = pooled(session, false);
        session.complete_reclaim_if_recorded().await?;
        session.using(Late::Harmless, Session::ask_for_lease).await?;
        Ok(session)
    }
}

impl PooledSession<'_> {
    /// See [`Session::call`].
    pub async fn call(&mut self, ops: &[Op<'_>], late: Late) -> Result<Reply, SessionError> {
        self.using(late, async |session| session.call(ops).await).await
    }

    async fn using<R>(
        &mut self,
        late: Late,
        call: impl AsyncFnOnce(&mut Session) -> Result<R, SessionError>,
    ) -> Result<R, SessionError> {
        let Some(session) = &mut self.session else {
            // Only methods that consume `self` take the session out.
            let gone = std::io::ErrorKind::NotConnected;
            return Err(SessionError::Rpc(RpcError::Broken(gone.into())));
        };
        self.in_progress = Some(late);
        let reply = call(session).await;
        if !matches!(reply, Err(SessionError::Rpc(_))) {
            self.in_progress = None;
        }
        reply
    }

    /// Returns whether its session was idle before.
    pub fn reused(&self) -> bool {
        self.reused
    }

    /// Sends RECLAIM_COMPLETE because the server has answered GRACE and may wait for it. Then the session is released.
    pub async fn complete_reclaim(mut self) {
        if self.send_reclaim_complete().await.is_ok() {
            self.release();
        }
    }

    /// Sends RECLAIM_COMPLETE if the client replaces a recorded one: a server that has restarted waits for it.
    pub async fn complete_reclaim_if_recorded(&mut self) -> Result<(), SessionError> {
        match &self.session {
            Some(session) if session.client.recorded.is_set() => self.send_reclaim_complete().await,
            _ => Ok(()),
        }
    }

    /// Sends RECLAIM_COMPLETE. An error means that the session cannot be used any more. A refusal by the server is no error:
    /// RECLAIM_COMPLETE is sent again later.
    async fn send_reclaim_complete(&mut self) -> Result<(), SessionError> {
        match self.using(Late::Harmless, Session::complete_reclaim).await {
            Err(error @ SessionError::Rpc(_)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the session to the pool after the server has answered.
    pub fn release(mut self) {
        if let Some(session) = self.session.take() {
            self.server.release(session);
        }
    }

    /// Drops a session that the server does not know. If it was idle, the server knows no other session of its client
    /// either.
    pub fn forget(mut self) {
        if let Some(session) = self.session.take()
            && self.reused
        {
            self.server.forget_idle(&session.client);
        }
    }
}

impl Drop for PooledSession<'_> {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        match self.in_progress {
            Some(Late::Fenced) => self.server.fence(session),
            // The server may carry the call out until the lease ends. It must not be interrupted.
            Some(Late::Harmless) => {
                let lease = session.client.lease();
                self.server.discard(session, lease);
            }
            None => self.server.discard(session, Duration::ZERO),
        }
    }
}

fn no_permit() -> SessionError {
    let closed = std::io::Error::other("the client is closed");
    SessionError::Connect(ConnectError::Resolve(Arc::new(closed)))
}

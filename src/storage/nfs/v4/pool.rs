//! A session in use, and what becomes of its call when nobody waits for it any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use super::compound::Reply;
use super::diagnose::Opening;
use super::operation::Op;
use super::rpc::RpcError;
use super::server::{NoSession, Server};
use super::session::Session;
use super::wire::SessionError;
use crate::storage::nfs::connect::ConnectError;

/// What becomes of a call that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// It must not take effect any more: it is fenced off.
    Fenced,
    /// It changes nothing, or nothing that another call would not change, too.
    Harmless,
}

/// A session in use.
pub(super) struct Loan<'a> {
    pub server: &'a Arc<Server>,
    pub session: Option<Session>,
    pub rested: bool,
    /// The call that is under way, and whether it does harm if it takes effect once this is dropped.
    pub under_way: Option<Late>,
    pub _permit: SemaphorePermit<'a>,
}

impl Server {
    /// Lends a session: a rested one, else a new one, when no fence is left. `waiting` is told for what.
    ///
    /// It may be dropped at any point; `deadline` only divides the time among the server's addresses.
    pub async fn borrow(self: &Arc<Self>, deadline: Instant, waiting: impl Fn(Opening)) -> Result<Loan<'_>, NoSession> {
        let permit = loop {
            self.fences()
                .until_empty(|address| waiting(Opening::Fence(address)))
                .await;
            waiting(Opening::Session);
            // Never closed, so this never fails; a closed one would mean a bug, and a connection error is answer enough.
            let permit = self.permits().acquire().await.map_err(|_| no_permit())?;
            if self.fences().is_empty() {
                break permit;
            }
        };
        let idle = self.take_idle();
        let loan = |session, rested| Loan {
            server: self,
            session: Some(session),
            rested,
            under_way: None,
            _permit: permit,
        };
        if let Some(session) = idle {
            return Ok(loan(session, true));
        }
        let session = self.open_session(deadline).await?;
        let mut loan = loan(session, false);
        loan.take_place().await?;
        loan.ask_for_lease().await?;
        Ok(loan)
    }
}

impl Loan<'_> {
    /// See [`Session::call`].
    pub async fn call(&mut self, ops: &[Op<'_>], late: Late) -> Result<Reply, SessionError> {
        let Some(session) = &mut self.session else {
            // Only what consumes the loan takes the session out of it.
            let gone = std::io::ErrorKind::NotConnected;
            return Err(SessionError::Rpc(RpcError::Broken(gone.into())));
        };
        self.under_way = Some(late);
        let reply = session.call(ops).await;
        if !matches!(reply, Err(SessionError::Rpc(_))) {
            self.under_way = None;
        }
        reply
    }

    /// Whether its session was at rest before.
    pub fn rested(&self) -> bool {
        self.rested
    }

    /// Learns the client's lease, if it is not known yet.
    pub async fn ask_for_lease(&mut self) -> Result<(), SessionError> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        self.under_way = Some(Late::Harmless);
        let asked = session.ask_for_lease().await;
        if !matches!(asked, Err(SessionError::Rpc(_))) {
            self.under_way = None;
        }
        asked
    }

    /// The server has answered GRACE: it may wait for the client to say that it reclaims nothing. The session is then free.
    pub async fn complete_reclaim(mut self) {
        if self.send_reclaim_complete().await.is_ok() {
            self.release();
        }
    }

    /// The same for a client that takes the place of a recorded one: a server that has restarted waits for it.
    pub async fn take_place(&mut self) -> Result<(), SessionError> {
        match &self.session {
            Some(session) if session.client().recorded() => self.send_reclaim_complete().await,
            _ => Ok(()),
        }
    }

    /// An error means that the session is of no use any more. One that the server gives is none: it is then sent again later.
    async fn send_reclaim_complete(&mut self) -> Result<(), SessionError> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        self.under_way = Some(Late::Harmless);
        let said = session.complete_reclaim().await;
        if let Err(SessionError::Rpc(error)) = said {
            return Err(error.into());
        }
        self.under_way = None;
        Ok(())
    }

    /// The server has answered: the session is free for the next call.
    pub fn release(mut self) {
        if let Some(session) = self.session.take() {
            self.server.release(session);
        }
    }

    /// The server does not know the session. If it was at rest, the server knows no other session of its client either.
    pub fn forget(mut self) {
        if let Some(session) = self.session.take()
            && self.rested
        {
            self.server.forget_idle(session.client());
        }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        match self.under_way {
            Some(Late::Fenced) => self.server.fence(session),
            // The server may carry the call out until then; it is not to be disturbed before.
            Some(Late::Harmless) => {
                let lease = session.client().lease();
                self.server.discard(session, lease);
            }
            None => self.server.discard(session, Duration::ZERO),
        }
    }
}

fn no_permit() -> NoSession {
    let closed = std::io::Error::other("the client is closed");
    NoSession::Connect(ConnectError::Resolve(Arc::new(closed)))
}

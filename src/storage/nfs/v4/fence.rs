//! A fence prevents late effects of a call without an answer (RFC 8881, 2.10.6.1 and 18.37).
//!
//! It uses its own connections and is repeated until the server has confirmed it, or until the lease of the client has
//! expired, so that the server cannot know the session any more. Meanwhile no session is lent, so nothing renews that lease.
//! A courteous server may know the session for longer. Then the next session ends it, because it belongs to a new
//! incarnation of the client owner.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::client::Client;
use super::wire::{SessionError, SessionId, Wire};
use crate::storage::nfs::connect::connect_to;
use crate::storage::nfs::options::NfsOptions;

/// The longest time for one attempt.
const TRY_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause between attempts, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Added to the lease, because clocks and timers are not exact.
const MARGIN: Duration = Duration::from_secs(15);
/// The longest wait for a server that is carrying out the call. If it takes longer, the server is broken.
const LONGEST_FENCE: Duration = Duration::from_mins(10);

/// A session that may have a call in progress, to be destroyed.
#[derive(Debug)]
pub(super) struct Fence {
    pub session: SessionId,
    pub client: Arc<Client>,
    /// The sequence number of the call that may be in progress.
    pub sequence: u32,
    /// The address of the session: one name may have several servers.
    pub address: SocketAddr,
    pub options: Arc<NfsOptions>,
}

/// How a fence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The call takes no effect any more.
    Confirmed,
    /// The server has not confirmed it, for longer than it can know the session.
    Unconfirmed,
    /// The server has been carrying out the call for too long.
    Busy,
}

impl Fence {
    /// Runs until the call is fenced off, or the server cannot know its session any more. `longest` replaces the lease.
    pub async fn carry_out(&self, privileged: bool, longest: Option<Duration>) -> End {
        let limit = longest.unwrap_or(self.client.lease() + MARGIN);
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        // When the server last answered that it is carrying out the call.
        let mut busy = since;
        loop {
            match timeout(TRY_TIMEOUT, self.try_once(privileged, &mut busy)).await {
                Ok(Ok(())) => return End::Confirmed,
                Ok(Err(error)) => tracing::debug!(address = %self.address, ?error, "a fence failed and is tried again"),
                Err(_) => tracing::debug!(address = %self.address, "a fence got no answer and is tried again"),
            }
            if busy.max(self.client.renewed()).elapsed() > limit {
                return End::Unconfirmed;
            }
            if since.elapsed() > LONGEST_FENCE.max(limit) {
                return End::Busy;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_once(&self, privileged: bool, busy: &mut Instant) -> Result<(), SessionError> {
        let connection = connect_to(self.address, privileged).await?;
        let mut wire = Wire::new(connection, self.options.clone(), self.client.minor);
        // Servers require that the connection belongs to the session.
        wire.bind(&self.session).await?;
        self.take_slot(&mut wire, busy).await?;
        while let Err(error) = wire.destroy_session(&self.session).await {
            match error {
                SessionError::Refused(_, status) if status.asks_to_retry() => {
                    *busy = Instant::now();
                    sleep(FIRST_PAUSE).await;
                }
                error => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends a SEQUENCE with the sequence number of the call. If it arrives before the call, the call is out of sequence. If
    /// it arrives later, it counts as a repetition, and the server answers DELAY until the call has ended. DESTROY_SESSION
    /// alone is not enough, because a server may destroy a session while it carries out a call.
    async fn take_slot(&self, wire: &mut Wire, busy: &mut Instant) -> Result<(), SessionError> {
        while wire.sequence(&self.session, self.sequence).await?.asks_to_retry() {
            *busy = Instant::now();
            sleep(FIRST_PAUSE).await;
        }
        // Any other answer means that the call has ended, or that the server does not know the session.
        Ok(())
    }
}

//! A fence: what makes sure that a call without an answer takes no effect any more (RFC 8881, 2.10.6.1 and 18.37).
//!
//! It is carried out on a connection of its own, again and again, until the server has confirmed it; or until the server
//! cannot know the session any more, because the lease of the client is over. No session is lent meanwhile, so nothing
//! renews that lease. A courteous server may know the session longer: the next session is one of a new life of the owner,
//! which ends it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::client::Client;
use super::rpc::RpcError;
use super::wire::{SessionError, SessionId, Wire};
use crate::storage::nfs::connect::{ConnectError, connect_to};
use crate::storage::nfs::options::NfsOptions;

/// One try.
const TRY: Duration = Duration::from_secs(3);
/// Between tries, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// On top of the lease: clocks and timers are not exact.
const MARGIN: Duration = Duration::from_secs(15);
/// A server that says for so long that it is carrying out the call is broken.
const LONGEST: Duration = Duration::from_mins(10);

/// A session that may have a call under way, to be destroyed.
#[derive(Debug)]
pub(super) struct Fence {
    pub session: SessionId,
    pub client: Arc<Client>,
    /// The call that may be under way.
    pub sequence: u32,
    /// Which of the server's addresses the session is on: behind one name there may be several servers.
    pub address: SocketAddr,
    pub options: Arc<NfsOptions>,
}

/// How a fence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The call takes no effect any more.
    Confirmed,
    /// The server has not confirmed it for longer than it knows the session.
    Unconfirmed,
    /// The server has said for too long that it is carrying out the call.
    Busy,
}

/// Why a try failed.
#[derive(Debug)]
#[allow(dead_code, reason = "read as a whole, for the log")]
enum Failure {
    Connect(ConnectError),
    Session(SessionError),
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        Self::Session(error.into())
    }
}

impl Fence {
    /// Ends when the call is fenced off, or cannot come any more; `longest` replaces what the lease says.
    pub async fn carry_out(&self, privileged: bool, longest: Option<Duration>) -> End {
        let patience = longest.unwrap_or(self.client.lease() + MARGIN);
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        // When the server last said that it is carrying out the call.
        let mut busy = since;
        loop {
            match timeout(TRY, self.once(privileged, &mut busy)).await {
                Ok(Ok(())) => return End::Confirmed,
                Ok(Err(error)) => tracing::debug!(address = %self.address, ?error, "a fence failed and is tried again"),
                Err(_) => tracing::debug!(address = %self.address, "a fence got no answer and is tried again"),
            }
            if busy.max(self.client.renewed()).elapsed() > patience {
                return End::Unconfirmed;
            }
            if since.elapsed() > LONGEST.max(patience) {
                return End::Busy;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn once(&self, privileged: bool, busy: &mut Instant) -> Result<(), Failure> {
        let connection = connect_to(self.address, privileged).await.map_err(Failure::Connect)?;
        let mut wire = Wire::new(connection, self.options.clone(), self.client.minor());
        // Servers want the connection to be the session's.
        wire.bind(&self.session).await?;
        self.take_slot(&mut wire, busy).await?;
        while let Err(error) = wire.destroy_session(&self.session).await {
            match error {
                SessionError::Refused(_, status) if status.later() => {
                    *busy = Instant::now();
                    sleep(FIRST_PAUSE).await;
                }
                error => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends the very SEQUENCE of the call that may be under way. Either it comes first: then the call finds its turn
    /// taken. Or it counts as a repetition: then the server answers DELAY until the call is over. To destroy the session
    /// alone is not enough, for a server may do that while it carries out a call.
    async fn take_slot(&self, wire: &mut Wire, busy: &mut Instant) -> Result<(), Failure> {
        while wire.sequence(&self.session, self.sequence).await?.later() {
            *busy = Instant::now();
            sleep(FIRST_PAUSE).await;
        }
        // Whatever else it says, it is done with the call, or does not know the session.
        Ok(())
    }
}

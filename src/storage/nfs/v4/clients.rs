//! The clients of this process on the servers behind one name, and how they open sessions (RFC 8881, 18.35 and 18.36).

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::client::Client;
use super::limits::Limits;
use super::rpc::RpcError;
use super::server_id::ServerId;
use super::session::Session;
use super::wire::{SessionError, SessionId, Verifier, Wire, new_verifier};
use super::xdr::Malformed;
use crate::storage::nfs::options::NfsOptions;
use crate::storage::status::Status;

/// The pause before the next CREATE_SESSION, while the server still carries out an earlier call.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A new session on a server.
type Created = (Arc<Client>, SessionId, Limits);

/// The clients on the servers behind one name.
#[derive(Debug)]
pub(super) struct Clients {
    owner: String,
    /// The verifier of this incarnation of the client owner.
    verifier: Verifier,
    known: Vec<Known>,
    /// Servers that recorded the previous client, which is gone. After a restart such a server waits until the next client
    /// sends RECLAIM_COMPLETE.
    awaited: Vec<ServerId>,
}

/// A client, with the data to open sessions for it.
#[derive(Debug)]
struct Known {
    client: Arc<Client>,
    /// The addresses of its server that have been used.
    addresses: Vec<SocketAddr>,
    /// The sequence number of the next CREATE_SESSION. If it gets no answer, it is sent again with the same number: a server
    /// that has carried it out returns the same session.
    next: u32,
}

impl Clients {
    /// Creates the state without clients. Sends nothing.
    pub fn new(options: &NfsOptions, server: &str) -> Self {
        let NfsOptions { uid, gid, machine, .. } = options;
        Self {
            // Contains the user, because servers let no other user replace the client.
            owner: format!("bindery {machine} {uid}:{gid} {server}"),
            verifier: new_verifier(),
            known: Vec::new(),
            awaited: Vec::new(),
        }
    }

    /// Opens a session on a new connection, for a client that the server knows, or else for a new one.
    ///
    /// The future may be dropped at any time: the next call continues from there.
    pub async fn open(&mut self, mut wire: Wire) -> Result<Session, SessionError> {
        let address = wire.address;
        let known = self.known.iter().position(|known| known.addresses.contains(&address));
        if let Some(at) = known {
            match self.create_session(at, &mut wire).await {
                // The server has restarted, or the lease has expired.
                Err(SessionError::Refused(_, Status::STALE_CLIENTID)) => {}
                other => {
                    let (client, id, limits) = other?;
                    return Ok(Session::new(wire, client, id, limits));
                }
            }
        }
        let at = self.register(&mut wire).await?;
        let (client, id, limits) = self.create_session(at, &mut wire).await?;
        Ok(Session::new(wire, client, id, limits))
    }

    /// Returns the index of the client, if no session and no fence uses it any more.
    fn unused(&self, client: &Arc<Client>) -> Option<usize> {
        let at = self.known.iter().position(|known| Arc::ptr_eq(&known.client, client));
        // One reference is in the list, the other one is the caller's.
        at.filter(|_| Arc::strong_count(client) == 2)
    }

    /// Returns whether no session and no fence uses the client any more.
    pub fn is_unused(&self, client: &Arc<Client>) -> bool {
        self.unused(client).is_some()
    }

    /// Destroys the client if it has no session any more: then the server need not keep it until the lease expires.
    pub async fn destroy_unused(&mut self, client: Arc<Client>, wire: &mut Wire) -> Result<(), RpcError> {
        if let Some(at) = self.unused(&client)
            && wire.destroy_client(client.id).await? == Status::OK
        {
            self.known.swap_remove(at);
        }
        Ok(())
    }

    /// Begins a new incarnation of the client owner. Its first session on a server ends the sessions and calls of the
    /// previous one there. Returns the servers of the previous one: an address and the minor version of each.
    pub fn new_incarnation(&mut self) -> Vec<(SocketAddr, u32)> {
        self.verifier = new_verifier();
        let known = mem::take(&mut self.known);
        known
            .into_iter()
            .filter_map(|Known { client, addresses, .. }| {
                client.replaced.set();
                self.expect_successor(&client);
                Some((*addresses.last()?, client.minor))
            })
            .collect()
    }

    /// Returns the same incarnation, without clients.
    pub fn same_incarnation(&self) -> Self {
        Self {
            owner: self.owner.clone(),
            verifier: self.verifier,
            known: Vec::new(),
            awaited: Vec::new(),
        }
    }

    /// Records that the client is gone: the next one on its server replaces it.
    fn expect_successor(&mut self, client: &Client) {
        if client.recorded.is_set() && !self.awaited.contains(&client.server) {
            self.awaited.push(client.server);
        }
    }

    /// Opens a session for this incarnation, which ends the sessions of earlier ones, and then destroys it, too.
    pub async fn shut_down(&mut self, mut wire: Wire) -> Result<(), SessionError> {
        let at = self.register(&mut wire).await?;
        let (client, id, _) = loop {
            match self.create_session(at, &mut wire).await {
                // The server still carries out a call of an earlier incarnation.
                Err(SessionError::Refused(_, status)) if status.asks_to_retry() => sleep(RETRY_PAUSE).await,
                other => break other?,
            }
        };
        wire.destroy_session(&id).await?;
        Ok(self.destroy_unused(client, &mut wire).await?)
    }

    /// Registers this process on the server (EXCHANGE_ID). Returns the index of the client.
    async fn register(&mut self, wire: &mut Wire) -> Result<usize, SessionError> {
        for _ in 0..2 {
            let registered = match wire.exchange_id(&self.owner, self.verifier).await {
                Err(SessionError::Refused(_, Status::MINOR_VERS_MISMATCH)) => {
                    wire.minor = 1;
                    wire.exchange_id(&self.owner, self.verifier).await?
                }
                other => other?,
            };
            let same = |known: &Known| known.client.id == registered.client && known.client.server == registered.server;
            match (registered.next, self.known.iter().position(same)) {
                (Some(next), _) => {
                    let awaited = self.awaited.len();
                    self.awaited.retain(|server| *server != registered.server);
                    let recorded = self.awaited.len() < awaited;
                    let client = Client::new(registered.client, registered.server, wire.minor, recorded);
                    self.known.push(Known {
                        client: Arc::new(client),
                        addresses: vec![wire.address],
                        next,
                    });
                    return Ok(self.known.len() - 1);
                }
                // This is another address of a server that knows this client.
                (None, Some(at)) => {
                    self.known[at].addresses.push(wire.address);
                    return Ok(at);
                }
                // The number of the next CREATE_SESSION is not known. A new incarnation begins with a new number.
                (None, None) => self.verifier = new_verifier(),
            }
        }
        Err(Malformed("the server confirms a client that is new").into())
    }

    async fn create_session(&mut self, at: usize, wire: &mut Wire) -> Result<Created, SessionError> {
        let known = &mut self.known[at];
        wire.minor = known.client.minor;
        match wire.create_session(known.client.id, known.next).await {
            Ok((id, limits)) => {
                known.next = known.next.wrapping_add(1);
                known.client.renew();
                Ok((known.client.clone(), id, limits))
            }
            Err(SessionError::Refused(operation, status)) => {
                match status {
                    Status::STALE_CLIENTID => {
                        let gone = self.known.swap_remove(at);
                        self.expect_successor(&gone.client);
                    }
                    // The number is not the one that the server expects.
                    Status::SEQ_MISORDERED => drop(self.new_incarnation()),
                    // The server has not used the number yet.
                    status if status.asks_to_retry() => {}
                    _ => known.next = known.next.wrapping_add(1),
                }
                Err(SessionError::Refused(operation, status))
            }
            Err(error) => Err(error),
        }
    }
}

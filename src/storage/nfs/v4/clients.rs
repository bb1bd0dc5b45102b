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

/// How soon a server is asked again that is busy with what is to be ended.
const AGAIN: Duration = Duration::from_millis(50);

/// A session that a server has made.
type Created = (Arc<Client>, SessionId, Limits);

/// The clients on the servers behind one name.
#[derive(Debug)]
pub(super) struct Clients {
    owner: String,
    /// Of this life of the owner.
    verifier: Verifier,
    known: Vec<Known>,
    /// Servers on which the latest client was recorded and is gone. A server that has restarted waits for the next one to
    /// send RECLAIM_COMPLETE.
    awaited: Vec<ServerId>,
}

/// A client, as far as only who opens sessions needs it.
#[derive(Debug)]
struct Known {
    client: Arc<Client>,
    /// The addresses of its server that were tried so far.
    addresses: Vec<SocketAddr>,
    /// The number of the next CREATE_SESSION. One that got no answer is sent again with its number: a server that has
    /// carried it out answers with the session that it made then.
    next: u32,
}

impl Clients {
    /// Nothing is sent yet.
    pub fn new(options: &NfsOptions, server: &str) -> Self {
        let NfsOptions { uid, gid, machine, .. } = options;
        Self {
            // With the user: servers let nobody else end what one user has left.
            owner: format!("bindery {machine} {uid}:{gid} {server}"),
            verifier: new_verifier(),
            known: Vec::new(),
            awaited: Vec::new(),
        }
    }

    /// Opens a session on a fresh connection, for a client that the server knows, or else for a new one.
    ///
    /// It may be dropped anywhere: the next one goes on from there.
    pub async fn open(&mut self, mut wire: Wire) -> Result<Session, SessionError> {
        let address = wire.address();
        let known = self.known.iter().position(|known| known.addresses.contains(&address));
        if let Some(at) = known {
            match self.create_session(at, &mut wire).await {
                // The server has restarted, or the lease is over.
                Err(SessionError::Refused(_, Status::STALE_CLIENTID)) => {}
                other => {
                    let (client, id, limits) = other?;
                    return Ok(Session::new(wire, client, id, limits));
                }
            }
        }
        let at = self.introduce(&mut wire).await?;
        let (client, id, limits) = self.create_session(at, &mut wire).await?;
        Ok(Session::new(wire, client, id, limits))
    }

    /// Where the client is in the list, if it has no session and no fence any more.
    fn unused(&self, client: &Arc<Client>) -> Option<usize> {
        let at = self.known.iter().position(|known| Arc::ptr_eq(&known.client, client));
        // One holder is the list, the other one the caller.
        at.filter(|_| Arc::strong_count(client) == 2)
    }

    /// Whether [`Clients::part`] has something to do.
    pub fn is_unused(&self, client: &Arc<Client>) -> bool {
        self.unused(client).is_some()
    }

    /// Destroys the client on a server on which it has no session any more: then the server need not remember it until the
    /// lease is over.
    pub async fn part(&mut self, client: Arc<Client>, wire: &mut Wire) -> Result<(), RpcError> {
        if let Some(at) = self.unused(&client)
            && wire.destroy_client(client.id()).await? == Status::OK
        {
            self.known.swap_remove(at);
        }
        Ok(())
    }

    /// Begins a new life of the owner. The first session of it that is opened on a server ends all that this one has there,
    /// whatever it is. Returns where this one was known, an address for each server, and the minor version there.
    pub fn new_incarnation(&mut self) -> Vec<(SocketAddr, u32)> {
        self.verifier = new_verifier();
        let known = mem::take(&mut self.known);
        known
            .into_iter()
            .filter_map(|Known { client, addresses, .. }| {
                client.set_replaced();
                self.expect_successor(&client);
                Some((*addresses.last()?, client.minor()))
            })
            .collect()
    }

    /// The same life of the owner, where nothing is known yet.
    pub fn same_incarnation(&self) -> Self {
        Self {
            owner: self.owner.clone(),
            verifier: self.verifier,
            known: Vec::new(),
            awaited: Vec::new(),
        }
    }

    /// The client is gone: the next one on its server takes its place.
    fn expect_successor(&mut self, client: &Client) {
        if client.recorded() && !self.awaited.contains(&client.server()) {
            self.awaited.push(client.server());
        }
    }

    /// Opens a session for a new life of the owner, which ends all earlier ones, and ends this one, too.
    pub async fn leave(&mut self, mut wire: Wire) -> Result<(), SessionError> {
        let at = self.introduce(&mut wire).await?;
        let (client, id, _) = loop {
            match self.create_session(at, &mut wire).await {
                // It still carries out a call of an earlier life.
                Err(SessionError::Refused(_, status)) if status.later() => sleep(AGAIN).await,
                other => break other?,
            }
        };
        wire.destroy_session(&id).await?;
        Ok(self.part(client, &mut wire).await?)
    }

    /// Tells the server who we are. The answer is where the client is in the list.
    async fn introduce(&mut self, wire: &mut Wire) -> Result<usize, SessionError> {
        for _ in 0..2 {
            let introduced = match wire.exchange_id(&self.owner, self.verifier).await {
                Err(SessionError::Refused(_, Status::MINOR_VERS_MISMATCH)) => {
                    wire.set_minor(1);
                    wire.exchange_id(&self.owner, self.verifier).await?
                }
                other => other?,
            };
            let same =
                |known: &Known| known.client.id() == introduced.client && known.client.server() == introduced.server;
            match (introduced.next, self.known.iter().position(same)) {
                (Some(next), _) => {
                    let awaited = self.awaited.len();
                    self.awaited.retain(|server| *server != introduced.server);
                    let recorded = self.awaited.len() < awaited;
                    let client = Client::new(introduced.client, introduced.server, wire.minor(), recorded);
                    self.known.push(Known {
                        client: Arc::new(client),
                        addresses: vec![wire.address()],
                        next,
                    });
                    return Ok(self.known.len() - 1);
                }
                // Another address of a server that knows this client.
                (None, Some(at)) => {
                    self.known[at].addresses.push(wire.address());
                    return Ok(at);
                }
                // The number of the next CREATE_SESSION is not known. A new life begins with a new number.
                (None, None) => self.verifier = new_verifier(),
            }
        }
        Err(Malformed("the server knows a client that has just been named for the first time").into())
    }

    async fn create_session(&mut self, at: usize, wire: &mut Wire) -> Result<Created, SessionError> {
        let known = &mut self.known[at];
        wire.set_minor(known.client.minor());
        match wire.create_session(known.client.id(), known.next).await {
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
                    // The number is lost.
                    Status::SEQ_MISORDERED => drop(self.new_incarnation()),
                    // The server has not looked at the number yet.
                    status if status.later() => {}
                    _ => known.next = known.next.wrapping_add(1),
                }
                Err(SessionError::Refused(operation, status))
            }
            Err(error) => Err(error),
        }
    }
}

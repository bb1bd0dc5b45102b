//! Versions 4.2 and 4.1 of NFS (RFC 7862, RFC 8881).
//!
//! The modules, from the lowest layer to the highest:
//! - [`xdr`], [`rpc`], [`attributes`], [`operation`] and [`compound`] encode and decode the protocol.
//! - [`limits`], [`wire`], [`client`], [`clients`], [`server_id`], [`session`], [`server`], [`pool`], [`fence`] and
//!   [`fences`] manage sessions, and fence off calls that got no answer.
//! - [`attempt`] sends the COMPOUNDs of a verb, some of them again. [`diagnose`] describes errors.
//! - [`calls`] and [`make`] are the calls that verbs consist of.
//! - [`probe`] asks which minor versions a server supports.
//!
//! Not implemented: callbacks, pNFS, state protection.

mod attempt;
mod attributes;
mod calls;
mod client;
mod clients;
mod compound;
mod diagnose;
mod fence;
mod fences;
#[cfg(fuzzing)]
pub mod fuzzing;
mod limits;
mod make;
mod operation;
mod pool;
pub(super) mod probe;
mod rpc;
mod server;
mod server_id;
mod session;
mod wire;
mod xdr;

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::join_all;

use self::server::Server;
use crate::storage::client::Client;

/// [`Storage`](crate::storage::Storage) on NFSv4 servers.
pub type NfsStorage = Client<Server>;

impl NfsStorage {
    /// Limits how long Bindery tries to fence off a call without an answer. Meanwhile no other call goes to that server. The
    /// default is the server's lease and a margin: after that the server does not know the session any more.
    pub fn with_longest_fence(mut self, longest: Duration) -> Self {
        self.config.longest_fence = Some(longest);
        self
    }

    /// Destroys the sessions and clients of this process on all servers, before it stops. Otherwise a server would wait for
    /// them after a restart. Takes at most 8 seconds, also if several servers do not answer.
    pub async fn shut_down(&self) {
        let servers: Vec<Arc<Server>> = self.servers().values().filter_map(Weak::upgrade).collect();
        join_all(servers.iter().map(|server| server.shut_down())).await;
    }
}

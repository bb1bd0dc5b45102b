//! Versions 4.2 and 4.1 of NFS (RFC 7862, RFC 8881).
//!
//! From the wire up: [`xdr`], [`rpc`], [`attributes`], [`operation`] and [`compound`] speak the protocol; [`limits`],
//! [`wire`], [`client`], [`clients`], [`server_id`], [`session`], [`server`], [`pool`], [`fence`] and [`fences`] keep sessions, and
//! fence off calls that got no answer; [`attempt`] sends the COMPOUNDs of a verb, some of them again, and [`diagnose`] describes what
//! went wrong; [`calls`] and [`make`] are the calls that the verbs are made of.
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
    /// Limits how long Bindery tries to fence off a call without an answer; no other call goes to that server meanwhile. If this
    /// is not set, it is the server's lease and a margin: after that the server does not know the session any more.
    pub fn with_longest_fence(mut self, longest: Duration) -> Self {
        self.config.longest_fence = Some(longest);
        self
    }

    /// Ends all that this process has on any server, for when it stops: otherwise a server would wait for it after a restart.
    /// Takes a few seconds at most, however many servers do not answer.
    pub async fn shut_down(&self) {
        let servers: Vec<Arc<Server>> = self.servers().values().filter_map(Weak::upgrade).collect();
        join_all(servers.iter().map(|server| server.shut_down())).await;
    }
}

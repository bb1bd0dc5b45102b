//! NFS without a mount: a client in user space for versions 4.2 and 4.1 (RFC 7862, RFC 8881), over TCP, with AUTH_SYS.
//!
//! From the wire up: [`xdr`], [`rpc`], [`attributes`], [`operation`] and [`compound`] speak the protocol; [`limits`],
//! [`wire`], [`client`], [`server_id`], [`session`], [`loan`], [`fence`] and [`server`] keep connections, and fence off calls
//! that got no answer; [`attempt`] sends what a verb has to send, as often as it may, and [`diagnose`] says what went wrong; [`walk`],
//! [`make`], [`moves`], [`list`] and [`tree`] are the verbs. How a verb is run is [`crate::storage::nfs::attempt`]'s.
//!
//! Left out: reading and writing files, locks, delegations, referrals, Kerberos.

#![allow(
    clippy::doc_markdown,
    reason = "names of the protocol, AUTH_SYS and NOT_SAME, read better plain"
)]

mod attempt;
mod attributes;
mod client;
mod clients;
mod compound;
mod diagnose;
mod fence;
#[cfg(fuzzing)]
pub mod fuzzing;
mod limits;
mod list;
mod make;
mod operation;
mod pool;
mod remove_tree;
mod rename;
mod rpc;
mod server;
mod server_id;
mod session;
mod walk;
mod wire;
mod xdr;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::join_all;
use tokio::time::Instant;

use self::attempt::Attempt;
use self::make::EarlierRounds;
use self::rpc::Credentials;
use self::server::{ClientConfig, Server};
use self::server_id::ServerId;
use self::walk::Walk;
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share};
use crate::model::identity::Identity;
use crate::model::share_id::{ShareId, View};
use crate::storage::messages::Action;
use crate::storage::{Existing, Found, Made, Moved, Removed, Storage, StorageError, Tree};

/// How much of its time a tree removal leaves unused at most, so that the last call is answered before the deadline.
const LONGEST_MARGIN: Duration = Duration::from_millis(500);

/// Who the servers are told that Bindery is, and how it reaches them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NfsOptions {
    /// The user that directories are made as. Only root (0) can give them to another owner.
    pub uid: u32,
    /// That user's group.
    pub gid: u32,
    /// The name of this replica, say its pod's: servers know it by this name and log it. Cut to 255 bytes.
    ///
    /// After a restart under the same name, the first session on a server ends all that the earlier process has left there,
    /// also calls that are still on their way. So no two processes that live at the same time may have one name: they would
    /// end each other's sessions.
    pub machine: String,
    /// Whether to come from a source port below 1024 where the system allows it. Most exports want that.
    pub privileged_port: bool,
}

/// [`Storage`] on NFS servers: whichever a share names, each with connections of its own.
///
/// Nothing is sent before the first verb. A verb may be dropped at any time; that is like a crash at that point, but
/// for the fence: a call under way is prevented from taking effect after the next verb on that server began.
#[derive(Debug)]
pub struct NfsStorage {
    config: ClientConfig,
    /// By name. Gone when nobody needs it.
    servers: Mutex<HashMap<String, Weak<Server>>>,
}

impl NfsStorage {
    /// A client without connections.
    pub fn new(options: NfsOptions) -> Self {
        let mut machine = options.machine;
        machine.truncate(machine.floor_char_boundary(255));
        Self {
            config: ClientConfig {
                credentials: Arc::new(Credentials {
                    uid: options.uid,
                    gid: options.gid,
                    machine,
                }),
                privileged_port: options.privileged_port,
                longest_fence: None,
            },
            servers: Mutex::default(),
        }
    }

    /// How long a call without an answer is tried to be fenced off at most, while no other goes to that server. It is the
    /// server's lease and a margin if this is not set: then the server cannot know the session any more.
    pub fn with_longest_fence(mut self, longest: Duration) -> Self {
        self.config.longest_fence = Some(longest);
        self
    }

    /// Ends all that this process has on any server, for when it stops: a server must not wait for it after a restart. Takes
    /// a few seconds at most, however many servers are silent.
    pub async fn leave(&self) {
        let servers: Vec<_> = self.servers().values().filter_map(Weak::upgrade).collect();
        join_all(servers.iter().map(|server| server.leave())).await;
    }

    fn server(&self, name: &str) -> Arc<Server> {
        let mut servers = self.servers();
        if let Some(server) = servers.get(name).and_then(Weak::upgrade) {
            return server;
        }
        servers.retain(|_, server| server.strong_count() > 0);
        let server = Server::new(name, self.config.clone());
        servers.insert(name.to_owned(), Arc::downgrade(&server));
        server
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<String, Weak<Server>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Storage for NfsStorage {
    async fn look_up(
        &self,
        share: &Share,
        directory: &Directory,
        deadline: Instant,
    ) -> Result<Option<Found>, StorageError> {
        let server = self.server(share.server());
        let attempt = Attempt::new(&server, share, format!("look up directory {directory}"), deadline);
        let (parents, last) = directory.split_last();
        let once = || async {
            let Walk::Found(parent) = attempt.walk(&parents).await? else {
                return Ok(None);
            };
            let Some(spot) = attempt.look(&parent.handle, last.as_bytes()).await? else {
                return Ok(None);
            };
            attempt.directory(&spot, Action::Segment(last))?;
            Ok(Some(spot.file.found()))
        };
        attempt.run(|| once().boxed()).await
    }

    async fn identify(&self, share: &Share, deadline: Instant) -> Result<ShareId, StorageError> {
        let server = self.server(share.server());
        let attempt = Attempt::new(&server, share, "look at the share".to_owned(), deadline);
        let once = || async {
            let root = attempt.walk(&[]).await?.must_exist()?;
            Ok(ShareId {
                view: View::V4,
                root: root.file.found().identity,
                server: server.id().map(ServerId::hash),
            })
        };
        attempt.run(|| once().boxed()).await
    }

    async fn above(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Found, StorageError> {
        let server = self.server(share.server());
        let attempt = Attempt::new(&server, share, format!("look above directory {directory}"), deadline);
        let (parents, _) = directory.split_last();
        let once = || async {
            let mut segments = &parents[..];
            loop {
                match attempt.walk(segments).await? {
                    Walk::Found(spot) => return Ok(spot.file.found()),
                    // At least one fewer each time; of the share, a walk never says that it is missing.
                    Walk::Missing(at) => segments = &segments[..at],
                }
            }
        };
        attempt.run(|| once().boxed()).await
    }

    async fn make(
        &self,
        share: &Share,
        directory: &Directory,
        attributes: Attributes,
        existing: Existing,
        deadline: Instant,
    ) -> Result<Made, StorageError> {
        let server = self.server(share.server());
        let attempt = Attempt::new(&server, share, format!("make directory {directory}"), deadline);
        let earlier = EarlierRounds::default();
        attempt
            .run(|| attempt.make(directory, attributes, existing, &earlier).boxed())
            .await
    }

    async fn rename(
        &self,
        share: &Share,
        from: &Directory,
        expected: Identity,
        to: &Directory,
        deadline: Instant,
    ) -> Result<Moved, StorageError> {
        let server = self.server(share.server());
        let attempt = Attempt::new(&server, share, format!("move directory {from} to {to}"), deadline);
        attempt.run(|| attempt.rename(from, expected, to).boxed()).await
    }

    async fn remove_empty(
        &self,
        share: &Share,
        directory: &Directory,
        expected: Identity,
        deadline: Instant,
    ) -> Result<Removed, StorageError> {
        let server = self.server(share.server());
        let attempt = Attempt::new(
            &server,
            share,
            format!("remove the empty directory {directory}"),
            deadline,
        );
        attempt.run(|| attempt.remove_empty(directory, expected).boxed()).await
    }

    async fn remove_tree(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Tree, StorageError> {
        let server = self.server(share.server());
        let attempt = Attempt::new(
            &server,
            share,
            format!("remove directory {directory} with all in it"),
            deadline,
        );
        let margin = deadline.saturating_duration_since(Instant::now()) / 4;
        let until = deadline.checked_sub(margin.min(LONGEST_MARGIN)).unwrap_or(deadline);
        attempt.run(|| attempt.remove_tree(directory, until).boxed()).await
    }

    async fn list(
        &self,
        share: &Share,
        directory: Option<&Directory>,
        deadline: Instant,
    ) -> Result<Vec<String>, StorageError> {
        let server = self.server(share.server());
        let what = directory.map_or_else(
            || "list the share".to_owned(),
            |directory| format!("list directory {directory}"),
        );
        let attempt = Attempt::new(&server, share, what, deadline);
        attempt.run(|| attempt.list(directory).boxed()).await
    }
}

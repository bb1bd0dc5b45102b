//! NFS without a mount: clients in user space for versions 4.2, 4.1 and 3, over TCP, with AUTH_SYS.
//!
//! - [`v4`] and [`v3`] speak the protocols: connections, sessions, and the calls in [`verbs::protocol`].
//! - [`verbs`] makes each verb of [`Storage`] of such calls, the same way for both versions.
//! - [`attempt`] runs a verb: deadline, retries, and what is known of it when it fails.
//! - [`connect`], [`record`] and [`idle`] are about connections; [`no_answer`] describes why there is none.
//!
//! Not implemented: reading and writing files, locks, delegations, referrals, Kerberos, UDP.

#![allow(
    clippy::doc_markdown,
    reason = "names of the protocol, AUTH_SYS and NOT_SAME, read better plain"
)]
#![allow(
    private_bounds,
    private_interfaces,
    reason = "the versions are chosen in here; NfsStorage and Nfs3Storage are all that others need"
)]

mod attempt;
mod connect;
mod idle;
mod no_answer;
mod options;
mod record;
mod v3;
mod v4;
mod verbs;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use tokio::time::Instant;

use self::attempt::Attempt;
use self::options::ClientConfig;
pub use self::options::NfsOptions;
pub use self::v3::Nfs3Storage;
pub use self::v4::NfsStorage;
#[cfg(fuzzing)]
pub use self::v4::fuzzing;
use self::verbs::EarlierRounds;
use self::verbs::protocol::Protocol;
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share};
use crate::model::identity::Identity;
use crate::model::share_id::ShareId;
use crate::storage::{Existing, Found, Made, Moved, Removed, Storage, StorageError, Tree};

/// The removal of a tree leaves at most this much of its time unused, so that the last call is answered before the deadline.
const LONGEST_MARGIN: Duration = Duration::from_millis(500);

/// [`Storage`] on all servers of one version of NFS, each with connections of its own.
///
/// Nothing is sent before the first verb. A verb may be dropped at any time; that is like a crash at that point. In version 4
/// a call that has no answer then takes no effect once the next verb on that server has begun.
#[derive(Debug)]
pub struct NfsClient<P: Protocol> {
    config: ClientConfig,
    /// By [`Protocol::key`]. Each is dropped when no verb and no task uses it.
    servers: Mutex<HashMap<String, Weak<P>>>,
}

impl<P: Protocol> NfsClient<P> {
    /// Creates a client without connections.
    pub fn new(options: NfsOptions) -> Self {
        Self {
            config: ClientConfig::new(options),
            servers: Mutex::default(),
        }
    }

    fn server(&self, share: &Share) -> Arc<P> {
        let mut servers = self.servers();
        let key = P::key(share);
        if let Some(server) = servers.get(&key).and_then(Weak::upgrade) {
            return server;
        }
        servers.retain(|_, server| server.strong_count() > 0);
        let server = P::start(share, &self.config);
        servers.insert(key, Arc::downgrade(&server));
        server
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<String, Weak<P>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<P: Protocol> Storage for NfsClient<P> {
    async fn look_up(
        &self,
        share: &Share,
        directory: &Directory,
        deadline: Instant,
    ) -> Result<Option<Found>, StorageError> {
        let server = self.server(share);
        let attempt = Attempt::new(&server, share, format!("look up directory {directory}"), deadline);
        attempt.run(|| attempt.look_up(directory).boxed()).await
    }

    async fn identify(&self, share: &Share, deadline: Instant) -> Result<ShareId, StorageError> {
        let server = self.server(share);
        let attempt = Attempt::new(&server, share, "look at the share".to_owned(), deadline);
        attempt.run(|| attempt.identify().boxed()).await
    }

    async fn above(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Found, StorageError> {
        let server = self.server(share);
        let attempt = Attempt::new(&server, share, format!("look above directory {directory}"), deadline);
        attempt.run(|| attempt.above(directory).boxed()).await
    }

    async fn make(
        &self,
        share: &Share,
        directory: &Directory,
        attributes: Attributes,
        existing: Existing,
        deadline: Instant,
    ) -> Result<Made, StorageError> {
        let server = self.server(share);
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
        let server = self.server(share);
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
        let server = self.server(share);
        let what = format!("remove the empty directory {directory}");
        let attempt = Attempt::new(&server, share, what, deadline);
        attempt.run(|| attempt.remove_empty(directory, expected).boxed()).await
    }

    async fn remove_tree(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Tree, StorageError> {
        let server = self.server(share);
        let what = format!("remove directory {directory} with all in it");
        let attempt = Attempt::new(&server, share, what, deadline);
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
        let server = self.server(share);
        let what = directory.map_or_else(
            || "list the share".to_owned(),
            |directory| format!("list directory {directory}"),
        );
        let attempt = Attempt::new(&server, share, what, deadline);
        attempt.run(|| attempt.list(directory).boxed()).await
    }
}

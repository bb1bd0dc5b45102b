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
use self::verbs::protocol::Protocol;
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share};
use crate::model::identity::Identity;
use crate::model::share_id::ShareId;
use crate::storage::{Existing, Found, Made, Moved, Removed, Storage, StorageError, Tree};

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

/// Implements [`Storage`]. Each verb is followed by what it does, to follow the word "cannot".
macro_rules! verbs {
    ($($verb:ident($($argument:ident: $type:ty),*) -> $result:ty, $what:expr;)*) => {
        #[async_trait]
        impl<P: Protocol> Storage for NfsClient<P> {
            $(async fn $verb(
                &self,
                share: &Share,
                $($argument: $type,)*
                deadline: Instant,
            ) -> Result<$result, StorageError> {
                let server = self.server(share);
                let attempt = Attempt::new(&server, share, $what, deadline);
                attempt.run(|| attempt.$verb($($argument),*).boxed()).await
            })*
        }
    };
}

verbs! {
    look_up(directory: &Directory) -> Option<Found>, format!("look up directory {directory}");
    identify() -> ShareId, "look at the share".to_owned();
    above(directory: &Directory) -> Found, format!("look above directory {directory}");
    make(directory: &Directory, attributes: Attributes, existing: Existing) -> Made, format!("make directory {directory}");
    rename(from: &Directory, expected: Identity, to: &Directory) -> Moved, format!("move directory {from} to {to}");
    remove_empty(directory: &Directory, expected: Identity) -> Removed, format!("remove the empty directory {directory}");
    remove_tree(directory: &Directory) -> Tree, format!("remove directory {directory} with all in it");
    list(directory: Option<&Directory>) -> Vec<String>, match directory {
        Some(directory) => format!("list directory {directory}"),
        None => "list the share".to_owned(),
    };
}

//! A [`Storage`] that runs the verbs with the calls of one kind of storage.

#![allow(
    private_bounds,
    private_interfaces,
    reason = "other modules need only the type alias of each kind"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use futures::FutureExt;
use tokio::time::Instant;

use super::attempt::Attempt;
use super::verbs::protocol::Protocol;
use super::{
    Existing, ExistingLimit, Found, Made, Measured, Measurement, Moved, Pace, Removed, Space, Storage, StorageError,
    Tree,
};
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share};
use crate::model::endpoint::Endpoint;
use crate::model::identity::Identity;
use crate::model::share_id::ShareId;

/// [`Storage`] on all servers of one kind, each with connections of its own.
///
/// Nothing is sent before the first verb. A verb may be dropped at any time; that is like a crash at that point. In NFSv4 a
/// call that has no answer at that time has no effect after the next verb on that server has begun.
#[derive(Debug)]
pub struct Client<P: Protocol> {
    pub(super) config: P::Config,
    /// The servers by [`Protocol::key`]. Each is dropped when no verb and no task uses it.
    servers: Mutex<HashMap<String, Weak<P>>>,
}

impl<P: Protocol> Client<P> {
    /// Creates a client without connections.
    pub fn new(config: impl Into<P::Config>) -> Self {
        Self {
            config: config.into(),
            servers: Mutex::default(),
        }
    }

    pub(super) fn server(&self, share: &Share) -> Arc<P> {
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

    pub(super) fn servers(&self) -> MutexGuard<'_, HashMap<String, Weak<P>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Implements [`Storage`]. The text of each verb follows the word "cannot" in error messages.
macro_rules! verbs {
    ($($verb:ident($($argument:ident: $type:ty),*) -> $result:ty, $what:expr;)*) => {
        #[async_trait]
        impl<P: Protocol> Storage for Client<P> {
            fn endpoint(&self, share: &Share) -> Endpoint {
                P::endpoint(share)
            }

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
    identify() -> ShareId, "identify the share".to_owned();
    above(directory: &Directory) -> Found, format!("find a directory above {directory}");
    make(directory: &Directory, attributes: Attributes, existing: Existing) -> Made, format!("make directory {directory}");
    rename(from: &Directory, expected: Identity, to: &Directory) -> Moved, format!("move directory {from} to {to}");
    set_attributes(directory: &Directory, expected: Identity, attributes: Attributes) -> Option<Found>,
        format!("set the attributes of directory {directory}");
    remove_empty(directory: &Directory, expected: Identity) -> Removed, format!("remove the empty directory {directory}");
    remove_tree(directory: &Directory) -> Tree, format!("remove directory {directory} with all in it");
    list(directory: Option<&Directory>) -> Vec<String>, match directory {
        Some(directory) => format!("list directory {directory}"),
        None => "list the share".to_owned(),
    };
    space(directory: Option<&Directory>) -> Option<Space>, match directory {
        Some(directory) => format!("read the free space of directory {directory}"),
        None => "read the free space".to_owned(),
    };
    limit_size(directory: &Directory, expected: Identity, bytes: u64, existing: ExistingLimit) -> (),
        format!("limit the size of directory {directory}");
    measure(directory: &Directory, expected: Identity, measurement: &Measurement, pace: &dyn Pace) -> Measured,
        format!("measure directory {directory}");
}

//! Which servers are down, and an announcement when one answers again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, stream};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::model::endpoint::Endpoint;
use crate::ops::metrics::Metrics;

/// How many announcements a listener may be behind. Beyond that it is told that any server may answer again.
const MAX_BEHIND: usize = 64;

/// See the module. Clones are about the same servers.
#[derive(Clone)]
pub struct Outages {
    down: Arc<Mutex<BTreeSet<Endpoint>>>,
    announcements: broadcast::Sender<Endpoint>,
    metrics: Arc<Metrics>,
}

/// A server answers again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// This one.
    One(Endpoint),
    /// Perhaps any: there were too many announcements to keep them.
    Any,
}

impl Recovery {
    /// Whether it may be the server of this name.
    pub fn may_concern(&self, server: &str) -> bool {
        match self {
            Self::One(endpoint) => endpoint.server() == server,
            Self::Any => true,
        }
    }
}

impl Outages {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            down: Arc::default(),
            announcements: broadcast::Sender::new(MAX_BEHIND),
            metrics,
        }
    }

    /// Whether a server of this name is down, at any endpoint. The end is announced to those that listen already.
    pub fn has(&self, server: &str) -> bool {
        self.down().iter().any(|endpoint| endpoint.server() == server)
    }

    /// Announces each server that answers again, from now on. Never ends.
    pub fn recoveries(&self) -> impl Stream<Item = Recovery> + Send + use<> {
        stream::unfold(self.announcements.subscribe(), async |mut announcements| {
            let back = match announcements.recv().await {
                Ok(endpoint) => Recovery::One(endpoint),
                Err(RecvError::Lagged(_)) => Recovery::Any,
                Err(RecvError::Closed) => return None,
            };
            Some((back, announcements))
        })
    }

    pub(super) fn begin(&self, endpoint: &Endpoint) {
        self.down().insert(endpoint.clone());
        self.metrics.server_down(endpoint, true);
    }

    pub(super) fn end(&self, endpoint: &Endpoint) {
        self.forget(endpoint);
        // Nobody listens on a replica that does not lead.
        let _ = self.announcements.send(endpoint.clone());
    }

    pub(super) fn forget(&self, endpoint: &Endpoint) {
        self.down().remove(endpoint);
        self.metrics.server_down(endpoint, false);
    }

    fn down(&self) -> MutexGuard<'_, BTreeSet<Endpoint>> {
        // The set is whole after each statement, also where a thread panicked.
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

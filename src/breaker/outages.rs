//! Which servers are down, for everybody who would wait for one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, stream};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::model::endpoint::Endpoint;
use crate::ops::metrics::Metrics;

/// Words that a listener may be behind. Beyond that it is told that any server may be back.
const BEHIND: usize = 64;

/// See the module. Clones speak of the same servers.
#[derive(Clone)]
pub struct Outages {
    down: Arc<Mutex<BTreeSet<Endpoint>>>,
    back: broadcast::Sender<Endpoint>,
    metrics: Arc<Metrics>,
}

/// What answers again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Back {
    /// The server on this way.
    One(Endpoint),
    /// Any may do: there were too many words to keep them.
    Any,
}

impl Back {
    /// Whether this server may answer again.
    pub fn may_be(&self, server: &str) -> bool {
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
            back: broadcast::Sender::new(BEHIND),
            metrics,
        }
    }

    /// Whether a server of this name is down, on any way. Whoever is told so and listens already will hear of its end.
    pub fn has(&self, server: &str) -> bool {
        self.down().iter().any(|endpoint| endpoint.server() == server)
    }

    /// A word for each server that answers again, from now on. Ends never.
    pub fn back(&self) -> impl Stream<Item = Back> + Send + use<> {
        stream::unfold(self.back.subscribe(), async |mut words| {
            let word = match words.recv().await {
                Ok(endpoint) => Back::One(endpoint),
                Err(RecvError::Lagged(_)) => Back::Any,
                Err(RecvError::Closed) => return None,
            };
            Some((word, words))
        })
    }

    pub(super) fn begin(&self, endpoint: &Endpoint) {
        self.down().insert(endpoint.clone());
        self.metrics.server_down(endpoint, true);
    }

    pub(super) fn end(&self, endpoint: &Endpoint) {
        self.forget(endpoint);
        // Nobody listens on a replica that does not lead.
        let _ = self.back.send(endpoint.clone());
    }

    pub(super) fn forget(&self, endpoint: &Endpoint) {
        self.down().remove(endpoint);
        self.metrics.server_down(endpoint, false);
    }

    fn down(&self) -> MutexGuard<'_, BTreeSet<Endpoint>> {
        // A set of names has no half-changed state that a panic elsewhere could have left.
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

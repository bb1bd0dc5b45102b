//! Which servers are down, for everybody who would wait for one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, stream};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::ops::metrics::Metrics;
use crate::storage::Way;

/// Words that a listener may be behind. Beyond that it is told that any server may be back.
const BEHIND: usize = 64;

/// See the module. Clones speak of the same servers.
#[derive(Clone)]
pub struct Outages {
    down: Arc<Mutex<BTreeSet<Way>>>,
    back: broadcast::Sender<Way>,
    metrics: Arc<Metrics>,
}

/// What answers again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Back {
    /// The server on this way.
    One(Way),
    /// Any may do: there were too many words to keep them.
    Any,
}

impl Back {
    /// Whether this server may answer again.
    pub fn may_be(&self, server: &str) -> bool {
        match self {
            Self::One(way) => way.server() == server,
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
        self.down().iter().any(|way| way.server() == server)
    }

    /// A word for each server that answers again, from now on. Ends never.
    pub fn back(&self) -> impl Stream<Item = Back> + Send + use<> {
        stream::unfold(self.back.subscribe(), async |mut words| {
            let word = match words.recv().await {
                Ok(way) => Back::One(way),
                Err(RecvError::Lagged(_)) => Back::Any,
                Err(RecvError::Closed) => return None,
            };
            Some((word, words))
        })
    }

    pub(super) fn begin(&self, way: &Way) {
        self.down().insert(way.clone());
        self.metrics.server_down(way, true);
    }

    pub(super) fn end(&self, way: &Way) {
        self.forget(way);
        // Nobody listens on a replica that does not lead.
        let _ = self.back.send(way.clone());
    }

    pub(super) fn forget(&self, way: &Way) {
        self.down().remove(way);
        self.metrics.server_down(way, false);
    }

    fn down(&self) -> MutexGuard<'_, BTreeSet<Way>> {
        // A set of names has no half-changed state that a panic elsewhere could have left.
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

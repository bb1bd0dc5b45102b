//! Outages: which servers are down, and announcements of servers that answer again.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{Stream, stream};
use jiff::Timestamp;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;

use crate::model::directory::Share;
use crate::model::endpoint::Endpoint;
use crate::ops::metrics::Metrics;

/// How many announcements a listener may be behind. If it is further behind, it receives [`Recovery::Any`].
const MAX_BEHIND: usize = 64;

/// The servers that are down. Clones share the same state.
#[derive(Clone)]
pub struct Outages {
    /// Each server that is down, and since when.
    down: watch::Sender<BTreeMap<Endpoint, Timestamp>>,
    announcements: broadcast::Sender<Endpoint>,
    metrics: Arc<Metrics>,
}

/// The announcement that a server answers again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// This server answers again.
    One(Endpoint),
    /// Any server may answer again: announcements were lost because there were too many.
    Any,
}

impl Recovery {
    /// Returns whether it may be about the server of this name.
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
            down: watch::Sender::default(),
            announcements: broadcast::Sender::new(MAX_BEHIND),
            metrics,
        }
    }

    /// Returns whether a server of this name is down, at any endpoint. Subscribe to [`Outages::recoveries`] first, so that
    /// its recovery is not missed.
    pub fn has(&self, server: &str) -> bool {
        self.down.borrow().keys().any(|endpoint| endpoint.server() == server)
    }

    /// Returns since when the server of a share has not answered; `None` if it is not down.
    pub fn since(&self, share: &Share) -> Option<Timestamp> {
        let down = self.down.borrow();
        let endpoints = [Endpoint::nfs(share), Endpoint::mount(share)];
        endpoints
            .iter()
            .filter_map(|endpoint| down.get(endpoint))
            .min()
            .copied()
    }

    /// Returns a receiver that notices each change of which servers are down.
    pub fn changes(&self) -> watch::Receiver<BTreeMap<Endpoint, Timestamp>> {
        self.down.subscribe()
    }

    /// Returns an announcement for each server that answers again from now on. Never ends.
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

    pub(super) fn begin(&self, endpoint: &Endpoint, since: Timestamp) {
        self.down.send_modify(|down| {
            down.insert(endpoint.clone(), since);
        });
        self.metrics.server_down(endpoint, true);
    }

    pub(super) fn end(&self, endpoint: &Endpoint) {
        self.forget(endpoint);
        // On a replica that does not lead nobody listens, which is an error here.
        let _ = self.announcements.send(endpoint.clone());
    }

    pub(super) fn forget(&self, endpoint: &Endpoint) {
        self.down.send_if_modified(|down| down.remove(endpoint).is_some());
        self.metrics.server_down(endpoint, false);
    }
}

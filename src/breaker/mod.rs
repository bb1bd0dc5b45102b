//! A server that hangs or is away holds up only those who need it, and them not for long.
//!
//! [`Guarded`] stands before every other [`Storage`]. For each [`Endpoint`] to a server it allows so many calls at the same
//! time, and knows whether the server answers:
//!
//! - A call that found nobody ([`StorageError::unanswered`]) raises a doubt, and calls go on as before. It
//!   proves nothing by itself: its deadline was its caller's, maybe what an API server had left of a review, and its
//!   work may have been one huge directory. So a doubt is settled by a probe, which is sent at once: a cheap call whose
//!   deadline is always the same.
//! - A probe without an answer: the server is down. Calls are not sent but fail at once, with [`Outcome::NotDone`]
//!   and a sentence that says so; the probe is repeated. Calls that are under way go on to their own ends: what
//!   they change must be known or fenced.
//! - Any answer, a refusal too, to the probe or to a call that was under way: the server is up, and [`Outages`] tells who
//!   waits for it.
//!
//! A server that answers with an error of its own, or asks to come back later, is up: each call finds out for itself whether
//! that has passed. Nothing is kept of a server that nobody asks.

#[cfg(test)]
mod fake;
mod outages;
mod probe;
mod server;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::time::Instant;

pub use self::outages::{Back, Outages};
use self::server::Server;
use crate::model::directory::Share;
use crate::model::endpoint::Endpoint;
use crate::ops::metrics::Metrics;
use crate::ops::tasks::Tasks;
use crate::storage::{Forward, Storage, StorageError};

/// See the module.
#[derive(Clone)]
pub struct Guarded {
    inner: Arc<dyn Storage>,
    /// Each is gone when no call and no probe holds it.
    servers: Arc<Mutex<HashMap<Endpoint, Weak<Server>>>>,
    outages: Outages,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

impl Guarded {
    /// Stands before `inner`. Probes end with the word to stop of `tasks`.
    pub fn new(inner: Arc<dyn Storage>, metrics: Arc<Metrics>, tasks: Tasks) -> Self {
        Self {
            inner,
            servers: Arc::default(),
            outages: Outages::new(Arc::clone(&metrics)),
            metrics,
            tasks,
        }
    }

    /// Which servers are down, and the word when one is back.
    pub fn outages(&self) -> Outages {
        self.outages.clone()
    }

    fn server(&self, share: &Share) -> Arc<Server> {
        let endpoint = self.inner.endpoint(share);
        // A map of weak references has no half-changed state that a panic elsewhere could have left.
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = servers.get(&endpoint).and_then(Weak::upgrade) {
            return server;
        }
        servers.retain(|_, server| server.strong_count() > 0);
        let server = Arc::new(Server::new(endpoint.clone(), self.outages.clone()));
        servers.insert(endpoint, Arc::downgrade(&server));
        server
    }

    fn doubt(&self, server: &Arc<Server>, share: &Share) {
        if let Some(settled) = server.doubt() {
            let probe = probe::run(Arc::clone(&self.inner), Arc::clone(server), share.clone());
            self.tasks.spawn_until_stop(async move {
                settled.run_until_cancelled(probe).await;
            });
        }
    }
}

impl Forward for Guarded {
    fn inner(&self, _: &Share) -> &dyn Storage {
        &*self.inner
    }

    async fn forward<T: Send>(
        &self,
        share: &Share,
        deadline: Instant,
        call: impl Future<Output = Result<T, StorageError>> + Send,
        answered: fn(&T) -> bool,
    ) -> Result<T, StorageError> {
        let server = self.server(share);
        let _place = match server.enter(share, deadline).await {
            Ok(place) => place,
            Err(not_sent) => {
                self.metrics.not_sent(not_sent.why());
                return Err(not_sent.error(&server, share));
            }
        };
        let result = call.await;
        match &result {
            Ok(done) if !answered(done) => {}
            Err(error) if error.unanswered() => self.doubt(&server, share),
            Ok(_) | Err(_) => server.answered(),
        }
        result
    }
}

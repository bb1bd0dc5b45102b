//! A circuit breaker for NFS servers: a server that does not answer holds up only those who need it, and not for long.
//!
//! [`Breaker`] passes calls on to another [`Storage`]. For each [`Endpoint`] it limits how many calls are under way, and knows
//! whether the server answers:
//!
//! - A call without an answer ([`StorageError::unanswered`]) starts a probe; other calls are still sent. Such a call
//!   proves nothing by itself: its deadline was its caller's, perhaps what an API server had left of a review, and its work
//!   may have been one huge directory. The probe is a cheap call whose deadline is always the same.
//! - If the probe gets no answer, the server is down. Calls are not sent but fail at once, with [`Outcome::NotDone`] and a
//!   message that says so; the probe is repeated. Calls that are under way are not interrupted: what they change must be
//!   known or fenced off.
//! - Any answer to the probe or to a call under way, also a refusal, means that the server is up, and [`Outages`] tells those
//!   that wait for it.
//!
//! A server that answers with an error of its own, or asks to try again later, is up: each call finds out for itself whether
//! that has passed. A server that no call needs is forgotten.
//!
//! [`Outcome::NotDone`]: crate::storage::Outcome::NotDone

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

pub use self::outages::{Outages, Recovery};
use self::server::Server;
use crate::model::directory::Share;
use crate::model::endpoint::Endpoint;
use crate::ops::metrics::Metrics;
use crate::ops::tasks::Tasks;
use crate::storage::{Forward, Storage, StorageError};

/// See the module.
#[derive(Clone)]
pub struct Breaker {
    inner: Arc<dyn Storage>,
    /// Each is dropped when no call and no probe uses it.
    servers: Arc<Mutex<HashMap<Endpoint, Weak<Server>>>>,
    outages: Outages,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

impl Breaker {
    /// Creates a breaker for `inner`. Its probes end when `tasks` are told to stop.
    pub fn new(inner: Arc<dyn Storage>, metrics: Arc<Metrics>, tasks: Tasks) -> Self {
        Self {
            inner,
            servers: Arc::default(),
            outages: Outages::new(Arc::clone(&metrics)),
            metrics,
            tasks,
        }
    }

    /// Returns which servers are down, and what announces that one answers again.
    pub fn outages(&self) -> Outages {
        self.outages.clone()
    }

    fn server(&self, share: &Share) -> Arc<Server> {
        let endpoint = self.inner.endpoint(share);
        // The map is whole after each statement, also where a thread panicked.
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = servers.get(&endpoint).and_then(Weak::upgrade) {
            return server;
        }
        servers.retain(|_, server| server.strong_count() > 0);
        let server = Arc::new(Server::new(endpoint.clone(), self.outages.clone()));
        servers.insert(endpoint, Arc::downgrade(&server));
        server
    }

    fn probe(&self, server: &Arc<Server>, share: &Share) {
        if let Some(answered) = server.begin_probing() {
            let probe = probe::run(Arc::clone(&self.inner), Arc::clone(server), share.clone());
            self.tasks.spawn_until_stop(async move {
                answered.run_until_cancelled(probe).await;
            });
        }
    }
}

impl Forward for Breaker {
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
        let _permit = match server.acquire(share, deadline).await {
            Ok(permit) => permit,
            Err(not_sent) => {
                self.metrics.not_sent(not_sent.why());
                return Err(not_sent.error(&server, share));
            }
        };
        let result = call.await;
        match &result {
            Ok(done) if !answered(done) => {}
            Err(error) if error.unanswered() => self.probe(&server, share),
            Ok(_) | Err(_) => server.answered(),
        }
        result
    }
}

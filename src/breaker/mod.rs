//! A circuit breaker for NFS servers: a server that does not answer delays only the calls that need it, and only briefly.
//!
//! [`Breaker`] forwards calls to another [`Storage`]. For each [`Endpoint`] it limits how many calls are in progress, and
//! keeps track of whether the server answers:
//!
//! - A call without an answer ([`StorageError::unanswered`]) starts a probe. Other calls are still sent. Such a call is no
//!   proof of an outage: its caller chose the deadline, perhaps the rest of an API server's timeout for a review, or its
//!   work was one huge directory. The probe is a cheap call whose timeout is always the same.
//! - If the probe gets no answer, the server is down. Calls are not sent but fail at once, with [`Outcome::NotDone`] and a
//!   message that says so. The probe is repeated. Calls in progress are not interrupted, because their result must be known
//!   or they must be fenced off.
//! - Any answer to the probe or to a call in progress, also a refusal, means that the server is up. [`Outages`] announces
//!   that to those that wait for it.
//!
//! A server that answers with an internal error, or asks to try again later, is up: each call finds out for itself whether
//! that is over. A server that no call needs is forgotten.
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

/// A storage that forwards calls to servers that answer. Clones share the same state.
#[derive(Clone)]
pub struct Breaker {
    inner: Arc<dyn Storage>,
    /// The servers. Each is dropped when no call and no probe uses it.
    servers: Arc<Mutex<HashMap<Endpoint, Weak<Server>>>>,
    outages: Outages,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

impl Breaker {
    /// Creates a breaker for `inner`. Its probes end when `tasks` stop.
    pub fn new(inner: Arc<dyn Storage>, metrics: Arc<Metrics>, tasks: Tasks) -> Self {
        Self {
            inner,
            servers: Arc::default(),
            outages: Outages::new(Arc::clone(&metrics)),
            metrics,
            tasks,
        }
    }

    /// Returns the outages: which servers are down, and announcements of servers that answer again.
    pub fn outages(&self) -> Outages {
        self.outages.clone()
    }

    fn server(&self, share: &Share) -> Arc<Server> {
        let endpoint = self.inner.endpoint(share);
        // The map is consistent after each statement, also if a thread panicked.
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

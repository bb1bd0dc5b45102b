//! Probes a server until it answers, or until no call has needed it for some minutes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::server::Server;
use crate::model::directory::{Directory, Share};
use crate::storage::Storage;

/// The timeout of a probe. A review makes two calls one after the other, usually within 5 s, so a slower server is of no
/// use.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The pause between two probes.
const PAUSE: Duration = Duration::from_secs(1);
/// The time without a call after which a server is forgotten. Longer than the pause between two attempts of any caller.
pub(super) const FORGET_AFTER: Duration = Duration::from_mins(3);

/// Probes until the server has answered. The caller drops the future when the server has answered another call.
pub(super) async fn run(storage: Arc<dyn Storage>, server: Arc<Server>, share: Share) {
    while server.idle() < FORGET_AFTER {
        let deadline = Instant::now() + TIMEOUT;
        match storage.above(&share, &Directory::trash(), deadline).await {
            Err(error) if error.unanswered() => server.probe_failed(error.fault, error.cause),
            Ok(_) | Err(_) => return server.answered(),
        }
        sleep(PAUSE).await;
    }
    server.forget();
}

//! Probes a server until it answers, or until no call has needed it for some minutes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::server::Server;
use crate::model::directory::{Directory, Share};
use crate::storage::Storage;

/// A review makes two calls one after the other, usually within 5 s: a server that needs longer for one is of no use.
const TIMEOUT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_secs(1);
/// Longer than the pause between two tries of anything that waits for the server.
pub(super) const FORGET_AFTER: Duration = Duration::from_mins(3);

/// Ends when the server has answered. The caller ends it when the server has answered another call.
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

//! Whether a server answers: asked again and again until it does, or nobody wants to know any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::server::Server;
use crate::model::directory::{Directory, Share};
use crate::storage::Storage;

/// A review takes two calls one after the other, in 5 s as a rule: a server that needs longer for one serves nobody.
const DEADLINE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_secs(1);
/// Longer than whatever waits for the server leaves between two tries.
pub(super) const FORGET: Duration = Duration::from_mins(3);

/// Ends when the server has answered. To be ended when it has answered somebody else.
pub(super) async fn run(storage: Arc<dyn Storage>, server: Arc<Server>, share: Share) {
    while server.idle() < FORGET {
        let deadline = Instant::now() + DEADLINE;
        match storage.above(&share, &Directory::trash(), deadline).await {
            Err(error) if error.unanswered() => server.silent(error.fault, error.cause),
            Ok(_) | Err(_) => return server.answered(),
        }
        sleep(PAUSE).await;
    }
    server.forget();
}

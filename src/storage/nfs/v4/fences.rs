//! The fences of a server that are in progress. Meanwhile no session is lent.

use std::net::SocketAddr;

use tokio::sync::watch;

/// The addresses at which calls are being fenced off.
#[derive(Debug, Default)]
pub(super) struct Fences(watch::Sender<Vec<SocketAddr>>);

impl Fences {
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Waits until no call is being fenced off. Calls `waiting` with the address of a fence.
    pub async fn until_empty(&self, waiting: impl Fn(SocketAddr)) {
        let mut fences = self.0.subscribe();
        loop {
            let first = fences.borrow_and_update().first().copied();
            let Some(address) = first else { return };
            waiting(address);
            // The sender is in `self`.
            if fences.changed().await.is_err() {
                return;
            }
        }
    }

    pub fn begin(&self, address: SocketAddr) {
        self.0.send_modify(|fences| fences.push(address));
    }

    pub fn end(&self, address: SocketAddr) {
        self.0.send_modify(|fences| {
            if let Some(at) = fences.iter().position(|other| *other == address) {
                fences.swap_remove(at);
            }
        });
    }
}

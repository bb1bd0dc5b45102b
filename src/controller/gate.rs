//! Who goes first: for each NFS server so many at once, and of those that wait the oldest.
//!
//! A server that hangs holds up only those that wait for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::oneshot;

/// The doors of all servers.
#[derive(Clone)]
pub struct Gates {
    doors: Arc<Mutex<HashMap<String, Door>>>,
    limit: usize,
}

/// One server's.
#[derive(Default)]
struct Door {
    inside: usize,
    waiting: BTreeMap<(Option<Timestamp>, u64), oneshot::Sender<Pass>>,
    arrivals: u64,
}

/// Somebody is inside until it is dropped.
pub struct Pass {
    gates: Gates,
    server: String,
}

impl Gates {
    /// So many at once for each server.
    pub fn new(limit: usize) -> Self {
        Self {
            doors: Arc::default(),
            limit,
        }
    }

    /// Waits for a place; those whose objects are older come first.
    pub async fn enter(&self, server: &str, created: Option<Timestamp>) -> Pass {
        loop {
            let turn = {
                let mut doors = self.doors();
                let door = doors.entry(server.to_owned()).or_default();
                if door.inside < self.limit {
                    door.inside += 1;
                    return self.pass(server);
                }
                let (sender, turn) = oneshot::channel();
                door.arrivals += 1;
                door.waiting.insert((created, door.arrivals), sender);
                turn
            };
            if let Ok(pass) = turn.await {
                return pass;
            }
        }
    }

    fn pass(&self, server: &str) -> Pass {
        Pass {
            gates: self.clone(),
            server: server.to_owned(),
        }
    }

    fn doors(&self) -> std::sync::MutexGuard<'_, HashMap<String, Door>> {
        // Each change is one assignment, or is made good by the next to leave.
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let next = {
            let mut doors = self.gates.doors();
            let Some(door) = doors.get_mut(&self.server) else {
                return;
            };
            let next = door.waiting.pop_first();
            if next.is_none() {
                door.inside -= 1;
                if door.inside == 0 {
                    doors.remove(&self.server);
                }
            }
            next
        };
        // One that waits no more drops the pass that it is sent, and so hands it on.
        if let Some((_, next)) = next {
            let _ = next.send(self.gates.pass(&self.server));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    #[tokio::test]
    async fn the_oldest_goes_first_and_another_server_has_its_own_door() {
        let gates = Gates::new(1);
        let inside = gates.enter("nas1", at(1)).await;
        let mut young = Box::pin(gates.enter("nas1", at(9)));
        let mut old = Box::pin(gates.enter("nas1", at(2)));
        assert!(poll!(&mut young).is_pending() && poll!(&mut old).is_pending());
        assert!(poll!(Box::pin(gates.enter("nas2", at(9)))).is_ready());
        drop(inside);
        assert!(poll!(&mut young).is_pending());
        let inside = old.await;
        drop(inside);
        drop(young.await);
        assert!(gates.doors().is_empty(), "nothing is left of it");
    }

    #[tokio::test]
    async fn one_that_gives_up_hands_its_place_on() {
        let gates = Gates::new(1);
        let inside = gates.enter("nas1", at(1)).await;
        let mut gives_up = Box::pin(gates.enter("nas1", at(2)));
        let mut stays = Box::pin(gates.enter("nas1", at(3)));
        assert!(poll!(&mut gives_up).is_pending() && poll!(&mut stays).is_pending());
        drop(gives_up);
        drop(inside);
        assert!(poll!(&mut stays).is_ready());
    }
}

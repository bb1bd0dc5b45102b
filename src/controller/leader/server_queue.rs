//! Who goes first: for each NFS server so many at once, and of those that wait the oldest.
//!
//! A server that hangs holds up only those that wait for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::task::yield_now;

/// The doors of all servers.
#[derive(Clone)]
pub struct ServerQueue {
    doors: Arc<Mutex<HashMap<String, Door>>>,
    limit: usize,
}

/// One server's.
#[derive(Default)]
struct Door {
    inside: usize,
    waiting: BTreeMap<Turn, oneshot::Sender<Permit>>,
    arrivals: u64,
}

/// The age of its object, and its number among those of that age.
type Turn = (Option<Timestamp>, u64);

/// Somebody is inside until it is dropped.
pub struct Permit {
    gates: ServerQueue,
    server: String,
}

/// Somebody waits until it is dropped.
struct Waiting<'a> {
    gates: &'a ServerQueue,
    server: &'a str,
    turn: Turn,
}

impl ServerQueue {
    /// So many at once for each server.
    pub fn new(limit: usize) -> Self {
        Self {
            doors: Arc::default(),
            limit,
        }
    }

    /// Waits for a place; those whose objects are older come first, also among those who come in the same moment.
    pub async fn acquire(&self, server: &str, created: Option<Timestamp>) -> Permit {
        loop {
            let (waiting, pass) = self.wait(server, created);
            // A controller begins with all that is due before it goes on with any: after this they are all here.
            yield_now().await;
            self.admit(server);
            let pass = pass.await;
            drop(waiting);
            if let Ok(pass) = pass {
                return pass;
            }
        }
    }

    fn wait<'a>(&'a self, server: &'a str, created: Option<Timestamp>) -> (Waiting<'a>, oneshot::Receiver<Permit>) {
        let (sender, pass) = oneshot::channel();
        let mut doors = self.doors();
        let door = doors.entry(server.to_owned()).or_default();
        door.arrivals += 1;
        let turn = (created, door.arrivals);
        door.waiting.insert(turn, sender);
        let gates = self;
        (Waiting { gates, server, turn }, pass)
    }

    /// Lets in as many as there are places for.
    fn admit(&self, server: &str) {
        while let Some(next) = self.next(server) {
            // One that has just given up drops the pass that it is sent.
            let _ = next.send(Permit {
                gates: self.clone(),
                server: server.to_owned(),
            });
        }
    }

    fn next(&self, server: &str) -> Option<oneshot::Sender<Permit>> {
        let mut doors = self.doors();
        let door = doors.get_mut(server)?;
        if door.inside == self.limit {
            return None;
        }
        let (_, next) = door.waiting.pop_first()?;
        door.inside += 1;
        Some(next)
    }

    /// Forgets a door that nobody needs.
    fn tidy(doors: &mut HashMap<String, Door>, server: &str) {
        if doors
            .get(server)
            .is_some_and(|door| door.inside == 0 && door.waiting.is_empty())
        {
            doors.remove(server);
        }
    }

    fn doors(&self) -> std::sync::MutexGuard<'_, HashMap<String, Door>> {
        // Each change is one assignment, or is made good by the next to leave.
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut doors = self.gates.doors();
        if let Some(door) = doors.get_mut(self.server) {
            door.waiting.remove(&self.turn);
        }
        ServerQueue::tidy(&mut doors, self.server);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        {
            let mut doors = self.gates.doors();
            if let Some(door) = doors.get_mut(&self.server) {
                door.inside -= 1;
            }
            ServerQueue::tidy(&mut doors, &self.server);
        }
        self.gates.admit(&self.server);
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
        let gates = ServerQueue::new(1);
        let inside = gates.acquire("nas1", at(1)).await;
        let mut young = Box::pin(gates.acquire("nas1", at(9)));
        let mut old = Box::pin(gates.acquire("nas1", at(2)));
        assert!(poll!(&mut young).is_pending() && poll!(&mut old).is_pending());
        drop(gates.acquire("nas2", at(9)).await);
        drop(inside);
        assert!(poll!(&mut young).is_pending());
        let inside = old.await;
        drop(inside);
        drop(young.await);
        assert!(gates.doors().is_empty(), "nothing is left of it");
    }

    #[tokio::test]
    async fn of_those_that_come_in_the_same_moment_the_oldest_goes_first() {
        let gates = ServerQueue::new(1);
        let order = Mutex::new(Vec::new());
        let turn = async |second| {
            let _permit = gates.acquire("nas1", at(second)).await;
            order.lock().unwrap().push(second);
        };
        futures::future::join_all([3, 5, 1, 4, 2].map(turn)).await;
        assert_eq!(order.into_inner().unwrap(), [1, 2, 3, 4, 5]);
        assert!(gates.doors().is_empty(), "nothing is left of it");
    }

    #[tokio::test]
    async fn one_that_gives_up_hands_its_place_on() {
        let gates = ServerQueue::new(1);
        let inside = gates.acquire("nas1", at(1)).await;
        let mut gives_up = Box::pin(gates.acquire("nas1", at(2)));
        let mut too_late = Box::pin(gates.acquire("nas1", at(3)));
        let mut stays = Box::pin(gates.acquire("nas1", at(4)));
        assert!(poll!(&mut gives_up).is_pending() && poll!(&mut too_late).is_pending());
        assert!(poll!(&mut stays).is_pending());
        drop(gives_up);
        drop(inside);
        // It has its pass by now, but has not seen it.
        drop(too_late);
        drop(stays.await);
        assert!(gates.doors().is_empty(), "nothing is left of it");
    }
}

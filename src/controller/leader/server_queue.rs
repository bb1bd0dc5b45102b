//! Queues of objects that wait for an NFS server. For each server a limited number is reconciled at the same time, the
//! oldest object first.
//!
//! A server that does not answer delays only its own objects. When the process starts, and when a server answers again,
//! all objects of the server are due at the same time, and kube's scheduler delivers them in any order. A semaphore
//! serves in the order of arrival, so with a semaphore alone the oldest claim could be the last one. Here, whichever
//! object gets a permit passes it to the oldest object that waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::yield_now;

/// The queues of all servers.
pub struct ServerQueue {
    limit: usize,
    /// The queue of each server that a StorageClass or a volume has named in this term.
    servers: Mutex<HashMap<String, Arc<Server>>>,
}

/// The permission to reconcile one object. Dropping it lets the next object begin.
pub type Permit = OwnedSemaphorePermit;

struct Server {
    permits: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

/// The objects that wait, ordered by the time of their creation, and then by their arrival.
#[derive(Default)]
struct Waiting {
    arrivals: u64,
    objects: BTreeMap<(Option<Timestamp>, u64), oneshot::Sender<Permit>>,
}

impl ServerQueue {
    /// Creates queues that serve this many objects of each server at once.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            servers: Mutex::default(),
        }
    }

    /// Waits until an object of this server that was created at this time may be reconciled.
    pub async fn acquire(&self, server: &str, created: Option<Timestamp>) -> Permit {
        let server = self.server(server);
        let mut own = server.wait(created);
        // A controller starts all reconciles that are due before it continues any of them. After this yield, all of
        // them are in the queue.
        yield_now().await;
        loop {
            tokio::select! {
                Ok(permit) = &mut own => return permit,
                Ok(permit) = Arc::clone(&server.permits).acquire_owned() => server.serve_oldest(permit),
            }
        }
    }

    /// Returns whether an object of this server waits or is reconciled.
    pub fn is_busy(&self, server: &str) -> bool {
        let servers = self.servers.lock();
        servers
            .get(server)
            .is_some_and(|server| server.permits.available_permits() < self.limit)
    }

    fn server(&self, name: &str) -> Arc<Server> {
        let mut servers = self.servers.lock();
        let server = servers.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Server {
                permits: Arc::new(Semaphore::new(self.limit)),
                waiting: Mutex::default(),
            })
        });
        Arc::clone(server)
    }
}

impl Server {
    fn wait(&self, created: Option<Timestamp>) -> oneshot::Receiver<Permit> {
        let (sender, permit) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        waiting.arrivals += 1;
        let position = (created, waiting.arrivals);
        waiting.objects.insert(position, sender);
        permit
    }

    /// Passes the permit to the oldest object that still waits.
    fn serve_oldest(&self, mut permit: Permit) {
        let mut waiting = self.waiting.lock();
        while let Some((_, oldest)) = waiting.objects.pop_first() {
            match oldest.send(permit) {
                Ok(()) => return,
                // The caller for this object no longer waits.
                Err(unused) => permit = unused,
            }
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

    fn assert_idle(queue: &ServerQueue) {
        for server in queue.servers.lock().values() {
            assert_eq!(server.permits.available_permits(), queue.limit);
            assert!(server.waiting.lock().objects.is_empty());
        }
    }

    #[tokio::test]
    async fn a_server_is_busy_while_an_object_is_reconciled() {
        let queue = ServerQueue::new(2);
        assert!(!queue.is_busy("nas1"));
        let served = queue.acquire("nas1", at(1)).await;
        assert!(queue.is_busy("nas1") && !queue.is_busy("nas2"));
        drop(served);
        assert!(!queue.is_busy("nas1"));
    }

    #[tokio::test]
    async fn the_oldest_is_served_first_and_another_server_has_its_own_queue() {
        let queue = ServerQueue::new(1);
        let served = queue.acquire("nas1", at(1)).await;
        let mut young = Box::pin(queue.acquire("nas1", at(9)));
        let mut old = Box::pin(queue.acquire("nas1", at(2)));
        assert!(poll!(&mut young).is_pending() && poll!(&mut old).is_pending());
        drop(queue.acquire("nas2", at(9)).await);
        drop(served);
        assert!(poll!(&mut young).is_pending());
        let served = old.await;
        drop(served);
        drop(young.await);
        assert_idle(&queue);
    }

    #[tokio::test]
    async fn of_objects_that_arrive_at_the_same_time_the_oldest_is_served_first() {
        let queue = ServerQueue::new(1);
        let order = Mutex::new(Vec::new());
        let serve = async |second| {
            let _permit = queue.acquire("nas1", at(second)).await;
            order.lock().push(second);
        };
        futures::future::join_all([3, 5, 1, 4, 2].map(serve)).await;
        assert_eq!(order.into_inner(), [1, 2, 3, 4, 5]);
        assert_idle(&queue);
    }

    #[tokio::test]
    async fn a_caller_that_stops_waiting_delays_no_other_caller() {
        let queue = ServerQueue::new(1);
        let served = queue.acquire("nas1", at(1)).await;
        let mut gives_up = Box::pin(queue.acquire("nas1", at(2)));
        let mut too_late = Box::pin(queue.acquire("nas1", at(3)));
        let mut stays = Box::pin(queue.acquire("nas1", at(4)));
        assert!(poll!(&mut gives_up).is_pending() && poll!(&mut too_late).is_pending());
        assert!(poll!(&mut stays).is_pending());
        drop(gives_up);
        drop(served);
        assert!(poll!(&mut stays).is_pending(), "it gives the permit to the older one");
        drop(too_late);
        drop(stays.await);
        assert_idle(&queue);
    }
}

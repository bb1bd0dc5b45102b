//! One kind of object, watched once for everybody: a store of what is there, and a word to the loops at each change.
//!
//! What is stored is cut down to what is used. The loops run only while this replica leads, so they listen when they
//! begin: they hear of everything that is there, and then of every change.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::{Stream, StreamExt, stream};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// A watch. Clones are handles on the same one.
#[derive(Clone)]
pub struct Watched<K: Resource<DynamicType = ()> + 'static> {
    store: Store<K>,
    listeners: Arc<Mutex<Vec<UnboundedSender<Arc<K>>>>>,
}

impl<K> Watched<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Prepares a watch; the future that comes with it keeps it up and never ends. `cut` drops what nobody uses.
    pub fn new(what: &'static str, objects: Api<K>, cut: fn(&mut K)) -> (Self, impl Future<Output = ()> + Send) {
        let (store, writer) = reflector::store();
        let watched = Self {
            store,
            listeners: Arc::default(),
        };
        let events = watcher(objects, watcher::Config::default())
            .default_backoff()
            .modify(cut);
        let keeps = watched.clone();
        let keep_up = async move {
            let mut events = std::pin::pin!(events.reflect(writer));
            let mut before = Vec::new();
            while let Some(event) = events.next().await {
                match event {
                    // As it is in the store: a copy of each for every listener would be most of the memory that is needed.
                    Ok(Event::Apply(object)) => keeps.tell(|| {
                        let stored = keeps.get(&ObjectRef::from(&object));
                        vec![stored.unwrap_or_else(|| Arc::new(object))]
                    }),
                    Ok(Event::Delete(object)) => keeps.tell(|| vec![Arc::new(object)]),
                    Ok(Event::Init) => before = keeps.store.state(),
                    Ok(Event::InitApply(_)) => {}
                    // Only now does the store have them. What went while the watch was broken is told, too.
                    Ok(Event::InitDone) => {
                        let gone = std::mem::take(&mut before).into_iter();
                        let gone = gone.filter(|object| keeps.get(&ObjectRef::from(&**object)).is_none());
                        keeps.tell(|| gone.chain(keeps.store.state()).collect());
                    }
                    Err(error) => tracing::warn!(%error, "the watch of {what} broke; it is taken up again"),
                }
            }
        };
        (watched, keep_up)
    }

    /// Waits for the first list. To be called once: kube's stores wake one waiter only (kube-runtime's `DelayedInit`).
    pub async fn ready(&self) {
        // An error means that the watch was dropped: the process is ending.
        let _ = self.store.wait_until_ready().await;
    }

    /// What is there.
    pub fn store(&self) -> &Store<K> {
        &self.store
    }

    /// One of them.
    pub fn get(&self, name: &ObjectRef<K>) -> Option<Arc<K>> {
        self.store.get(name)
    }

    /// Everything that is there, and then every object that is created, changed or deleted.
    pub fn events(&self) -> impl Stream<Item = Arc<K>> + Send + use<K> {
        let (sender, changes) = unbounded();
        self.listeners().push(sender);
        stream::iter(self.store.state()).chain(changes)
    }

    fn tell(&self, objects: impl FnOnce() -> Vec<Arc<K>>) {
        let mut listeners = self.listeners();
        if listeners.is_empty() {
            return;
        }
        for object in objects() {
            listeners.retain(|listener| listener.unbounded_send(object.clone()).is_ok());
        }
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Vec<UnboundedSender<Arc<K>>>> {
        // A list of senders has no half-changed state that a panic elsewhere could have left.
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

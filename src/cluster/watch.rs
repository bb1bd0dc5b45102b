//! One kind of object, watched once for everybody: a store of what is there, and a word to the loops at each change.
//!
//! The loops run only while this replica leads, so they listen when they
//! begin: they hear of everything that is there, and then of every change.

use std::fmt::Debug;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::{Stream, StreamExt, stream};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::api_error::ApiFault;

/// Objects that are read at once at the start: their text is more than all that is kept of them.
const A_PAGE: u32 = 250;

/// A watch. Clones are handles on the same one.
#[derive(Clone)]
pub struct Watch<K: Resource<DynamicType = ()> + 'static> {
    store: Store<K>,
    listeners: Arc<Mutex<Vec<UnboundedSender<Arc<K>>>>>,
    changed: Arc<Notify>,
}

impl<K> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Prepares a watch; the future that comes with it keeps it up and never ends. Objects are stored as long as somebody
    /// may ask for them, says `is_kept`; of a change of the others the loops hear all the same.
    pub fn new(
        what: &'static str,
        objects: Api<K>,
        is_kept: fn(&K) -> bool,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let events = watcher(objects, watcher::Config::default().page_size(A_PAGE)).default_backoff();
        let events = events.modify(|object| object.meta_mut().managed_fields = None);
        let events = events.filter_map(move |event| {
            ready(match event {
                Ok(Event::Apply(object)) if !is_kept(&object) => Some(Ok(Event::Delete(object))),
                Ok(Event::InitApply(object)) if !is_kept(&object) => None,
                event => Some(event),
            })
        });
        Self::over(what, events)
    }

    fn over(
        what: &'static str,
        events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (store, writer) = reflector::store();
        let watched = Self {
            store,
            listeners: Arc::default(),
            changed: Arc::default(),
        };
        let keeps = watched.clone();
        let run = async move {
            let mut events = std::pin::pin!(events.reflect(writer));
            let mut before = Vec::new();
            while let Some(event) = events.next().await {
                match event {
                    // As it is in the store: a copy of each for every listener would be most of the memory that is needed.
                    Ok(Event::Apply(object)) => keeps.notify(|| {
                        let stored = keeps.get(&ObjectRef::from(&object));
                        vec![stored.unwrap_or_else(|| Arc::new(object))]
                    }),
                    Ok(Event::Delete(object)) => keeps.notify(|| vec![Arc::new(object)]),
                    Ok(Event::Init) => before = keeps.store.state(),
                    Ok(Event::InitApply(_)) => {}
                    // Only now does the store have them. What was kept and went while the watch was broken is told, too.
                    Ok(Event::InitDone) => {
                        let gone = std::mem::take(&mut before).into_iter();
                        let gone = gone.filter(|object| keeps.get(&ObjectRef::from(&**object)).is_none());
                        keeps.notify(|| gone.chain(keeps.store.state()).collect());
                    }
                    Err(error) => {
                        let fault = ApiFault::from(&error);
                        tracing::warn!("the watch of {what} broke, and is begun again: {fault}");
                    }
                }
                keeps.changed.notify_waiters();
            }
        };
        (watched, run)
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

    /// Waits until the watch has an object in this version or a later one, with everything that was written before; `false`
    /// if it does not have it in time.
    pub async fn wait_for_version(&self, name: &ObjectRef<K>, version: &str, patience: Duration) -> bool {
        let reached = async {
            loop {
                let changed = self.changed.notified();
                let has = self.get(name).and_then(|object| object.meta().resource_version.clone());
                if has.is_some_and(|has| is_at_least(&has, version)) {
                    return;
                }
                changed.await;
            }
        };
        timeout(patience, reached).await.is_ok()
    }

    /// Everything that is kept, and then every object that is created, changed or deleted.
    pub fn events(&self) -> impl Stream<Item = Arc<K>> + Send + use<K> {
        let (sender, changes) = unbounded();
        self.listeners().push(sender);
        stream::iter(self.store.state()).chain(changes)
    }

    fn notify(&self, objects: impl FnOnce() -> Vec<Arc<K>>) {
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

/// Versions of objects of one kind are numbers that grow (KEP-5504); of API servers that do not keep to that, only the same
/// is known.
fn is_at_least(has: &str, version: &str) -> bool {
    has == version || matches!((has.parse::<u128>(), version.parse::<u128>()), (Ok(has), Ok(version)) if has >= version)
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;
    use k8s_openapi::api::core::v1::Namespace;
    use serde_json::json;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    fn object(version: &str) -> Namespace {
        let object = json!({"metadata": {"name": "team-a", "resourceVersion": version}});
        serde_json::from_value(object).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_just_written_is_waited_for_until_the_watch_has_it_or_a_later_state() {
        let (sender, events) = mpsc::unbounded();
        let (watched, run) = Watch::over("Namespaces", events);
        let run = tokio::spawn(run);
        let name = ObjectRef::new("team-a");
        assert!(!watched.wait_for_version(&name, "9", LONG).await, "it never comes");
        let waits = tokio::spawn({
            let (watched, name) = (watched.clone(), name.clone());
            async move { watched.wait_for_version(&name, "9", LONG).await }
        });
        for version in ["8", "10"] {
            tokio::task::yield_now().await;
            assert!(!waits.is_finished(), "it has an earlier state only");
            sender.unbounded_send(Ok(Event::Apply(object(version)))).unwrap();
        }
        assert!(waits.await.unwrap());
        assert!(!watched.wait_for_version(&name, "11", LONG).await);
        run.abort();
    }
}

//! Watches one kind of object: keeps a cache of the objects, and sends every change to the subscribers.
//!
//! The controller subscribes when this replica begins to lead. It then receives all cached objects, and every change
//! after that.

use std::fmt::Debug;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::{Stream, StreamExt, stream};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::api_error::ApiFault;

/// Objects per list request: their JSON needs more memory than the cache.
const PAGE_SIZE: u32 = 250;

/// A watch. Clones share the same watch.
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
    /// Prepares a watch. The future that is returned runs it, and never ends. Only objects for which `is_kept` is true
    /// are cached; subscribers receive changes of all objects.
    pub fn new(
        what: &'static str,
        objects: Api<K>,
        is_kept: fn(&K) -> bool,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let events = watcher(objects, watcher::Config::default().page_size(PAGE_SIZE)).default_backoff();
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
        let this = watched.clone();
        let run = async move {
            let mut events = std::pin::pin!(report_errors(what.to_owned(), events.reflect(writer)));
            let mut before = Vec::new();
            while let Some(event) = events.next().await {
                match event {
                    // Subscribers receive the cached object: copies would need much memory.
                    Event::Apply(object) => this.notify(|| {
                        let stored = this.get(&ObjectRef::from(&object));
                        vec![stored.unwrap_or_else(|| Arc::new(object))]
                    }),
                    Event::Delete(object) => this.notify(|| vec![Arc::new(object)]),
                    Event::Init => before = this.store.state(),
                    Event::InitApply(_) => {}
                    // The cache has all objects now. Objects that were deleted while the watch had failed are sent,
                    // too.
                    Event::InitDone => {
                        let gone = std::mem::take(&mut before).into_iter();
                        let gone = gone.filter(|object| this.get(&ObjectRef::from(&**object)).is_none());
                        this.notify(|| gone.chain(this.store.state()).collect());
                    }
                }
                this.changed.notify_waiters();
            }
        };
        (watched, run)
    }

    /// Waits for the first list. Must be called only once: `DelayedInit` of kube-runtime wakes only one waiter.
    pub async fn ready(&self) {
        // An error means that the watch was dropped, so the process is stopping.
        let _ = self.store.wait_until_ready().await;
    }

    /// Returns the cache.
    pub fn store(&self) -> &Store<K> {
        &self.store
    }

    /// Returns a cached object.
    pub fn get(&self, name: &ObjectRef<K>) -> Option<Arc<K>> {
        self.store.get(name)
    }

    /// Waits until the cache has an object in this version or a later one, and so everything that was written before.
    /// Returns false if that takes longer than `limit`.
    pub async fn wait_for_version(&self, name: &ObjectRef<K>, version: &str, limit: Duration) -> bool {
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
        timeout(limit, reached).await.is_ok()
    }

    /// Returns all cached objects, and then every object that is created, changed or deleted.
    pub fn events(&self) -> impl Stream<Item = Arc<K>> + Send + use<K> {
        let (sender, changes) = unbounded();
        self.listeners.lock().push(sender);
        stream::iter(self.store.state()).chain(changes)
    }

    fn notify(&self, objects: impl FnOnce() -> Vec<Arc<K>>) {
        let mut listeners = self.listeners.lock();
        if listeners.is_empty() {
            return;
        }
        for object in objects() {
            listeners.retain(|listener| listener.unbounded_send(object.clone()).is_ok());
        }
    }
}

/// Watches one object by its name. The stream never ends.
pub fn watch_object<K>(objects: Api<K>, name: &str) -> impl Stream<Item = Event<K>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let what = format!("{} {name}", K::kind(&()));
    report_errors(what, watcher(objects, only).default_backoff())
}

/// Logs the errors of a watch, which restarts by itself after each.
fn report_errors<K: Send>(
    what: String,
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
) -> impl Stream<Item = Event<K>> + Send {
    let report = move |error: &watcher::Error| {
        let fault = ApiFault::from(error);
        tracing::warn!("the watch of {what} failed and is restarted: {fault}");
    };
    events.filter_map(move |event| ready(event.inspect_err(&report).ok()))
}

/// Returns whether a version is the same or later. Versions are increasing numbers (KEP-5504). If they are not numbers,
/// only the same version counts.
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
    async fn waits_until_the_cache_has_the_version_or_a_later_one() {
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

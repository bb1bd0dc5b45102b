//! Which volumes wait for the cleanup of another one.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::cluster::cache::CachedVolume;

/// Which volumes wait until the cleanup of another one is over.
#[derive(Default)]
pub struct CleanupWaiters(Mutex<HashMap<String, BTreeSet<String>>>);

impl CleanupWaiters {
    /// `waiting` waits until `other` is gone or has changed.
    pub fn add(&self, other: &str, waiting: &str) {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waits.entry(other.to_owned()).or_default().insert(waiting.to_owned());
    }

    /// Those that have waited for this volume. They look again, and wait again if they must.
    pub fn take(&self, other: &CachedVolume) -> Vec<ObjectRef<CachedVolume>> {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = waits.remove(&other.name_any()).unwrap_or_default();
        waiting.iter().map(|name| ObjectRef::new(name)).collect()
    }
}

//! The volumes that wait for the cleanup of another volume.

use std::collections::{BTreeSet, HashMap};

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use crate::cluster::cache::CachedVolume;

/// The volumes that wait. The key is the volume whose cleanup comes first.
#[derive(Default)]
pub struct CleanupWaiters(Mutex<HashMap<String, BTreeSet<String>>>);

impl CleanupWaiters {
    /// Records that `waiting` is to be reconciled when `other` changes or is gone.
    pub fn add(&self, other: &str, waiting: &str) {
        let mut waits = self.0.lock();
        waits.entry(other.to_owned()).or_default().insert(waiting.to_owned());
    }

    /// Returns and removes the volumes that wait for this one. Their reconcile adds them again if they must still wait.
    pub fn take(&self, other: &CachedVolume) -> Vec<ObjectRef<CachedVolume>> {
        let mut waits = self.0.lock();
        let waiting = waits.remove(&other.name_any()).unwrap_or_default();
        waiting.iter().map(|name| ObjectRef::new(name)).collect()
    }
}

//! The objects of archives, while their definition is installed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::cluster::Watch;
use crate::cluster::cache::CachedArchive;

/// The objects of archives by the part of the archive's name that identifies it.
pub type ByKey = HashMap<String, Vec<Arc<CachedArchive>>>;

/// The cache of the objects of archives.
#[derive(Default)]
pub struct ArchiveObjects {
    /// The watch, while the definition is installed and the cache is filled.
    watch: Mutex<Option<Watch<CachedArchive>>>,
    /// Whether the definition is installed; `None` until that is known.
    installed: Mutex<Option<bool>>,
    known: Notify,
    is_absence_reported: AtomicBool,
}

impl ArchiveObjects {
    /// Sets the watch when its cache is filled, and removes it when the definition is gone.
    pub fn set(&self, watch: Option<Watch<CachedArchive>>) {
        let is_filled = watch.is_some();
        *self.watch.lock() = watch;
        if is_filled {
            self.is_absence_reported.store(false, Ordering::Relaxed);
            self.known.notify_one();
        }
    }

    /// Sets whether the definition is installed.
    pub fn set_installed(&self, installed: bool) {
        let before = self.installed.lock().replace(installed);
        if before.is_none() && !installed {
            self.known.notify_one();
        }
    }

    /// Returns whether the definition is installed. `None` if that is not known yet.
    pub fn is_installed(&self) -> Option<bool> {
        *self.installed.lock()
    }

    /// Returns all objects. `None` if the definition is not installed, or the cache is not filled yet.
    pub fn all(&self) -> Option<Vec<Arc<CachedArchive>>> {
        self.watch.lock().as_ref().map(|watch| watch.store().state())
    }

    /// Returns all objects by their key. `None` as for [`ArchiveObjects::all`].
    pub fn by_key(&self) -> Option<ByKey> {
        let mut by_key = ByKey::new();
        for object in self.all()? {
            if let Ok(record) = &object.record {
                by_key.entry(record.key.clone()).or_default().push(object);
            }
        }
        Some(by_key)
    }

    /// Waits until all objects are known: until the cache is filled, or is filled again, or until it is known that the
    /// definition is not installed. Only one caller may wait.
    pub async fn until_known(&self) {
        self.known.notified().await;
    }

    /// Logs that archives have no objects, once until the definition is installed.
    pub fn report_absence(&self, why: &str) {
        if !self.is_absence_reported.swap(true, Ordering::Relaxed) {
            tracing::warn!("archives have no objects in the API: {why}");
        }
    }
}

//! How long a volume has been as it is, by this process's own clock: two clocks are never compared.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::volume::Volume;

/// Since when volumes have been in the state that they are in.
#[derive(Default)]
pub struct UnchangedSince(Mutex<HashMap<String, (String, Instant)>>);

impl UnchangedSince {
    /// How much is left of a grace that began when the volume was first seen in this state. Any write to it begins it anew.
    pub fn remaining(&self, volume: &Volume, grace: Duration) -> Option<Duration> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (version, since) = seen
            .entry(volume.uid.clone())
            .or_insert_with(|| (volume.version.clone(), now));
        if *version != volume.version {
            (*version, *since) = (volume.version.clone(), now);
        }
        grace.checked_sub(since.elapsed()).filter(|left| !left.is_zero())
    }

    /// It is as it should be.
    pub fn forget(&self, volume: &Volume) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&volume.uid);
    }
}

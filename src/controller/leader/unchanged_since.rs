//! The time since the last change of a volume, by the clock of this process. Clocks of two machines are never compared.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::model::volume::Volume;

/// The time at which each volume was first seen in its current version. The key is the uid.
#[derive(Default)]
pub struct UnchangedSince(Mutex<HashMap<String, (String, Instant)>>);

impl UnchangedSince {
    /// Returns the rest of a period that began when the volume was first seen in this version; `None` if the period is
    /// over. Each write to the volume starts the period again.
    pub fn remaining(&self, volume: &Volume, grace: Duration) -> Option<Duration> {
        let mut seen = self.0.lock();
        let now = Instant::now();
        let (version, since) = seen
            .entry(volume.uid.clone())
            .or_insert_with(|| (volume.version.clone(), now));
        if *version != volume.version {
            (*version, *since) = (volume.version.clone(), now);
        }
        grace.checked_sub(since.elapsed()).filter(|left| !left.is_zero())
    }

    /// Forgets a volume for which nothing is left to do.
    pub fn forget(&self, volume: &Volume) {
        self.0.lock().remove(&volume.uid);
    }
}

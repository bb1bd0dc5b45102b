//! How long a volume has been unchanged, by this process's own clock. Clocks of two machines are never compared.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::model::volume::Volume;

/// The time at which each volume was first seen in its present version, by uid.
#[derive(Default)]
pub struct UnchangedSince(Mutex<HashMap<String, (String, Instant)>>);

impl UnchangedSince {
    /// Returns what remains of a period that began when the volume was first seen in this version; `None` if it is
    /// over. Any write to the volume starts the period again.
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

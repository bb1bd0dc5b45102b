//! Writes Events (`events.k8s.io/v1`). Repetitions are counted in one object.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use crate::cluster::patch::is_not_found;
use crate::model::names::CONTROLLER;

/// A repetition within this time after the last one counts in the same object.
const SERIES_TIMEOUT: Duration = Duration::from_mins(6);
/// The longest name of an object, in bytes.
const MAX_NAME: usize = 253;

/// The uid of the object, the type, the reason and the action.
type Key = [Option<String>; 4];

/// An Event that was written.
struct Series {
    name: String,
    count: i32,
    at: Instant,
}

/// Writes Events, and remembers those of the last minutes.
pub(super) struct Writer {
    client: Client,
    written: Mutex<HashMap<Key, Series>>,
}

impl Writer {
    /// Creates a writer that remembers nothing yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            written: Mutex::default(),
        }
    }

    /// Writes an Event, or counts it in the one that was written before.
    pub async fn write(&self, mut event: Event) -> kube::Result<()> {
        let about = event.regarding.clone().unwrap_or_default();
        // Events of objects without a namespace are in namespace default.
        let namespace = about.namespace.as_deref().unwrap_or("default");
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let key = [
            about.uid,
            event.type_.clone(),
            event.reason.clone(),
            event.action.clone(),
        ];
        let now = Timestamp::now();
        if let Some((name, count)) = self.count_repetition(&key) {
            let series = json!({"series": {"count": count, "lastObservedTime": MicroTime(now)}});
            let counted = events
                .patch(&name, &PatchParams::default(), &Patch::Merge(series))
                .await;
            if !counted.as_ref().is_err_and(is_not_found) {
                return counted.map(drop);
            }
        }
        let name = name(about.name.as_deref().unwrap_or(CONTROLLER), now);
        event.metadata.name = Some(name.clone());
        event.event_time = Some(MicroTime(now));
        events.create(&PostParams::default(), &event).await?;
        let series = Series {
            name,
            count: 1,
            at: Instant::now(),
        };
        self.written.lock().insert(key, series);
        Ok(())
    }

    /// Returns the Event to count this repetition in, and the new count; nothing if there was no Event in the last
    /// minutes.
    fn count_repetition(&self, key: &Key) -> Option<(String, i32)> {
        let mut written = self.written.lock();
        written.retain(|_, series| series.at.elapsed() < SERIES_TIMEOUT);
        let series = written.get_mut(key)?;
        series.count = series.count.saturating_add(1);
        series.at = Instant::now();
        Some((series.name.clone(), series.count))
    }
}

/// Returns the name of an Event: the name of the object, cut if necessary, and the time in nanoseconds.
fn name(object: &str, now: Timestamp) -> String {
    let end = format!(".{:x}", now.as_nanosecond());
    let room = MAX_NAME.saturating_sub(end.len());
    let front = &object[..object.floor_char_boundary(room)];
    // Each part between two dots of a name begins and ends with a letter or a digit.
    format!("{}{end}", front.trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::names::is_object_name;

    #[test]
    fn an_object_of_any_name_has_events_with_names_that_kubernetes_takes() {
        let now = Timestamp::now();
        assert!(name("data", now).starts_with("data."));
        for object in [
            "a".repeat(253),
            "a".repeat(236),
            format!("{}.-a", "a".repeat(234)),
            "a.".repeat(126) + "a",
            "a-".repeat(126) + "a",
            "a".to_owned(),
        ] {
            let name = name(&object, now);
            assert!(is_object_name(&name), "{object}: {name}");
        }
    }
}

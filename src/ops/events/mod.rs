//! Writes Events about volumes, claims and other objects.
//!
//! Nothing depends on an Event: if it cannot be written, that is logged. The same warning is written at most every 10
//! seconds. Repetitions within 6 minutes are counted in the first Event, which keeps its text.

mod writer;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Client, Resource};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::writer::{NewEvent, Writer};
use crate::cluster::api_error::ApiFault;
use crate::model::claim::{Claim, Name};
use crate::model::volume::Volume;
use crate::ops::tasks::Tasks;

/// Writes Events in the background. Clones share one queue.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<NewEvent>,
    warned: Arc<Mutex<HashMap<WarningKey, Instant>>>,
}

/// The uid of the object, the reason, and the cause.
type WarningKey = (String, String, String);

/// The types of Events.
const NORMAL: &str = "Normal";
const WARNING: &str = "Warning";

/// The shortest time between two equal warnings.
const REPEAT_AFTER: Duration = Duration::from_secs(10);
/// The most warnings that are remembered for that.
const MAX_REMEMBERED: usize = 10_000;

/// The most Events that wait to be written. More are only logged.
const MAX_QUEUED: usize = 2_000;
/// The shortest time between two writes: a thousand deleted volumes must not flood etcd.
const WRITE_INTERVAL: Duration = Duration::from_millis(20);
/// The most writes in progress.
const MAX_CONCURRENT_WRITES: usize = 8;

impl Events {
    /// Starts the task that writes Events.
    pub fn new(client: Client, tasks: &Tasks) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_QUEUED);
        // It ends when the last clone is dropped.
        tasks.spawn(write(Writer::new(client), waiting));
        Self {
            queue,
            warned: Arc::default(),
        }
    }

    /// Writes an Event of type Normal about a volume.
    pub fn normal(&self, volume: &Volume, reason: &str, note: String) {
        self.publish(NORMAL, reason, reason, note, volume_reference(volume));
    }

    /// Writes a warning about a volume. Warnings with the same reason and cause are one Event.
    pub fn warn(&self, volume: &Volume, reason: &str, cause: &str, note: String) {
        self.publish(WARNING, reason, cause, note, volume_reference(volume));
    }

    /// Writes an Event of type Normal about a claim. Those with different texts are different Events.
    pub fn normal_claim(&self, claim: &Claim, reason: &str, note: String) {
        if let Some(reference) = claim_reference(claim) {
            let words = words(reason, &note);
            self.publish(NORMAL, reason, &words, note, reference);
        }
    }

    /// Writes a warning about a claim. Warnings with the same reason and cause are one Event.
    pub fn warn_claim(&self, claim: &Claim, reason: &str, cause: &str, note: String) {
        if let Some(reference) = claim_reference(claim) {
            self.publish(WARNING, reason, cause, note, reference);
        }
    }

    /// Writes a warning about a claim. Warnings with different texts are different Events.
    pub fn warn_claim_with_text(&self, claim: &Claim, reason: &str, note: String) {
        if let Some(reference) = claim_reference(claim) {
            let words = words(reason, &note);
            self.publish(WARNING, reason, &words, note, reference);
        }
    }

    /// Writes a warning about any object. Warnings with different texts are different Events.
    pub fn warn_object<K: Resource<DynamicType = ()>>(&self, object: &K, reason: &str, note: String) {
        let words = words(reason, &note);
        let reference = object.object_ref(&());
        self.publish(WARNING, reason, &words, note, reference);
    }

    fn publish(&self, kind: &'static str, reason: &str, action: &str, mut note: String, about: ObjectReference) {
        const LONGEST: usize = 1024;
        if note.len() > LONGEST {
            note.truncate(note.floor_char_boundary(LONGEST - 3));
            note.push_str("...");
        }
        if kind == WARNING && !self.is_new(about.uid.clone().unwrap_or_default(), reason, action) {
            return;
        }
        if kind == NORMAL {
            tracing::info!(reason, "{note}");
        } else {
            tracing::warn!(reason, "{note}");
        }
        let event = NewEvent {
            kind,
            reason: reason.to_owned(),
            action: action.to_owned(),
            note,
            about,
        };
        if self.queue.try_send(event).is_err() {
            tracing::warn!(reason, "too many Events wait to be written; this one is only logged");
        }
    }
}

impl Events {
    fn is_new(&self, object: String, reason: &str, what: &str) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if warned.len() >= MAX_REMEMBERED {
            warned.retain(|_, at| now.duration_since(*at) < REPEAT_AFTER);
        }
        let last = warned.entry((object, reason.to_owned(), what.to_owned()));
        match last {
            Entry::Occupied(last) if now.duration_since(*last.get()) < REPEAT_AFTER => false,
            last => {
                last.insert_entry(now);
                true
            }
        }
    }
}

/// Writes the Events of the queue at a limited rate.
async fn write(writer: Writer, waiting: mpsc::Receiver<NewEvent>) {
    let paced = stream::unfold(waiting, async |mut waiting| {
        let next = waiting.recv().await?;
        sleep(WRITE_INTERVAL).await;
        Some((next, waiting))
    });
    let written = paced.for_each_concurrent(MAX_CONCURRENT_WRITES, async |event| {
        if let Err(error) = writer.write(&event).await {
            let fault = ApiFault::from(&error);
            tracing::warn!(reason = event.reason, "an Event could not be written: {fault}");
        }
    });
    written.await;
}

/// Returns an action that differs for Events with the same reason and different texts.
fn words(reason: &str, note: &str) -> String {
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_URL, note.as_bytes()).simple().to_string();
    format!("{reason}-{}", &hash[..8])
}

/// Returns nothing for a claim that has no name yet.
fn claim_reference(claim: &Claim) -> Option<ObjectReference> {
    let Name::Given(name) = &claim.name else { return None };
    Some(ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        namespace: Some(claim.namespace.clone()),
        name: Some(name.clone()),
        uid: Some(claim.uid.clone()),
        ..ObjectReference::default()
    })
}

fn volume_reference(volume: &Volume) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolume".to_owned()),
        name: Some(volume.name.clone()),
        uid: Some(volume.uid.clone()),
        ..ObjectReference::default()
    }
}

//! Writes Events about volumes, claims and other objects.
//!
//! Nothing depends on an Event: if it cannot be written, that is logged. The same warning is written at most every 10
//! seconds. Repetitions within 6 minutes are counted in the first Event, which keeps its text.

mod subject;
mod writer;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

pub use self::subject::Subject;
use self::writer::Writer;
use crate::cluster::api_error::ApiFault;
use crate::model::names::CONTROLLER;
use crate::ops::tasks::Tasks;

/// Writes Events in the background. Clones share one queue.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Event>,
    warned: Arc<Mutex<HashMap<WarningKey, Instant>>>,
}

/// The uid of the object, the reason, and the cause.
type WarningKey = (String, String, String);

/// The types of Events.
const NORMAL: &str = "Normal";
const WARNING: &str = "Warning";

/// The shortest time between two equal warnings.
const REPEAT_AFTER: Duration = Duration::from_secs(10);
/// The most warnings that are remembered to find equal ones.
const MAX_REMEMBERED: usize = 10_000;

/// The most Events that wait to be written. More are only logged.
const MAX_QUEUED: usize = 2_000;
/// The shortest time between two writes: a thousand deleted volumes must not overload etcd.
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

    /// Writes an Event of type Normal. Different texts make different Events.
    pub fn normal(&self, subject: &impl Subject, reason: &str, note: String) {
        self.publish(NORMAL, subject, reason, &action_for(reason, &note), note);
    }

    /// Writes an Event of type Warning. Different texts make different Events.
    pub fn warn(&self, subject: &impl Subject, reason: &str, note: String) {
        self.publish(WARNING, subject, reason, &action_for(reason, &note), note);
    }

    /// Writes an Event of type Warning. Warnings with the same reason and cause are one Event.
    pub fn warn_by_cause(&self, subject: &impl Subject, reason: &str, cause: &str, note: String) {
        self.publish(WARNING, subject, reason, cause, note);
    }

    fn publish(&self, kind: &'static str, subject: &impl Subject, reason: &str, action: &str, mut note: String) {
        const LONGEST: usize = 1024;
        let Some(about) = subject.reference() else { return };
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
        let event = Event {
            metadata: ObjectMeta {
                namespace: about.namespace.clone(),
                ..ObjectMeta::default()
            },
            action: Some(action.to_owned()),
            note: Some(note),
            reason: Some(reason.to_owned()),
            regarding: Some(about),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(CONTROLLER.to_owned()),
            type_: Some(kind.to_owned()),
            ..Event::default()
        };
        if self.queue.try_send(event).is_err() {
            tracing::warn!(reason, "too many Events wait to be written; this one is only logged");
        }
    }

    fn is_new(&self, object: String, reason: &str, what: &str) -> bool {
        let mut warned = self.warned.lock();
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
async fn write(writer: Writer, waiting: mpsc::Receiver<Event>) {
    let paced = stream::unfold(waiting, async |mut waiting| {
        let next = waiting.recv().await?;
        sleep(WRITE_INTERVAL).await;
        Some((next, waiting))
    });
    let written = paced.for_each_concurrent(MAX_CONCURRENT_WRITES, async |event| {
        let reason = event.reason.clone();
        if let Err(error) = writer.write(event).await {
            let fault = ApiFault::from(&error);
            tracing::warn!(reason, "an Event could not be written: {fault}");
        }
    });
    written.await;
}

/// Returns an action that differs for Events with the same reason and different texts.
fn action_for(reason: &str, note: &str) -> String {
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_URL, note.as_bytes()).simple().to_string();
    format!("{reason}-{}", &hash[..8])
}

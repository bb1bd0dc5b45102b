//! Events: what a person would want to know about a volume or a claim, told on the object.
//!
//! An Event is a courtesy: that it could not be written is logged, and nothing depends on it. Repetitions within some
//! minutes are counted in the first Event, whose words stay.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::names;
use crate::policy::claim::{Claim, Name};
use crate::volume::Volume;

/// Writes Events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    /// How many are written at once: a thousand volumes that fail at the same time must not flood the API server.
    places: Arc<Semaphore>,
}

impl Events {
    /// Events in the name of Bindery.
    pub fn new(client: Client) -> Self {
        let reporter = Reporter {
            controller: names::CONTROLLER.to_owned(),
            instance: None,
        };
        Self {
            recorder: Recorder::new(client, reporter),
            places: Arc::new(Semaphore::new(8)),
        }
    }

    /// Something happened as it should.
    pub async fn done(&self, volume: &Volume, reason: &str, note: String) {
        self.publish(EventType::Normal, reason, reason, note, &volume_reference(volume))
            .await;
    }

    /// Something is wrong with a volume. Events with one reason and one cause are one Event.
    pub async fn warn(&self, volume: &Volume, reason: &str, cause: &str, note: String) {
        self.publish(EventType::Warning, reason, cause, note, &volume_reference(volume))
            .await;
    }

    /// Something is wrong with a claim. Events with one reason and one cause are one Event.
    pub async fn warn_claim(&self, claim: &Claim, reason: &str, cause: &str, note: String) {
        if let Some(reference) = claim_reference(claim) {
            self.publish(EventType::Warning, reason, cause, note, &reference).await;
        }
    }

    /// A claim's user should read this, in these very words.
    pub async fn tell_claim(&self, claim: &Claim, reason: &str, note: String) {
        if let Some(reference) = claim_reference(claim) {
            let words = words(reason, &note);
            self.publish(EventType::Warning, reason, &words, note, &reference).await;
        }
    }

    /// Whoever looks after an object should read this, in these very words.
    pub async fn tell<K: Resource<DynamicType = ()>>(&self, object: &K, reason: &str, note: String) {
        let words = words(reason, &note);
        let reference = object.object_ref(&());
        self.publish(EventType::Warning, reason, &words, note, &reference).await;
    }

    async fn publish(&self, type_: EventType, reason: &str, action: &str, mut note: String, about: &ObjectReference) {
        const LONGEST: usize = 1024;
        if note.len() > LONGEST {
            note.truncate(note.floor_char_boundary(LONGEST - 3));
            note.push_str("...");
        }
        match type_ {
            EventType::Normal => tracing::info!(reason, "{note}"),
            EventType::Warning => tracing::warn!(reason, "{note}"),
        }
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: action.to_owned(),
            secondary: None,
        };
        let _place = self.places.acquire().await;
        if let Err(error) = self.recorder.publish(&event, about).await {
            tracing::warn!(%error, reason, "the Event could not be written");
        }
    }
}

/// Tells Events with one reason but other words apart.
fn words(reason: &str, note: &str) -> String {
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_URL, note.as_bytes()).simple().to_string();
    format!("{reason}-{}", &hash[..8])
}

/// A claim that has no name yet cannot be told anything.
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

//! Events: what a person would want to know about a volume or a claim, told on the object.
//!
//! An Event is a courtesy: that it could not be written is logged, and nothing depends on it. Repetitions within some
//! minutes are counted in the first Event, whose words stay.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::names;
use crate::policy::claim::{Claim, Name};
use crate::volume::Volume;

/// Writes Events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
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

    /// Something is wrong with a claim.
    pub async fn warn_claim(&self, claim: &Claim, reason: &str, note: String) {
        let Name::Given(name) = &claim.name else { return };
        let reference = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("PersistentVolumeClaim".to_owned()),
            namespace: Some(claim.namespace.clone()),
            name: Some(name.clone()),
            uid: Some(claim.uid.clone()),
            ..ObjectReference::default()
        };
        self.publish(EventType::Warning, reason, reason, note, &reference).await;
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
        if let Err(error) = self.recorder.publish(&event, about).await {
            tracing::warn!(%error, reason, "the Event could not be written");
        }
    }
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

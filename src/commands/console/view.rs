//! Makes of the objects what the page shows. Pure: the page only prints it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use serde::Serialize;

use super::facts::{Facts, class_name, phase};
use super::objects::{Objects, Readable};
use super::rows::{ArchiveRow, ClaimRow, Section, Server, Used, Waiting, archive_rows};
use super::{servers, shares};
use crate::commands::age;
use crate::model::names::annotation::STORAGE_PROVISIONER;
use crate::model::quantity;

/// All that the page shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    cluster: String,
    /// The namespace that is shown; missing: all.
    namespace: Option<String>,
    notes: Vec<String>,
    waiting: Section<Waiting>,
    servers: Section<Server>,
    shares: Section<shares::Share>,
    volumes: Section<ClaimRow>,
    archives: Section<ArchiveRow>,
}

/// Returns what the page shows.
pub fn of(objects: &Objects, now: Timestamp) -> View {
    let facts = Facts::new(objects, now);
    let own: Readable<Vec<&PersistentVolumeClaim>> = match &objects.claims {
        Ok(claims) => Ok(claims.iter().filter(|claim| facts.is_of_bindery(claim)).collect()),
        Err(why) => Err(why.clone()),
    };
    let archives = objects.archives.clone();
    View {
        cluster: objects.cluster.clone(),
        namespace: objects.namespace.clone(),
        notes: notes(objects),
        waiting: Section::of(own.clone().map(|own| facts.waiting(&own))),
        servers: Section::Rows(servers::of(&facts)),
        shares: Section::Rows(shares::of(&facts)),
        volumes: Section::of(own.map(|own| facts.volumes(&own))),
        archives: Section::of(archives.map(|archives| archive_rows(archives, now))),
    }
}

/// Returns sentences about what the page cannot show.
fn notes(objects: &Objects) -> Vec<String> {
    let mut notes = Vec::from_iter(objects.why_one_namespace.clone());
    if let Err(why) = &objects.volumes {
        notes.push(format!("Directories and use of volumes are not shown: {why}."));
    }
    if let Err(why) = &objects.events {
        notes.push(format!("Reasons and problems are not shown: {why}."));
    }
    if let Err(why) = &objects.classes {
        notes.push(format!("StorageClasses are not shown: {why}."));
    }
    notes
}

impl Facts<'_> {
    /// Whether Bindery serves a claim: it says so, or its class does.
    fn is_of_bindery(&self, claim: &PersistentVolumeClaim) -> bool {
        let given = claim.annotations().get(STORAGE_PROVISIONER);
        given == Some(&self.objects.provisioner) || self.class(claim).is_some()
    }

    fn waiting(&self, claims: &[&PersistentVolumeClaim]) -> Vec<Waiting> {
        let waits = claims.iter().filter(|claim| phase(claim) != "Bound");
        let row = |claim: &&PersistentVolumeClaim| Waiting {
            namespace: claim.namespace().unwrap_or_default(),
            claim: claim.name_any(),
            class: class_name(claim),
            age: self.age(claim),
            why: self.why(claim),
        };
        let mut rows: Vec<_> = waits.map(row).collect();
        rows.sort_by(|one, other| (&one.namespace, &one.claim).cmp(&(&other.namespace, &other.claim)));
        rows
    }

    /// Returns why a claim waits: the newest warning of Bindery, else the newest Event.
    fn why(&self, claim: &PersistentVolumeClaim) -> String {
        let uid = claim.uid().unwrap_or_default();
        let event = self
            .warnings
            .get(uid.as_str())
            .or_else(|| self.events.get(uid.as_str()));
        let said = event.and_then(|event| event.note.clone());
        said.unwrap_or_else(|| "No Event says why.".to_owned())
    }

    fn volumes(&self, claims: &[&PersistentVolumeClaim]) -> Vec<ClaimRow> {
        let row = |claim: &&PersistentVolumeClaim| {
            let name = claim
                .spec
                .as_ref()
                .and_then(|spec| spec.volume_name.clone())
                .unwrap_or_default();
            let volume = self.volumes.get(&name);
            let record = volume.and_then(|volume| volume.record.as_ref().ok());
            let size = size(claim);
            ClaimRow {
                namespace: claim.namespace().unwrap_or_default(),
                claim: claim.name_any(),
                class: class_name(claim),
                bytes: quantity::bytes(&size).and_then(|bytes| bytes.try_into().ok()),
                size,
                used: volume
                    .and_then(|volume| volume.usage)
                    .map(|usage| Used::new(usage, self.now)),
                status: status(claim),
                age: self.age(claim),
                volume: name,
                place: record
                    .map(|record| format!("{}:{}", record.share.server(), record.share.join(&record.directory))),
                on_delete: record.map(|record| record.on_delete.to_string()),
            }
        };
        let bound = claims.iter().filter(|claim| phase(claim) == "Bound");
        let mut rows: Vec<_> = bound.map(row).collect();
        rows.sort_by(|one, other| (&one.namespace, &one.claim).cmp(&(&other.namespace, &other.claim)));
        rows
    }

    fn age(&self, claim: &PersistentVolumeClaim) -> String {
        let created = claim.creation_timestamp();
        created.map(|time| age::since(time.0, self.now)).unwrap_or_default()
    }
}

fn status(claim: &PersistentVolumeClaim) -> String {
    if claim.metadata.deletion_timestamp.is_some() {
        return "Terminating".to_owned();
    }
    phase(claim).to_owned()
}

/// Returns the size of a claim: what it has, else what it has requested.
fn size(claim: &PersistentVolumeClaim) -> String {
    let has = claim
        .status
        .as_ref()
        .and_then(|status| status.capacity.as_ref()?.get("storage"));
    let wants = || {
        let resources = claim.spec.as_ref()?.resources.as_ref()?;
        resources.requests.as_ref()?.get("storage")
    };
    has.or_else(wants).map(|size| size.0.clone()).unwrap_or_default()
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;

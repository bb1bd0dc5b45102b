//! Makes of the objects what the page shows. Pure: the page only prints it.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use serde::Serialize;

use super::objects::{Objects, Readable};
use super::rows::{ArchiveRow, ClaimRow, Section, Server, Used, Waiting, archive_rows};
use super::{servers, shares};
use crate::commands::age;
use crate::model::names::CONTROLLER;
use crate::model::names::annotation::{BETA_CLASS, STORAGE_PROVISIONER};
use crate::model::quantity;
use crate::model::share_space::ShareSpace;
use crate::model::volume::Volume;

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

/// The objects by their names.
pub(super) struct Facts<'a> {
    pub(super) objects: &'a Objects,
    pub(super) now: Timestamp,
    pub(super) volumes: BTreeMap<String, Volume>,
    /// What Bindery has recorded about the shares, by server and path.
    pub(super) recorded: BTreeMap<(String, String), ShareSpace>,
    /// The newest Event about each object, by its uid.
    events: HashMap<&'a str, &'a Event>,
    /// The newest Event of Bindery about each object, by its uid, if that is a warning. A later Event says that the object
    /// needs nothing any more.
    pub(super) warnings: HashMap<&'a str, &'a Event>,
}

impl<'a> Facts<'a> {
    fn new(objects: &'a Objects, now: Timestamp) -> Self {
        let volumes = objects.volumes.iter().flatten().map(Volume::read);
        let of_bindery = |volume: &Volume| {
            volume
                .maker
                .as_ref()
                .is_some_and(|maker| maker.provisioner == objects.provisioner)
        };
        let (mut events, mut warnings) = (HashMap::new(), HashMap::new());
        for event in objects.events.iter().flatten() {
            let Some(uid) = event.regarding.as_ref().and_then(|about| about.uid.as_deref()) else {
                continue;
            };
            keep_newest(&mut events, uid, event);
            if event.reporting_controller.as_deref() == Some(CONTROLLER) {
                keep_newest(&mut warnings, uid, event);
            }
        }
        warnings.retain(|_, event| event.type_.as_deref() == Some("Warning"));
        Self {
            objects,
            now,
            volumes: volumes
                .filter(of_bindery)
                .map(|volume| (volume.name.clone(), volume))
                .collect(),
            recorded: shares::recorded(objects),
            events,
            warnings,
        }
    }

    /// Whether Bindery serves a claim: it says so, or its class does.
    fn is_of_bindery(&self, claim: &PersistentVolumeClaim) -> bool {
        let given = claim.annotations().get(STORAGE_PROVISIONER);
        given == Some(&self.objects.provisioner) || self.class(claim).is_some()
    }

    /// Returns the class of a claim, if it is one of Bindery's.
    pub(super) fn class(
        &self,
        claim: &PersistentVolumeClaim,
    ) -> Option<&'a k8s_openapi::api::storage::v1::StorageClass> {
        let name = class_name(claim);
        let mut classes = self.objects.classes.iter().flatten();
        classes.find(|class| class.name_any() == name && class.provisioner == self.objects.provisioner)
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

    /// Returns all shares that an object names or that Bindery has recorded, as server and path, and how many volumes each
    /// has.
    pub(super) fn all_shares(&self) -> BTreeMap<(String, String), usize> {
        let mut shares: BTreeMap<_, _> = self.recorded.keys().map(|share| (share.clone(), 0)).collect();
        for class in self.objects.classes.iter().flatten() {
            let parameters = class.parameters.iter().flatten();
            let find = |key: &str| {
                parameters
                    .clone()
                    .find(|(name, _)| *name == key)
                    .map(|(_, value)| value.clone())
            };
            if let (true, Some(share)) = (
                class.provisioner == self.objects.provisioner,
                find("server").zip(find("share")),
            ) {
                shares.entry(share).or_insert(0);
            }
        }
        for archive in self.objects.archives.iter().flatten() {
            shares
                .entry((archive.spec.server.clone(), archive.spec.share.clone()))
                .or_insert(0);
        }
        for volume in self.volumes.values() {
            if let Ok(record) = &volume.record {
                let share = (record.share.server().to_owned(), record.share.path().to_owned());
                *shares.entry(share).or_insert(0) += 1;
            }
        }
        shares
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

fn keep_newest<'a>(events: &mut HashMap<&'a str, &'a Event>, uid: &'a str, event: &'a Event) {
    let known = events.entry(uid).or_insert(event);
    if time_of(event) > time_of(known) {
        *known = event;
    }
}

/// Returns when an Event was last observed.
pub(super) fn time_of(event: &Event) -> Timestamp {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    let single = event.event_time.as_ref().map(|time| time.0);
    // What older clients wrote.
    let old = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    series.or(single).or(old).unwrap_or_default()
}

fn class_name(claim: &PersistentVolumeClaim) -> String {
    let written = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone());
    written
        .or_else(|| claim.annotations().get(BETA_CLASS).cloned())
        .unwrap_or_default()
}

pub(super) fn phase(claim: &PersistentVolumeClaim) -> &str {
    let status = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    status.unwrap_or("Pending")
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

//! The objects of the page by their names, for its parts.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

use super::objects::Objects;
use crate::model::names::annotation::BETA_CLASS;
use crate::model::names::{CONTROLLER, SHARES_KEY};
use crate::model::share_space::ShareSpace;
use crate::model::volume::Volume;

/// The objects by their names.
pub(super) struct Facts<'a> {
    pub(super) objects: &'a Objects,
    pub(super) now: Timestamp,
    pub(super) volumes: BTreeMap<String, Volume>,
    /// What Bindery has recorded about the shares, by server and path.
    pub(super) recorded: BTreeMap<(String, String), ShareSpace>,
    /// The newest Event about each object, by its uid.
    pub(super) events: HashMap<&'a str, &'a Event>,
    /// The newest Event of Bindery about each object, by its uid, if that is a warning. A later Event says that the object
    /// needs nothing any more.
    pub(super) warnings: HashMap<&'a str, &'a Event>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(objects: &'a Objects, now: Timestamp) -> Self {
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
            recorded: recorded(objects),
            events,
            warnings,
        }
    }

    /// Returns the class of a claim, if it is one of Bindery's.
    pub(super) fn class(&self, claim: &PersistentVolumeClaim) -> Option<&'a StorageClass> {
        let name = class_name(claim);
        let mut classes = self.objects.classes.iter().flatten();
        classes.find(|class| class.name_any() == name && class.provisioner == self.objects.provisioner)
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
}

/// Returns what Bindery has recorded about shares, by server and path.
fn recorded(objects: &Objects) -> BTreeMap<(String, String), ShareSpace> {
    let map = objects.shares.as_ref().ok().and_then(Option::as_ref);
    map.map(measured).unwrap_or_default()
}

/// Reads what Bindery has measured from its `ConfigMap`: nothing if that is not valid.
fn measured(map: &ConfigMap) -> BTreeMap<(String, String), ShareSpace> {
    let text = map.data.as_ref().and_then(|data| data.get(SHARES_KEY));
    let shares: Option<Vec<ShareSpace>> = text.and_then(|text| serde_json::from_str(text).ok());
    let named = |share: ShareSpace| ((share.server.clone(), share.share.clone()), share);
    shares.into_iter().flatten().map(named).collect()
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

pub(super) fn class_name(claim: &PersistentVolumeClaim) -> String {
    let written = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone());
    written
        .or_else(|| claim.annotations().get(BETA_CLASS).cloned())
        .unwrap_or_default()
}

pub(super) fn phase(claim: &PersistentVolumeClaim) -> &str {
    let status = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    status.unwrap_or("Pending")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn measured_in(text: &str) -> usize {
        measured(&serde_json::from_value(json!({"data": {SHARES_KEY: text}})).unwrap()).len()
    }

    #[test]
    fn what_is_not_valid_is_not_measured() {
        let share =
            r#"[{"server": "nas1", "share": "/a", "size": 10, "available": 4, "measuredAt": "2026-11-30T00:00:00Z"}]"#;
        assert_eq!(measured_in(share), 1);
        for text in ["no JSON", "null", "[3]", "[]"] {
            assert_eq!(measured_in(text), 0, "{text}");
        }
    }
}

//! The summary of a volume: Bindery's record on it, or the directory of a volume that is not Bindery's.

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;

use super::cached::Summary;
use crate::model::candidate::{Candidate, MatchFields};
use crate::model::claim::Claim;
use crate::model::foreign_volume::ForeignLocation;
use crate::model::location::{Evidence, Location, Overlap, Relation};
use crate::model::names;
use crate::model::volume::{Installation, Volume};

/// The summary of a volume.
#[derive(Clone, Debug)]
pub struct VolumeSummary {
    volume: Volume,
    /// The directory, if there is no readable record.
    place: Option<ForeignLocation>,
    /// Whether it has a label of Bindery.
    marked: bool,
    /// Whether an administrator has asked for its takeover.
    asks_for_takeover: bool,
    /// What Kubernetes compares with a claim, if it can bind the volume to one.
    match_fields: Option<Box<MatchFields>>,
}

impl Summary for VolumeSummary {
    type Of = PersistentVolume;

    fn summarize(object: PersistentVolume) -> Self {
        let mut volume = Volume::read(&object);
        volume.access_modes.shrink_to_fit();
        let asked = object.annotations().get(names::annotation::TAKE_OVER);
        let asks_for_takeover = asked.is_some_and(|asked| asked == "true");
        let match_fields = MatchFields::read(&object).map(Box::new);
        let labels = object.metadata.labels;
        let spec = object.spec.filter(|_| volume.record.is_err());
        Self {
            place: spec.as_ref().and_then(ForeignLocation::read),
            marked: labels.is_some_and(|labels| labels.contains_key(names::AREA)),
            volume,
            asks_for_takeover,
            match_fields,
        }
    }
}

impl VolumeSummary {
    /// Returns the volume as a candidate, if Kubernetes may bind it to this claim.
    pub fn candidate(&self, claim: &Claim, own: &Installation) -> Option<Candidate> {
        Candidate::of(&self.volume, self.match_fields.as_deref(), claim, own)
    }

    /// Returns the volume.
    pub fn read(&self) -> &Volume {
        &self.volume
    }

    /// Returns the name of its NFS server.
    pub fn server(&self) -> Option<&str> {
        let place = self.place.as_ref().map(|place| &*place.server);
        place.or(self.volume.record.as_ref().map(|record| record.share.server()).ok())
    }

    /// Returns the directory, if there is no readable record.
    pub fn place(&self) -> Option<&ForeignLocation> {
        self.place.as_ref()
    }

    /// Returns whether it was made by hand, not by a provisioner.
    pub fn is_made_by_hand(&self) -> bool {
        !self.marked && self.volume.provisioner.is_none() && self.volume.maker.is_none()
    }

    /// Returns whether this other provisioner made it.
    pub fn is_provisioned_by(&self, other_provisioner: &str) -> bool {
        self.volume.provisioner.as_deref() == Some(other_provisioner)
    }

    /// Returns whether an administrator has asked for its takeover.
    pub fn asks_for_takeover(&self) -> bool {
        self.asks_for_takeover
    }

    /// Returns how its directory overlaps another one.
    pub fn overlap_with(&self, location: &Location<'_>) -> Option<Overlap> {
        let place = match (&self.volume.record, &self.place) {
            (Ok(record), _) => return location.overlap_with(&record.location()),
            (Err(_), place) => place.as_ref()?,
        };
        let counts = |relation: &Relation| {
            self.marked
                || match relation {
                    Relation::Same | Relation::Inside => self.is_made_by_hand() || place.is_below_share(location),
                    // A volume of another provisioner counts. A volume of the whole share does not, because it is above
                    // all others. Nor does a volume made by hand.
                    Relation::Above => !self.is_made_by_hand() && place.is_below_share(location),
                }
        };
        let relation = place.relation_to(location).filter(counts)?;
        let evidence = Evidence::Names;
        Some(Overlap { relation, evidence })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::CachedVolume;
    use super::*;
    use crate::model::directory::{Directory, Share};

    const SHARE: &str = "/export/volumes";

    fn cached(volume: Value) -> CachedVolume {
        serde_json::from_value(volume).unwrap()
    }

    fn is_found_at(volume: Value, share: &str, directory: &str) -> bool {
        let (share, directory) = (
            Share::parse("nas1", share).unwrap(),
            Directory::parse(directory).unwrap(),
        );
        let location = Location {
            share: &share,
            directory: &directory,
            share_id: None,
            identity: None,
        };
        cached(volume).overlap_with(&location).is_some()
    }

    fn ours(share: &str, directory: &str) -> Value {
        json!({
            "metadata": {"name": "pvc-1", "labels": {"bindery.dev/area": "a"}, "annotations": {
                "pv.kubernetes.io/provisioned-by": "bindery.dev/nfs",
                "bindery.dev/instance": "blue",
                "bindery.dev/share": share,
                "bindery.dev/sub-dir": directory,
                "bindery.dev/directory": "new",
                "bindery.dev/on-delete": "archive",
                "bindery.dev/mount-permissions": "0777",
            }},
            "spec": {"nfs": {"server": "nas1", "path": format!("{share}/{directory}")}},
        })
    }

    fn provisioned_by_another(path: &str) -> Value {
        json!({
            "metadata": {"name": "pvc-2", "annotations": {"pv.kubernetes.io/provisioned-by": "someone.example.com/nfs"}},
            "spec": {"nfs": {"server": "NAS1.", "path": path}},
        })
    }

    #[test]
    fn directories_above_and_below_are_found_and_siblings_are_not() {
        for directory in ["a", "a/b", "a/b/c"] {
            assert!(is_found_at(ours(SHARE, "a/b"), SHARE, directory), "{directory}");
        }
        for directory in ["ab", "a/bc", "b", "b/a"] {
            assert!(!is_found_at(ours(SHARE, "a/b"), SHARE, directory), "{directory}");
        }
    }

    #[test]
    fn an_export_inside_an_export_is_the_same_tree() {
        assert!(is_found_at(ours(SHARE, "a/b"), "/export", "volumes/a"));
        assert!(is_found_at(ours("/export", "volumes/a"), SHARE, "a/b"));
        assert!(!is_found_at(ours("/export", "volumes/a"), SHARE, "b"));
    }

    #[test]
    fn annotations_that_cannot_be_read_do_not_hide_a_directory() {
        let mut broken = ours(SHARE, "a");
        broken["metadata"]["annotations"]["bindery.dev/sub-dir"] = json!("elsewhere");
        assert!(is_found_at(broken, SHARE, "a/b"));
    }

    #[test]
    fn another_programs_directory_counts_below_the_share_only() {
        assert!(is_found_at(provisioned_by_another("/export/volumes/a"), SHARE, "a/b"));
        assert!(!is_found_at(provisioned_by_another(SHARE), SHARE, "a/b"));
    }

    #[test]
    fn a_volume_made_by_hand_counts_at_the_directory_and_in_it_and_not_above() {
        let in_tree =
            |path: &str| json!({"metadata": {"name": "pv"}, "spec": {"nfs": {"server": "NAS1.", "path": path}}});
        let csi = |path: &str| {
            let attributes = json!({"server": "nas1", "share": path});
            let csi = json!({"driver": "nfs.csi.k8s.io", "volumeHandle": "x", "volumeAttributes": attributes});
            json!({"metadata": {"name": "pv"}, "spec": {"csi": csi}})
        };
        for (path, counts) in [
            ("/export/volumes/a/b", true),
            ("/export/volumes/a/b/c", true),
            ("/export/volumes/a", false),
            (SHARE, false),
            ("/", false),
            ("/export/volumes/a/bb", false),
        ] {
            assert_eq!(is_found_at(in_tree(path), SHARE, "a/b"), counts, "{path}");
            assert_eq!(is_found_at(csi(path), SHARE, "a/b"), counts, "{path}");
        }
    }
}

//! Of a volume: all that Bindery says there, and of others' where their directories are.

use k8s_openapi::api::core::v1::{NFSVolumeSource, PersistentVolume};

use super::Facts;
use crate::names::{self, mark};
use crate::policy::directory::{Directory, Share, overlap, same_tree, segments};
use crate::volume::Volume;

/// What is used of a volume.
#[derive(Clone, Debug)]
pub struct VolumeFacts {
    volume: Volume,
    /// Where its directory is, if the record does not tell.
    nfs: Option<Box<NFSVolumeSource>>,
    /// Who made it, if that is no installation of Bindery.
    stranger: Option<Box<str>>,
    /// Some installation of Bindery has marked it.
    marked: bool,
}

impl Facts for VolumeFacts {
    type Of = PersistentVolume;

    fn take(object: PersistentVolume) -> Self {
        let mut volume = Volume::read(&object);
        volume.access_modes.shrink_to_fit();
        let meta = object.metadata;
        let maker = meta
            .annotations
            .and_then(|mut marks| marks.remove(mark::PROVISIONED_BY));
        let nfs = object.spec.and_then(|spec| spec.nfs);
        Self {
            nfs: nfs.filter(|_| volume.record.is_err()).map(Box::new),
            stranger: maker.filter(|_| volume.maker.is_none()).map(String::into_boxed_str),
            marked: meta.labels.is_some_and(|labels| labels.contains_key(names::AREA)),
            volume,
        }
    }
}

impl VolumeFacts {
    /// What the volume says.
    pub fn read(&self) -> &Volume {
        &self.volume
    }

    /// The NFS server that it is on.
    pub fn server(&self) -> Option<&str> {
        let nfs = self.nfs.as_ref().map(|nfs| nfs.server.as_str());
        nfs.or(self.volume.record.as_ref().map(|record| record.share.server()).ok())
    }

    /// Whether another program of this name made it.
    pub fn is_made_by(&self, stranger: &str) -> bool {
        self.stranger.as_deref() == Some(stranger)
    }

    /// Whether its directory is this one, or lies above or in it.
    pub fn is_in_tree_of(&self, share: &Share, directory: &Directory) -> bool {
        let path = || share.segments().chain(directory.segments());
        match (&self.volume.record, &self.nfs) {
            // Nearly all of them, and there may be very many.
            (Ok(record), _) if record.share.path() == share.path() => {
                overlap(record.directory.as_str(), directory.as_str()) && record.share.server() == share.server()
            }
            (Ok(record), _) => {
                let own = record.share.segments().chain(record.directory.segments());
                same_tree(own, path()) && record.share.server() == share.server()
            }
            (Err(_), Some(nfs)) if !same_tree(segments(&nfs.path), path()) => false,
            (Err(_), Some(nfs)) if self.marked => share.is_on(&nfs.server),
            // Say one of nfs-subdir-external-provisioner that is not taken over yet. One that is the share itself would be
            // above all others: it never was a directory of its own.
            (Err(_), Some(nfs)) => {
                (self.stranger.is_some() || self.volume.maker.is_some())
                    && share.below(&nfs.server, &nfs.path).is_some()
            }
            (Err(_), None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::KeptVolume;
    use super::*;

    const SHARE: &str = "/export/volumes";

    fn kept(volume: Value) -> KeptVolume {
        serde_json::from_value(volume).unwrap()
    }

    fn is_met_at(volume: Value, share: &str, directory: &str) -> bool {
        let share = Share::parse("nas1", share).unwrap();
        kept(volume).is_in_tree_of(&share, &Directory::parse(directory).unwrap())
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

    fn strangers(path: &str) -> Value {
        json!({
            "metadata": {"name": "pvc-2", "annotations": {"pv.kubernetes.io/provisioned-by": "someone.example.com/nfs"}},
            "spec": {"nfs": {"server": "NAS1.", "path": path}},
        })
    }

    #[test]
    fn directories_above_and_below_are_found_and_neighbours_are_not() {
        for directory in ["a", "a/b", "a/b/c"] {
            assert!(is_met_at(ours(SHARE, "a/b"), SHARE, directory), "{directory}");
        }
        for directory in ["ab", "a/bc", "b", "b/a"] {
            assert!(!is_met_at(ours(SHARE, "a/b"), SHARE, directory), "{directory}");
        }
    }

    #[test]
    fn an_export_inside_an_export_is_the_same_tree() {
        assert!(is_met_at(ours(SHARE, "a/b"), "/export", "volumes/a"));
        assert!(is_met_at(ours("/export", "volumes/a"), SHARE, "a/b"));
        assert!(!is_met_at(ours("/export", "volumes/a"), SHARE, "b"));
    }

    #[test]
    fn marks_that_cannot_be_read_do_not_hide_a_directory() {
        let mut broken = ours(SHARE, "a");
        broken["metadata"]["annotations"]["bindery.dev/sub-dir"] = json!("elsewhere");
        assert!(is_met_at(broken, SHARE, "a/b"));
    }

    #[test]
    fn another_programs_directory_counts_below_the_share_only() {
        assert!(is_met_at(strangers("/export/volumes/a"), SHARE, "a/b"));
        assert!(!is_met_at(strangers(SHARE), SHARE, "a/b"));
        let by_hand =
            json!({"metadata": {"name": "pv"}, "spec": {"nfs": {"server": "nas1", "path": "/export/volumes/a"}}});
        assert!(
            !is_met_at(by_hand, SHARE, "a/b"),
            "nobody's directory, as far as is known"
        );
    }
}

//! What becomes of a volume when Bindery leaves the cluster and all data stays.

use crate::volume::{Us, Volume};

/// What `bindery uninstall --keep-data` does with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// Nothing: it is not ours, or nothing of ours holds it.
    Leave,
    /// Its cleanup has begun, and only Bindery can end it.
    Unfinished,
    /// Kubernetes keeps it from now on, and the finalizer goes.
    LetGo,
}

/// Decides. With `unfinished` a cleanup that has begun is given up.
pub fn part(volume: &Volume, us: &Us, unfinished: bool) -> Parting {
    if volume.maker.as_ref() != Some(us) || !volume.held {
        return Parting::Leave;
    }
    if volume.deleting && !unfinished {
        return Parting::Unfinished;
    }
    Parting::LetGo
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PersistentVolume;
    use serde_json::{Value, json};

    use super::*;

    fn us() -> Us {
        Us {
            provisioner: "bindery.dev/nfs".to_owned(),
            instance: "blue".to_owned(),
        }
    }

    /// How a volume of ours parts that has this metadata besides.
    fn parts(metadata: Value, unfinished: bool) -> Parting {
        let mut volume = json!({"metadata": {
            "annotations": {"pv.kubernetes.io/provisioned-by": "bindery.dev/nfs", "bindery.dev/instance": "blue"},
            "finalizers": ["kubernetes.io/pv-protection", "bindery.dev/cleanup"],
        }});
        json_patch::merge(&mut volume, &json!({"metadata": metadata}));
        let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
        part(&Volume::read(&volume), &us(), unfinished)
    }

    #[test]
    fn a_volume_of_ours_is_let_go_whatever_its_phase() {
        assert_eq!(parts(json!({}), false), Parting::LetGo);
    }

    #[test]
    fn a_cleanup_that_has_begun_is_given_up_only_on_demand() {
        let deleted = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        assert_eq!(parts(deleted.clone(), false), Parting::Unfinished);
        assert_eq!(parts(deleted, true), Parting::LetGo);
    }

    #[test]
    fn what_is_another_s_or_free_is_left_alone() {
        for other in ["bindery.dev/instance", "pv.kubernetes.io/provisioned-by"] {
            let annotations = json!({"annotations": {other: "other"}});
            assert_eq!(parts(annotations, true), Parting::Leave, "{other}");
        }
        let free = json!({"finalizers": ["kubernetes.io/pv-protection"]});
        assert_eq!(parts(free, true), Parting::Leave);
    }
}

//! Volumes that Kubernetes can bind to a claim that names no volume.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolume;

use super::claim::{Claim, Name};
use super::volume::{Installation, Volume};

/// The fields that Kubernetes compares with a claim, besides those of [`Volume`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchFields {
    /// The labels, for the claim's selector.
    pub labels: BTreeMap<String, String>,
    /// Whether `volumeMode` is `Block`.
    pub is_block: bool,
    /// `volumeAttributesClassName`, or `""`.
    pub attributes_class: String,
}

/// A volume that Kubernetes can bind to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The volume.
    pub volume: Volume,
    /// The other fields that Kubernetes compares.
    pub match_fields: MatchFields,
}

impl MatchFields {
    /// Reads a volume. `None` unless Kubernetes can bind it: it has no `claimRef` and is `Available` or will be soon, or its
    /// `claimRef` has no uid.
    pub fn read(object: &PersistentVolume) -> Option<Self> {
        let spec = object.spec.as_ref()?;
        let phase = object.status.as_ref().and_then(|status| status.phase.as_deref());
        let is_free = match &spec.claim_ref {
            // The controller manager sets Available within milliseconds.
            None => matches!(phase, None | Some("" | "Pending" | "Available")),
            Some(claim) => claim.uid.as_deref().unwrap_or_default().is_empty(),
        };
        (is_free && object.metadata.deletion_timestamp.is_none()).then(|| Self {
            labels: object.metadata.labels.clone().unwrap_or_default(),
            is_block: spec.volume_mode.as_deref() == Some("Block"),
            attributes_class: spec.volume_attributes_class_name.clone().unwrap_or_default(),
        })
    }
}

impl Candidate {
    /// Returns the volume as a candidate, if its class or its `claimRef` lets Kubernetes bind it to this claim. A volume
    /// that this installation is creating for the claim is not a candidate: Bindery finishes it.
    pub fn of(volume: &Volume, match_fields: Option<&MatchFields>, claim: &Claim, own: &Installation) -> Option<Self> {
        let candidate = |match_fields: &MatchFields| Self {
            volume: volume.clone(),
            match_fields: match_fields.clone(),
        };
        if volume.is_given_to(claim) {
            return Some(candidate(&MatchFields::default()));
        }
        let is_match = match (&volume.claim, &claim.name) {
            (None, _) => Some(&volume.class) == claim.class.as_ref(),
            (Some(_), Name::Given(name)) => {
                volume.is_for(&claim.namespace, name) && !volume.is_unclaimed_of(own, claim)
            }
            (Some(_), Name::Generate(_)) => false,
        };
        match_fields.filter(|_| is_match).map(candidate)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn is_candidate(change: impl FnOnce(&mut Value)) -> bool {
        let mut volume = json!({
            "metadata": {"name": "by-hand", "labels": {"tier": "gold"}},
            "spec": {"storageClassName": "fast", "nfs": {"server": "nas1", "path": "/export/team-a-data"}},
            "status": {"phase": "Available"},
        });
        change(&mut volume);
        let object: PersistentVolume = serde_json::from_value(volume).unwrap();
        let claim = Claim {
            class: Some("fast".to_owned()),
            uid: "c".to_owned(),
            ..Claim::named("team-a".to_owned(), "data".to_owned())
        };
        let own = Installation {
            provisioner: "bindery.dev/nfs".to_owned(),
            instance: "blue".to_owned(),
        };
        Candidate::of(
            &Volume::read(&object),
            MatchFields::read(&object).as_ref(),
            &claim,
            &own,
        )
        .is_some()
    }

    #[test]
    fn a_volume_without_a_claim_is_a_candidate_for_claims_of_its_class() {
        assert!(is_candidate(|_| ()));
        assert!(is_candidate(|volume| volume["status"] = json!({})));
        assert!(!is_candidate(
            |volume| volume["spec"]["storageClassName"] = json!("slow")
        ));
        assert!(!is_candidate(|volume| volume["status"]["phase"] = json!("Released")));
        assert!(!is_candidate(|volume| volume["status"]["phase"] = json!("Failed")));
        assert!(!is_candidate(
            |volume| volume["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")
        ));
    }

    #[test]
    fn a_reserved_volume_is_a_candidate_for_its_claim_in_every_class_and_phase() {
        let reserve = |volume: &mut Value, name: &str, uid: &str| {
            volume["spec"]["storageClassName"] = json!("");
            volume["spec"]["claimRef"] = json!({"namespace": "team-a", "name": name, "uid": uid});
        };
        assert!(is_candidate(|volume| reserve(volume, "data", "")));
        assert!(!is_candidate(|volume| reserve(volume, "data", "u")));
        // kube-controller-manager has begun to bind the two.
        assert!(is_candidate(|volume| reserve(volume, "data", "c")));
        assert!(!is_candidate(|volume| reserve(volume, "other", "")));
        // An administrator removed the uid of a retained volume.
        assert!(is_candidate(|volume| {
            reserve(volume, "data", "");
            volume["status"]["phase"] = json!("Released");
        }));
    }

    #[test]
    fn a_volume_that_bindery_is_creating_for_the_claim_is_not_a_candidate() {
        let is_new = |ready: &str| {
            is_candidate(|volume| {
                volume["spec"]["claimRef"] = json!({"namespace": "team-a", "name": "data"});
                volume["metadata"]["finalizers"] = json!(["bindery.dev/cleanup"]);
                volume["metadata"]["annotations"] = json!({
                    "pv.kubernetes.io/provisioned-by": "bindery.dev/nfs",
                    "bindery.dev/instance": "blue",
                    "bindery.dev/share": "/export",
                    "bindery.dev/sub-dir": "team-a-data",
                    "bindery.dev/directory": "new",
                    "bindery.dev/on-delete": "archive",
                    "bindery.dev/mount-permissions": "0777",
                    "bindery.dev/ready": ready,
                });
                volume["status"]["phase"] = json!("Available");
            })
        };
        assert!(!is_new("false"));
        assert!(
            is_new("true"),
            "a volume that a claim has had, freed by an administrator"
        );
    }
}

//! Decides what happens to a volume when Bindery is uninstalled and all data is kept.

use super::reconcile::{ClaimState, InUse, in_use};
use crate::model::volume::{Installation, Volume};

/// What `bindery uninstall --keep-data` does with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UninstallStep {
    /// Nothing: it belongs to another installation, or it does not have Bindery's finalizer.
    Leave,
    /// Look up the claim and decide again.
    LookUpClaim,
    /// Only Bindery can complete it: its cleanup has begun, or a claim waits for its directory.
    Unfinished,
    /// Set its reclaim policy to Retain and remove the finalizer.
    Keep,
    /// Delete it: no claim has ever had it, so it holds no data. If it stayed, it would bind any later claim of that
    /// name, perhaps without a directory, or would block its name for a later installation.
    Delete,
}

/// Whether uninstalling has anything to do with a volume.
pub fn needs_step(volume: &Volume, installation: &Installation) -> bool {
    volume.maker.as_ref() == Some(installation) && volume.has_finalizer
}

/// Decides the next step. With `unfinished`, volumes that only Bindery can complete are given up.
pub fn uninstall_step(
    volume: &Volume,
    claim_state: ClaimState<'_>,
    installation: &Installation,
    unfinished: bool,
) -> UninstallStep {
    if !needs_step(volume, installation) {
        return UninstallStep::Leave;
    }
    // An administrator has removed its `claimRef`, so that another claim can have it.
    if volume.had_claim() || volume.claim.is_none() {
        return match in_use(volume, claim_state) {
            _ if !volume.deleting || unfinished => UninstallStep::Keep,
            InUse::Unknown => UninstallStep::LookUpClaim,
            // It is deleted but in use: cleanup has not begun.
            InUse::Yes(_) => UninstallStep::Keep,
            InUse::No => UninstallStep::Unfinished,
        };
    }
    match (in_use(volume, claim_state), claim_state) {
        (InUse::Unknown, _) => UninstallStep::LookUpClaim,
        (InUse::Yes(_), _) => UninstallStep::Keep,
        // It is fenced, because it is not known whether its directory exists.
        (InUse::No, ClaimState::Exists(claim))
            if claim.volume_name.as_ref() == Some(&volume.name) && !volume.deleting && !unfinished =>
        {
            UninstallStep::Unfinished
        }
        (InUse::No, _) => UninstallStep::Delete,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PersistentVolume;
    use serde_json::{Value, json};

    use super::*;
    use crate::model::claim::Claim;
    use crate::model::names;
    use crate::policy::fixtures::installation;

    /// A volume of this installation for claim team/data, merged with these fields.
    fn volume(fields: &Value) -> Volume {
        let mut volume = json!({
            "metadata": {
                "name": "pvc-1",
                "annotations": {"pv.kubernetes.io/provisioned-by": "bindery.dev/nfs", "bindery.dev/instance": "blue"},
                "finalizers": ["bindery.dev/cleanup", "kubernetes.io/pv-protection"],
            },
            "spec": {"claimRef": {"namespace": "team", "name": "data", "uid": "u1"}},
        });
        json_patch::merge(&mut volume, fields);
        let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
        Volume::read(&volume)
    }

    fn step(fields: &Value, claim_state: ClaimState<'_>, unfinished: bool) -> UninstallStep {
        uninstall_step(&volume(fields), claim_state, &installation(), unfinished)
    }

    /// Claim team/data with this uid, which names this volume.
    fn claim(uid: &str, volume: Option<&str>) -> Claim {
        let claim = json!({"metadata": {"name": "data", "uid": uid}, "spec": {"volumeName": volume}});
        Claim::read(&serde_json::from_value(claim).unwrap(), "team")
    }

    fn deleted() -> Value {
        json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
    }

    fn with_uid(uid: Option<&str>) -> Value {
        json!({"spec": {"claimRef": {"uid": uid}}})
    }

    #[test]
    fn a_volume_that_a_claim_has_had_is_kept_in_every_phase() {
        for phase in ["Available", "Bound", "Released", "Failed"] {
            let fields = json!({"status": {"phase": phase}});
            assert_eq!(
                step(&fields, ClaimState::Unknown, false),
                UninstallStep::Keep,
                "{phase}"
            );
        }
        let freed = json!({"spec": {"claimRef": null}});
        assert_eq!(step(&freed, ClaimState::Unknown, false), UninstallStep::Keep);
    }

    #[test]
    fn unfinished_cleanup_is_given_up_only_on_request() {
        assert_eq!(step(&deleted(), ClaimState::Unknown, false), UninstallStep::LookUpClaim);
        assert_eq!(step(&deleted(), ClaimState::Gone, false), UninstallStep::Unfinished);
        let other = claim("u2", None);
        assert_eq!(
            step(&deleted(), ClaimState::Exists(&other), false),
            UninstallStep::Unfinished
        );
        assert_eq!(step(&deleted(), ClaimState::Gone, true), UninstallStep::Keep);
    }

    #[test]
    fn a_deleted_volume_in_use_is_kept() {
        let claim = claim("u1", Some("pvc-1"));
        assert_eq!(step(&deleted(), ClaimState::Exists(&claim), false), UninstallStep::Keep);
    }

    #[test]
    fn a_volume_that_no_claim_has_had_is_deleted_unless_its_claim_exists() {
        for uid in [None, Some(names::UNBOUND_UID)] {
            let never = with_uid(uid);
            assert_eq!(step(&never, ClaimState::Unknown, false), UninstallStep::LookUpClaim);
            assert_eq!(step(&never, ClaimState::Gone, false), UninstallStep::Delete);
            let waiting = claim("u1", None);
            assert_eq!(step(&never, ClaimState::Exists(&waiting), false), UninstallStep::Delete);
            let mut deleted = deleted();
            deleted["spec"] = never["spec"].clone();
            assert_eq!(
                step(&deleted, ClaimState::Gone, false),
                UninstallStep::Delete,
                "the second half of it"
            );
        }
        let come = claim("u1", Some("pvc-1"));
        assert_eq!(
            step(&with_uid(None), ClaimState::Exists(&come), false),
            UninstallStep::Keep
        );
    }

    #[test]
    fn a_fenced_volume_that_its_claim_names_is_unfinished() {
        let fenced = with_uid(Some(names::UNBOUND_UID));
        let come = claim("u1", Some("pvc-1"));
        assert_eq!(
            step(&fenced, ClaimState::Exists(&come), false),
            UninstallStep::Unfinished
        );
        assert_eq!(step(&fenced, ClaimState::Exists(&come), true), UninstallStep::Delete);
    }

    #[test]
    fn volumes_of_others_and_without_finalizer_are_not_touched() {
        for other in ["bindery.dev/instance", "pv.kubernetes.io/provisioned-by"] {
            let other_s = json!({"metadata": {"annotations": {other: "other"}}});
            assert_eq!(step(&other_s, ClaimState::Gone, true), UninstallStep::Leave, "{other}");
        }
        let free = json!({"metadata": {"finalizers": ["kubernetes.io/pv-protection"]}});
        assert_eq!(step(&free, ClaimState::Gone, true), UninstallStep::Leave);
    }
}

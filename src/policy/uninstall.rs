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
    /// Skip it, because only Bindery can complete its work: its cleanup has begun, or a claim waits for its directory.
    Unfinished,
    /// Set its reclaim policy to Retain and remove the finalizer.
    Keep,
    /// Delete it: no claim has had it, so it holds no data. Otherwise Kubernetes could bind it to a later claim of that
    /// name, perhaps without a directory, and a later installation could not use the name of the volume.
    Delete,
}

/// Whether uninstalling must change a volume.
pub fn needs_step(volume: &Volume, installation: &Installation) -> bool {
    volume.maker.as_ref() == Some(installation) && volume.has_finalizer
}

/// Decides the next step. With `unfinished`, also releases volumes whose work only Bindery could complete.
pub fn uninstall_step(
    volume: &Volume,
    claim_state: ClaimState<'_>,
    installation: &Installation,
    unfinished: bool,
) -> UninstallStep {
    if !needs_step(volume, installation) {
        return UninstallStep::Leave;
    }
    // Without a `claimRef`: an administrator has removed it, so that another claim can have the volume.
    if volume.had_claim() || volume.claim.is_none() {
        return match in_use(volume, claim_state) {
            _ if !volume.deleting || unfinished => UninstallStep::Keep,
            InUse::Unknown => UninstallStep::LookUpClaim,
            // The volume is deleted, but a claim has it: cleanup has not begun.
            InUse::Yes(_) => UninstallStep::Keep,
            InUse::No => UninstallStep::Unfinished,
        };
    }
    match (in_use(volume, claim_state), claim_state) {
        (InUse::Unknown, _) => UninstallStep::LookUpClaim,
        (InUse::Yes(_), _) => UninstallStep::Keep,
        // The volume is fenced, because it is not known whether its directory exists.
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

    /// Claim team/data with this uid and volume name.
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
    fn a_volume_with_unfinished_cleanup_is_kept_only_with_the_flag() {
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
                "deleted in an earlier run"
            );
        }
        let bound = claim("u1", Some("pvc-1"));
        assert_eq!(
            step(&with_uid(None), ClaimState::Exists(&bound), false),
            UninstallStep::Keep
        );
    }

    #[test]
    fn a_fenced_volume_that_its_claim_names_is_unfinished() {
        let fenced = with_uid(Some(names::UNBOUND_UID));
        let bound = claim("u1", Some("pvc-1"));
        assert_eq!(
            step(&fenced, ClaimState::Exists(&bound), false),
            UninstallStep::Unfinished
        );
        assert_eq!(step(&fenced, ClaimState::Exists(&bound), true), UninstallStep::Delete);
    }

    #[test]
    fn volumes_of_other_installations_and_without_the_finalizer_are_not_changed() {
        for other in ["bindery.dev/instance", "pv.kubernetes.io/provisioned-by"] {
            let of_another = json!({"metadata": {"annotations": {other: "other"}}});
            assert_eq!(
                step(&of_another, ClaimState::Gone, true),
                UninstallStep::Leave,
                "{other}"
            );
        }
        let free = json!({"metadata": {"finalizers": ["kubernetes.io/pv-protection"]}});
        assert_eq!(step(&free, ClaimState::Gone, true), UninstallStep::Leave);
    }
}

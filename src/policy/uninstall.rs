//! What becomes of a volume when Bindery leaves the cluster and all data stays.

use super::reconcile::{ClaimState, InUse, in_use};
use crate::model::volume::{Installation, Volume};

/// What `bindery uninstall --keep-data` does with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// Nothing: it is not ours, or nothing of ours holds it.
    Leave,
    /// Look at the claim and ask again.
    LookAtClaim,
    /// Bindery is at work on it, and only Bindery can end that: its cleanup has begun, or a claim waits for its directory.
    Unfinished,
    /// Kubernetes keeps it from now on, and the finalizer goes.
    LetGo,
    /// No claim has ever had it, so there is no data in it: it goes. Left behind it would bind any later claim of that name,
    /// perhaps without a directory, or keep its place from a Bindery that comes back.
    TakeBack,
}

/// Whether it is for us to take leave of a volume.
pub fn waits_for(volume: &Volume, installation: &Installation) -> bool {
    volume.maker.as_ref() == Some(installation) && volume.held
}

/// Decides. With `unfinished` what Bindery is at work on is given up.
pub fn part(volume: &Volume, claim_state: ClaimState<'_>, installation: &Installation, unfinished: bool) -> Parting {
    if !waits_for(volume, installation) {
        return Parting::Leave;
    }
    // One without a claim was freed by an administrator, for a claim that is still to come.
    if volume.was_given() || volume.claim.is_none() {
        return match in_use(volume, claim_state) {
            _ if !volume.deleting || unfinished => Parting::LetGo,
            InUse::Unknown => Parting::LookAtClaim,
            // Deleted, but in use: nothing has been done to its directory yet.
            InUse::Yes(_) => Parting::LetGo,
            InUse::No => Parting::Unfinished,
        };
    }
    match (in_use(volume, claim_state), claim_state) {
        (InUse::Unknown, _) => Parting::LookAtClaim,
        (InUse::Yes(_), _) => Parting::LetGo,
        // It is fenced, for nobody knows whether its directory is there.
        (InUse::No, ClaimState::Exists(claim))
            if claim.volume_name.as_ref() == Some(&volume.name) && !volume.deleting && !unfinished =>
        {
            Parting::Unfinished
        }
        (InUse::No, _) => Parting::TakeBack,
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

    /// A volume of ours for claim team/data, with these fields besides.
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

    fn parts(fields: &Value, claim_state: ClaimState<'_>, unfinished: bool) -> Parting {
        part(&volume(fields), claim_state, &installation(), unfinished)
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
    fn a_volume_that_a_claim_has_had_is_let_go_whatever_its_phase() {
        for phase in ["Available", "Bound", "Released", "Failed"] {
            let fields = json!({"status": {"phase": phase}});
            assert_eq!(parts(&fields, ClaimState::Unknown, false), Parting::LetGo, "{phase}");
        }
        let freed = json!({"spec": {"claimRef": null}});
        assert_eq!(parts(&freed, ClaimState::Unknown, false), Parting::LetGo);
    }

    #[test]
    fn a_cleanup_that_has_begun_is_given_up_only_on_demand() {
        assert_eq!(parts(&deleted(), ClaimState::Unknown, false), Parting::LookAtClaim);
        assert_eq!(parts(&deleted(), ClaimState::Gone, false), Parting::Unfinished);
        let other = claim("u2", None);
        assert_eq!(
            parts(&deleted(), ClaimState::Exists(&other), false),
            Parting::Unfinished
        );
        assert_eq!(parts(&deleted(), ClaimState::Gone, true), Parting::LetGo);
    }

    #[test]
    fn a_volume_that_is_deleted_while_its_claim_has_it_is_let_go() {
        let claim = claim("u1", Some("pvc-1"));
        assert_eq!(parts(&deleted(), ClaimState::Exists(&claim), false), Parting::LetGo);
    }

    #[test]
    fn a_volume_that_no_claim_ever_had_goes_unless_its_claim_has_come() {
        for uid in [None, Some(names::FENCE)] {
            let never = with_uid(uid);
            assert_eq!(parts(&never, ClaimState::Unknown, false), Parting::LookAtClaim);
            assert_eq!(parts(&never, ClaimState::Gone, false), Parting::TakeBack);
            let waiting = claim("u1", None);
            assert_eq!(parts(&never, ClaimState::Exists(&waiting), false), Parting::TakeBack);
            let mut deleted = deleted();
            deleted["spec"] = never["spec"].clone();
            assert_eq!(
                parts(&deleted, ClaimState::Gone, false),
                Parting::TakeBack,
                "the second half of it"
            );
        }
        let come = claim("u1", Some("pvc-1"));
        assert_eq!(parts(&with_uid(None), ClaimState::Exists(&come), false), Parting::LetGo);
    }

    #[test]
    fn a_fenced_volume_that_its_claim_names_is_bindery_s_to_finish() {
        let fenced = with_uid(Some(names::FENCE));
        let come = claim("u1", Some("pvc-1"));
        assert_eq!(parts(&fenced, ClaimState::Exists(&come), false), Parting::Unfinished);
        assert_eq!(parts(&fenced, ClaimState::Exists(&come), true), Parting::TakeBack);
    }

    #[test]
    fn what_is_another_s_or_free_is_left_alone() {
        for other in ["bindery.dev/instance", "pv.kubernetes.io/provisioned-by"] {
            let other_s = json!({"metadata": {"annotations": {other: "other"}}});
            assert_eq!(parts(&other_s, ClaimState::Gone, true), Parting::Leave, "{other}");
        }
        let free = json!({"metadata": {"finalizers": ["kubernetes.io/pv-protection"]}});
        assert_eq!(parts(&free, ClaimState::Gone, true), Parting::Leave);
    }
}

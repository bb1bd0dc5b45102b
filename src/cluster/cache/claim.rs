//! The summary of a claim: what decides whether it waits for a volume or for a larger one, and whether csi-resizer may
//! change its volume.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Resource, ResourceExt};

use super::cached::{Cached, Summary};
use crate::model::claim::Claim;

/// The summary of a claim.
#[derive(Clone, Debug)]
pub struct ClaimSummary {
    claim: Claim,
    phase: Phase,
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Pending,
    Bound,
    Lost,
}

impl Summary for ClaimSummary {
    type Of = PersistentVolumeClaim;

    fn summarize(object: PersistentVolumeClaim) -> Self {
        let phase = object.status.as_ref().and_then(|status| status.phase.as_deref());
        let phase = match phase {
            None | Some("Pending") => Phase::Pending,
            Some("Bound") => Phase::Bound,
            Some(_) => Phase::Lost,
        };
        let claim = Claim {
            annotations: BTreeMap::new(),
            ..Claim::read(&object, object.metadata.namespace.as_deref().unwrap_or_default())
        };
        Self { claim, phase }
    }
}

impl Cached<ClaimSummary> {
    /// Returns the claim, without its annotations.
    pub fn read(&self) -> &Claim {
        &self.claim
    }

    /// Returns its namespace and its name, with a slash between them.
    pub fn key(&self) -> String {
        format!("{}/{}", self.claim.namespace, self.name_any())
    }

    /// Returns whether it is neither bound nor lost, and not being deleted.
    pub fn is_pending(&self) -> bool {
        self.phase == Phase::Pending && self.meta().deletion_timestamp.is_none()
    }

    /// Returns whether it is bound, and requests more storage than its status shows, or csi-resizer has expanded it and may
    /// write to its volume later.
    pub fn is_to_be_expanded(&self) -> bool {
        self.phase == Phase::Bound && (self.claim.asks_for_more() || self.claim.allocated.is_some())
    }

    /// Returns whether Bindery may have to act on it. Other claims are not cached.
    pub fn is_unsettled(&self) -> bool {
        self.is_pending() || self.is_to_be_expanded()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::CachedClaim;

    #[test]
    fn claims_that_wait_for_a_volume_or_for_a_larger_one_are_cached() {
        // The phase, the request, the capacity in the status; whether it waits for a volume, and for a larger one.
        for (phase, request, capacity, pending, larger) in [
            (None, "1Gi", None, true, false),
            (Some("Pending"), "1Gi", None, true, false),
            (Some("Bound"), "1Gi", Some("1Gi"), false, false),
            (Some("Bound"), "1Gi", Some("1073741824"), false, false),
            (Some("Bound"), "1Gi", Some("5Gi"), false, false),
            (Some("Bound"), "5Gi", Some("1Gi"), false, true),
            (Some("Bound"), "5Gi", None, false, true),
            (Some("Lost"), "5Gi", Some("1Gi"), false, false),
        ] {
            let claim: CachedClaim = serde_json::from_value(json!({
                "metadata": {"namespace": "team-a", "name": "data"},
                "spec": {"resources": {"requests": {"storage": request}}},
                "status": {"phase": phase, "capacity": capacity.map(|size| json!({"storage": size}))},
            }))
            .unwrap();
            let found = (claim.is_pending(), claim.is_to_be_expanded(), claim.is_unsettled());
            assert_eq!(
                found,
                (pending, larger, pending || larger),
                "{phase:?} {request} {capacity:?}"
            );
        }
    }

    #[test]
    fn claims_that_csi_resizer_has_expanded_are_cached() {
        for (phase, cached) in [("Bound", true), ("Lost", false)] {
            let claim: CachedClaim = serde_json::from_value(json!({
                "metadata": {"namespace": "team-a", "name": "data"},
                "spec": {"resources": {"requests": {"storage": "5Gi"}}},
                "status": {
                    "phase": phase, "capacity": {"storage": "5Gi"}, "allocatedResources": {"storage": "5Gi"},
                },
            }))
            .unwrap();
            assert_eq!(
                (claim.is_to_be_expanded(), claim.is_unsettled()),
                (cached, cached),
                "{phase}"
            );
        }
    }
}

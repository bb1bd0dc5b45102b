//! The summary of a claim: whether it waits for a volume or for a larger one, which one it names, and its labels. Its
//! settings are not cached.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Resource, ResourceExt};

use super::cached::{Cached, Summary};
use crate::model::claim::Claim;

/// The summary of a claim.
#[derive(Clone, Debug)]
pub struct ClaimSummary {
    /// The uid.
    pub uid: Box<str>,
    /// The class. A claim with no class, or with `""`, gets no volume.
    pub class: Option<Box<str>>,
    /// The volume that it names.
    pub volume_name: Option<Box<str>>,
    /// The labels, by which the webhook configuration may exempt it.
    pub labels: BTreeMap<String, String>,
    has_node: bool,
    /// Whether it asks for more than its status says that it has.
    asks_for_more: bool,
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

    fn summarize(claim: PersistentVolumeClaim) -> Self {
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
        let phase = match phase {
            None | Some("Pending") => Phase::Pending,
            Some("Bound") => Phase::Bound,
            Some(_) => Phase::Lost,
        };
        let claim = Claim::read(&claim, "");
        let asks_for_more = claim.asks_for_more();
        Self {
            uid: claim.uid.into_boxed_str(),
            class: claim.class.map(String::into_boxed_str),
            volume_name: claim.volume_name.map(String::into_boxed_str),
            labels: claim.labels,
            has_node: claim.has_node,
            asks_for_more,
            phase,
        }
    }
}

impl Cached<ClaimSummary> {
    /// Returns whether it is neither bound nor lost, and not being deleted.
    pub fn is_pending(&self) -> bool {
        self.phase == Phase::Pending && self.meta().deletion_timestamp.is_none()
    }

    /// Returns whether it is bound, and asks for more than its status says that it has.
    pub fn is_to_be_expanded(&self) -> bool {
        self.is_bound() && self.asks_for_more
    }

    /// Returns whether there may be something to do for it. All other claims are not cached.
    pub fn is_unsettled(&self) -> bool {
        self.is_pending() || self.is_to_be_expanded()
    }

    /// Returns whether its phase is Bound.
    pub fn is_bound(&self) -> bool {
        self.phase == Phase::Bound
    }

    /// Returns the claim with the fields of the summary only.
    pub fn outline(&self) -> Claim {
        Claim {
            uid: self.uid.to_string(),
            created: self.creation_timestamp().map(|time| time.0),
            deleting: self.meta().deletion_timestamp.is_some(),
            has_node: self.has_node,
            class: self.class.as_deref().map(str::to_owned),
            volume_name: self.volume_name.as_deref().map(str::to_owned),
            labels: self.labels.clone(),
            ..Claim::named(self.namespace().unwrap_or_default(), self.name_any())
        }
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
}

//! The outcome of a decision, as text for users.

use serde::Serialize;

use super::placeholders::{ANY, is_known, with_placeholders};
use crate::model::claim::Name;
use crate::model::names::annotation;
use crate::model::volume::{NewVolume, Volume, first_overlap};
use crate::policy::conflict::{Conflict, overlap_conflict};
use crate::policy::decide::{Decision, Facts, Pass, Verdict};
use crate::policy::restore::use_existing;

/// What happens to a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "is")]
pub enum Outcome {
    /// A volume is created for it.
    Provisioned {
        /// The name of the volume, or a placeholder if the name is not known yet.
        volume: String,
    },
    /// It exists and has no volume yet. This volume is created for it; if that fails, the Events of the claim say why.
    NoVolumeYet {
        /// The name of the volume, or a placeholder if the name is not known yet.
        volume: String,
    },
    /// It is admitted without a volume, and gets one soon.
    Queued {
        /// The reason.
        why: String,
    },
    /// It has a volume.
    HasVolume {
        /// The name of the volume.
        volume: String,
        /// What would happen to a new claim with the same content, if that differs.
        #[serde(skip_serializing_if = "Option::is_none")]
        new_claim: Option<String>,
    },
    /// It is refused.
    Refused {
        /// The message of the webhook.
        why: String,
    },
    /// Bindery does not serve it.
    NotServed {
        /// The reason.
        why: String,
    },
}

/// The outcome of a decision. `others` are the volumes that may overlap.
pub(super) fn outcome(facts: &Facts<'_>, verdict: &Verdict, others: &[Volume]) -> Outcome {
    let new = match &verdict.decision {
        Decision::Pass(reason) => {
            return Outcome::NotServed {
                why: pass(reason, facts),
            };
        }
        Decision::Deny(why) => return Outcome::Refused { why: why.clone() },
        Decision::Provision(new) => new,
    };
    match conflict_with_others(facts, new, others) {
        Some(Conflict::Refuse(why)) => Outcome::Refused {
            why: with_placeholders(facts.claim, new, &why),
        },
        Some(Conflict::Releasing(why)) => Outcome::Queued { why },
        None => {
            // If the name is derived from the directory, it is known only if the whole path of the directory is known.
            let based_on = verdict.based_on.as_ref();
            let is_unique = based_on.is_some_and(|(_, policy)| policy.template.value.is_unique());
            let is_path_known = is_known(&new.share) && matches!(facts.claim.name, Name::Given(_));
            let volume = if is_unique || is_path_known { &new.name } else { ANY };
            Outcome::Provisioned {
                volume: with_placeholders(facts.claim, new, volume),
            }
        }
    }
}

/// Checks whether another volume has the directory, or a directory above or in it. For a real claim, Bindery checks this
/// while it creates the volume.
fn conflict_with_others(facts: &Facts<'_>, new: &NewVolume, others: &[Volume]) -> Option<Conflict> {
    let existing = others.iter().find(|other| other.name == new.name);
    if let Some(Err(conflict)) = existing.map(|existing| use_existing(existing, new, facts.installation)) {
        return Some(conflict);
    }
    if new.directory.cannot_overlap(&new.name) {
        return None;
    }
    let location = new.location(None, None);
    let overlaps = others.iter().filter_map(|other| {
        let record = other.record.as_ref().ok().filter(|_| other.name != new.name)?;
        Some((other, location.overlap_with(&record.location())?))
    });
    let (other, overlap) = first_overlap(overlaps)?;
    Some(overlap_conflict(new, other, overlap, facts.installation))
}

/// Why a claim is admitted unchanged.
fn pass(reason: &Pass, facts: &Facts<'_>) -> String {
    let class = facts.claim.class.as_deref().unwrap_or_default();
    match reason {
        Pass::NoClass => "it names no StorageClass".to_owned(),
        Pass::OtherClass => match facts.class {
            None => format!("there is no StorageClass {class}"),
            Some(other) => format!(
                "StorageClass {class} has provisioner {}, not {}",
                other.provisioner, facts.installation.provisioner
            ),
        },
        Pass::NamesVolume => format!(
            "it names volume {} in spec.volumeName, and Bindery provisions no claim that names a volume",
            facts.claim.volume_name.as_deref().unwrap_or_default()
        ),
        Pass::NamespaceDisabled => format!(
            "namespace {} is annotated {}: \"false\"",
            facts.claim.namespace,
            annotation::ENABLED
        ),
        Pass::Malformed => "the API server will refuse it: its name is not valid, it has no access mode, or its size \
        is not above zero"
            .to_owned(),
        Pass::Reserved(volume) => {
            format!("PersistentVolume {volume} is reserved for it, so Kubernetes binds the two")
        }
        Pass::Available(volume) => format!(
            "PersistentVolume {volume} is available and satisfies it, so Kubernetes binds it to that volume or to a \
            similar one"
        ),
        Pass::Selector => {
            "it has a selector, so it waits for an existing PersistentVolume with matching labels".to_owned()
        }
        Pass::Populator(kind) => {
            // A kind has no dot.
            let named = match kind.split_once('.') {
                Some((kind, group)) => format!("kind {kind} of group {group}"),
                None => format!("kind {kind}"),
            };
            format!("its dataSourceRef names {named}, so the volume populator for that kind provides the volume")
        }
    }
}

//! What happens to a claim, and in what words a person is told.

use serde::Serialize;

use super::{ANY, SERVER, SHARE, plain};
use crate::model::claim::Name;
use crate::model::location::Location;
use crate::model::names::annotation;
use crate::model::volume::{NewVolume, Volume};
use crate::policy::class::Class;
use crate::policy::conflict::{Conflict, name_conflict, overlap_conflict, overlapping};
use crate::policy::decide::{Decision, Facts, Pass};
use crate::policy::effective::Policy;

/// What happens to a claim, in the words of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "is")]
pub enum Outcome {
    /// A volume is made for it.
    Provisioned {
        /// The volume's name, as far as it can be known.
        volume: String,
    },
    /// It is there, and has no volume: this one is made for it, unless something is in the way that its Events tell.
    NoVolumeYet {
        /// The volume's name, as far as it can be known.
        volume: String,
    },
    /// It is admitted without a volume, and gets one in a moment.
    Queued {
        /// What it waits for.
        why: String,
    },
    /// It has its volume already.
    HasVolume {
        /// The volume's name.
        volume: String,
        /// What would happen to a new claim like it, if not the same.
        #[serde(skip_serializing_if = "Option::is_none")]
        new_claim: Option<String>,
    },
    /// It is refused.
    Refused {
        /// The webhook's sentence.
        why: String,
    },
    /// Bindery has nothing to do with it.
    LeftAlone {
        /// The reason.
        why: String,
    },
}

/// What a decision means to a person. `rests_on` is what it was made by, `others` the volumes whose directories may be
/// the claim's.
pub(super) fn outcome(
    facts: &Facts<'_>,
    decision: &Decision,
    rests_on: Option<&(Class, Policy)>,
    others: &[Volume],
) -> Outcome {
    let new = match decision {
        Decision::Pass(reason) => {
            return Outcome::LeftAlone {
                why: pass(*reason, facts),
            };
        }
        Decision::Deny(why) => return Outcome::Refused { why: why.clone() },
        Decision::Provision(new) => new,
    };
    match conflict_with_others(facts, new, others) {
        Conflict::Refuse(why) => Outcome::Refused {
            why: plain(facts.claim, new, &why),
        },
        Conflict::Releasing(why) => Outcome::Queued { why },
        Conflict::Reuse | Conflict::Own => {
            // A name that follows from the directory can be known only where all of the directory can.
            let is_unique = rests_on.is_some_and(|(_, policy)| policy.template.value.is_unique());
            let of_a_known_place =
                new.share.server() != SERVER && new.share.path() != SHARE && matches!(facts.claim.name, Name::Given(_));
            let volume = if is_unique || of_a_known_place {
                new.name.as_str()
            } else {
                ANY
            };
            Outcome::Provisioned {
                volume: plain(facts.claim, new, volume),
            }
        }
    }
}

/// What is found out only while the volume is made: its directory, or one above or in it, is another's.
fn conflict_with_others(facts: &Facts<'_>, new: &NewVolume, others: &[Volume]) -> Conflict {
    if let Some(holder) = others.iter().find(|other| other.name == new.name)
        && let conflict @ (Conflict::Refuse(_) | Conflict::Releasing(_)) =
            name_conflict(holder, new, facts.installation)
    {
        return conflict;
    }
    let location = Location {
        share: &new.share,
        directory: &new.directory,
        share_id: None,
        identity: None,
    };
    match overlapping(&location, &new.name, others) {
        Some((other, meeting)) if !new.directory.stands_alone(&new.name) => {
            overlap_conflict(new, other, meeting, facts.installation)
        }
        _ => Conflict::Reuse,
    }
}

/// Why a claim is admitted as it is.
fn pass(reason: Pass, facts: &Facts<'_>) -> String {
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
    }
}

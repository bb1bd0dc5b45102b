//! Decides what happens to a claim that is created.
//!
//! [`decide`] reads all objects that matter and returns a value: admit unchanged, deny with a sentence, or provision a
//! volume (new, or from an earlier call). Claim `data` in `team-a` with a class on `nas1:/export` gets volume
//! `pvc-<uuid>` with directory `team-a-data-pvc-<uuid>`, unless class, namespace or claim set another template.

mod existing;
mod inputs;
mod place;

use self::existing::leave_to_kubernetes;
pub use self::inputs::Facts;
use self::inputs::Inputs;
use self::place::place;
use super::annotations;
use super::class::Class;
use super::effective::Policy;
use crate::model::claim::{Claim, Name};
use crate::model::names;
use crate::model::volume::{Installation, NewVolume, Volume};

/// The result of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What happens to the claim.
    pub decision: Decision,
    /// A volume that an earlier call created for this claim, and that does not fit any more because another webhook has
    /// changed the claim. It is deleted, and the claim must not name it.
    pub unused: Option<Box<Volume>>,
    /// Warnings for the user of the claim, such as ignored annotations.
    pub warnings: Vec<String>,
}

/// What happens to the claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Admit it unchanged.
    Pass(Pass),
    /// Refuse it with this sentence.
    Deny(String),
    /// Create this volume for it. If the volume of an earlier call can be used, this one has its name.
    Provision(Box<NewVolume>),
}

/// Why a claim is admitted unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass {
    /// It names no class.
    NoClass,
    /// The class does not exist, or has another provisioner.
    OtherClass,
    /// It names a volume that was not created for it.
    NamesVolume,
    /// Its namespace is annotated `bindery.dev/enabled: "false"`.
    NamespaceDisabled,
    /// The API server will refuse it.
    Malformed,
    /// Kubernetes binds it to this volume, whose `claimRef` names it.
    Reserved(String),
    /// Kubernetes binds it to this or another available volume that satisfies it.
    Available(String),
    /// It has a selector, so it waits for an existing volume.
    Selector,
    /// A volume populator provides its volume, from an object of this kind.
    Populator(String),
}

impl Pass {
    /// Whether the claim is one of Bindery, and another component of Kubernetes gives it its volume.
    pub fn is_left_to_kubernetes(&self) -> bool {
        matches!(
            self,
            Self::Reserved(_) | Self::Available(_) | Self::Selector | Self::Populator(_)
        )
    }
}

/// Decides what happens to a claim.
pub fn decide(facts: &Facts<'_>) -> Verdict {
    trace(facts).0
}

/// Decides, and returns the class and the policy on which the decision is based. They are `None` if the decision did
/// not need them or if they are not valid.
pub(super) fn trace(facts: &Facts<'_>) -> (Verdict, Option<(Class, Policy)>) {
    let given = facts
        .volume
        .filter(|volume| is_meant_for(volume, facts.claim, facts.installation));
    let mut warnings = Vec::new();
    let mut policy = None;
    let decision = decision_for(facts, given, &mut warnings, &mut policy);
    let used =
        |volume: &Volume| matches!(&decision, Decision::Provision(new) if new.name == volume.name && new.is_at(volume));
    let unused = given.filter(|volume| !used(volume));
    let verdict = Verdict {
        unused: unused.cloned().map(Box::new),
        decision,
        warnings,
    };
    (verdict, policy)
}

fn decision_for(
    facts: &Facts<'_>,
    given: Option<&Volume>,
    warnings: &mut Vec<String>,
    rests_on: &mut Option<(Class, Policy)>,
) -> Decision {
    let Facts {
        claim, installation, ..
    } = *facts;
    if claim.class.is_none() {
        return Decision::Pass(Pass::NoClass);
    }
    let Some(class) = facts
        .class
        .filter(|class| class.provisioner == installation.provisioner)
    else {
        return Decision::Pass(Pass::OtherClass);
    };
    let enabled = annotations::enabled(&facts.namespace.annotations);
    if enabled == Ok(false) {
        return Decision::Pass(Pass::NamespaceDisabled);
    }
    if claim.volume_name.is_some() && given.is_none() {
        return match facts.volume.filter(|volume| is_taken_back(volume, claim, installation)) {
            Some(volume) => Decision::Deny(format!(
                "volume {} is being removed, because the request that created it failed; try again in a few seconds",
                volume.name
            )),
            None => Decision::Pass(Pass::NamesVolume),
        };
    }
    let Some(capacity) = claim.request.clone().filter(|_| !claim.is_malformed()) else {
        return Decision::Pass(Pass::Malformed);
    };
    if claim.volume_name.is_none()
        && let Some(reason) = leave_to_kubernetes(claim, facts.offers, warnings)
    {
        return Decision::Pass(reason);
    }
    let inputs = match Inputs::read(facts, class, enabled.err()) {
        Ok(inputs) => inputs,
        Err(denial) => return Decision::Deny(denial),
    };
    let policy = inputs.resolve();
    warnings.extend(inputs.warnings(&policy));
    let class = inputs.class;
    let decision = match place(facts, given, capacity, &class, &policy, warnings) {
        Ok(new) => Decision::Provision(Box::new(new)),
        Err(sentence) => Decision::Deny(sentence),
    };
    *rests_on = Some((class, policy));
    decision
}

/// Whether a volume fits a claim. The controller manager does not check this if the volume names the claim. The error
/// says what differs. A bound claim may ask for more than its volume has: see [`super::expansion`].
pub fn fits(claim: &Claim, volume: &Volume) -> Result<(), String> {
    let class = claim.class.as_deref().unwrap_or_default();
    if class != volume.class {
        return Err(format!("its class is {class:?}, the volume's is {:?}", volume.class));
    }
    fits_modes_and_size(claim, volume).map_err(|differs| format!("it {differs}"))
}

/// Whether the volume has the access modes and the size that the claim asks for. The error is the rest of a sentence
/// about the claim.
fn fits_modes_and_size(claim: &Claim, volume: &Volume) -> Result<(), String> {
    if let Some(mode) = claim
        .access_modes
        .iter()
        .find(|mode| !volume.access_modes.contains(mode))
    {
        return Err(format!(
            "asks for access mode {mode}, the volume has {}",
            volume.access_modes.join(", ")
        ));
    }
    let there = volume.capacity.as_ref();
    match claim.request.as_ref().filter(|_| claim.capacity.is_none()) {
        Some(request) if request.bytes > there.map_or(0, |there| there.bytes) => Err(format!(
            "asks for {}, the volume has {}",
            request.written,
            there.map_or("no size", |there| &there.written)
        )),
        _ => Ok(()),
    }
}

/// Whether an earlier call for this claim created the volume, and no claim has had it since. A volume that a claim has
/// had may hold data, for example one that was kept and then freed by an administrator. A fenced volume is used for an
/// existing claim only: a claim in an admission review that names it must wait until it is removed.
fn is_meant_for(volume: &Volume, claim: &Claim, installation: &Installation) -> bool {
    let Name::Given(name) = &claim.name else { return false };
    let fenced = volume.claim.as_ref().is_some_and(|meant| meant.uid.is_some());
    volume.maker.as_ref() == Some(installation)
        && volume.is_unclaimed_for(&claim.namespace, name)
        && (!fenced || claim.volume_name.is_none())
}

/// Whether the volume that a claim names was created for it, and is being removed by another call.
fn is_taken_back(volume: &Volume, claim: &Claim, installation: &Installation) -> bool {
    let Some(meant) = &volume.claim else { return false };
    volume.maker.as_ref() == Some(installation)
        && meant.uid.as_deref() == Some(names::UNBOUND_UID)
        && meant.namespace == claim.namespace
        && matches!(&claim.name, Name::Given(name) if *name == meant.name)
}

#[cfg(test)]
mod tests;

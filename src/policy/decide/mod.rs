//! What happens to a claim on its way in.
//!
//! [`decide`] gets everything that has a say and answers with a value: pass untouched, deny with a sentence, provision
//! this volume, or use that one again. Claim `data` in `team-a` of a class on `nas1:/export` becomes volume `pvc-<uuid>`
//! with directory `team-a-data-pvc-<uuid>`, unless class, namespace or claim have another template.

mod inputs;
mod place;

use k8s_openapi::api::storage::v1::StorageClass;
use uuid::Uuid;

use self::inputs::Inputs;
use self::place::place;
use super::annotations;
use super::class::{Class, Defaults};
use super::effective::Policy;
use crate::model::claim::{Claim, Name};
use crate::model::names;
use crate::model::namespace::Namespace;
use crate::model::volume::{Installation, NewVolume, Volume};

/// Everything that has a say.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The claim as it would be stored.
    pub claim: &'a Claim,
    /// The class it names, if there is one of that name.
    pub class: Option<&'a StorageClass>,
    /// Its namespace.
    pub namespace: &'a Namespace,
    /// The volume it names, if there is one of that name; for a claim that names none, one that an earlier call made for
    /// it.
    pub volume: Option<&'a Volume>,
    /// Server and export for classes that name none.
    pub defaults: &'a Defaults,
    /// Who we are.
    pub installation: &'a Installation,
    /// The volume's name and the suffix of a generated claim name come from it: random, or the claim's uid, so that whoever
    /// provisions a claim that is there means one volume.
    pub fresh: Uuid,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What happens to the claim.
    pub decision: Decision,
    /// A volume that an earlier call for this claim made and that this answer has no use for: another webhook has
    /// changed the claim since. It is deleted, and the claim must not go on naming it.
    pub unused: Option<Box<Volume>>,
    /// What the claim's user would not expect: annotations that do not count here.
    pub warnings: Vec<String>,
}

/// What happens to the claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is admitted as it is.
    Pass(Pass),
    /// It is refused with this sentence.
    Deny(String),
    /// This volume is made for it. It has the name of the one that an earlier call made if that can become this one.
    Provision(Box<NewVolume>),
}

/// Why a claim is admitted as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// It names no class.
    NoClass,
    /// No such class, or another provisioner's.
    OtherClass,
    /// It names a volume that is not ours to give.
    NamesVolume,
    /// Its namespace is annotated `bindery.dev/enabled: "false"`.
    NamespaceDisabled,
    /// The API server will refuse it.
    Malformed,
}

/// Decides. See the module.
pub fn decide(facts: &Facts<'_>) -> Verdict {
    trace(facts).0
}

/// Decides, and says what that rests on: class and policy, unless the answer did not need them or they cannot be read.
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
    let inputs = match Inputs::read(facts, class, enabled.err()) {
        Ok(inputs) => inputs,
        Err(wrong) => return Decision::Deny(wrong),
    };
    let policy = inputs.resolve();
    warnings.extend(inputs.warnings(&policy));
    let class = inputs.class;
    let decision = place(facts, given, capacity, &class, &policy, warnings);
    *rests_on = Some((class, policy));
    decision
}

/// Whether a volume is what a claim asks for. The controller manager does not look at any of this once a volume names
/// the claim. The error says what differs.
pub fn fits(claim: &Claim, volume: &Volume) -> Result<(), String> {
    let class = claim.class.as_deref().unwrap_or_default();
    if class != volume.class {
        return Err(format!("its class is {class:?}, the volume's is {:?}", volume.class));
    }
    if let Some(mode) = claim
        .access_modes
        .iter()
        .find(|mode| !volume.access_modes.contains(mode))
    {
        return Err(format!(
            "it asks for access mode {mode}, the volume has {}",
            volume.access_modes.join(", ")
        ));
    }
    let there = volume.capacity.as_ref();
    match &claim.request {
        Some(request) if request.bytes > there.map_or(0, |there| there.bytes) => Err(format!(
            "it asks for {}, the volume has {}",
            request.written,
            there.map_or("no size", |there| &there.written)
        )),
        _ => Ok(()),
    }
}

/// Whether a volume is one that an earlier call for this very claim made, and that nobody has had since: one that was
/// given to a claim once, say a kept one that an administrator has freed, holds data. One whose making came to no known
/// end is fenced: a claim that names it waits until it is taken back, one that is there already has it finished.
fn is_meant_for(volume: &Volume, claim: &Claim, installation: &Installation) -> bool {
    let Name::Given(name) = &claim.name else { return false };
    let fenced = volume.claim.as_ref().is_some_and(|meant| meant.uid.is_some());
    volume.maker.as_ref() == Some(installation)
        && volume.awaits(&claim.namespace, name)
        && (!fenced || claim.volume_name.is_none())
}

/// Whether the volume that a claim names was made for it, and another call at the same time has undone it.
fn is_taken_back(volume: &Volume, claim: &Claim, installation: &Installation) -> bool {
    let Some(meant) = &volume.claim else { return false };
    volume.maker.as_ref() == Some(installation)
        && meant.uid.as_deref() == Some(names::FENCE)
        && meant.namespace == claim.namespace
        && matches!(&claim.name, Name::Given(name) if *name == meant.name)
}

#[cfg(test)]
mod tests;

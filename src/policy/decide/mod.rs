//! Decides what happens to a claim that is created.
//!
//! [`decide`] reads all objects that the decision depends on and returns a value: admit unchanged, deny with a sentence, or
//! provision a volume (a new one, or the one of an earlier attempt). Claim `data` in `team-a` with a class on
//! `nas1:/export` gets volume `pvc-<uuid>` with directory `team-a-data-pvc-<uuid>`, unless class, namespace or claim set
//! another template.

mod existing;
mod fits;
mod inputs;
mod new_volume;
mod verdict;

use self::existing::{leave_to_kubernetes, source_refusal};
pub use self::fits::fits;
pub use self::inputs::Facts;
use self::inputs::Inputs;
use self::new_volume::new_volume;
pub use self::verdict::{Decision, Pass, Verdict};
use super::annotations;
use super::class::Class;
use super::effective::Policy;
use super::restore;
use crate::model::claim::{Claim, Name};
use crate::model::data_source::DataSource;
use crate::model::volume::{Installation, Volume};

/// Decides what happens to a claim.
pub fn decide(facts: &Facts<'_>) -> Verdict {
    let earlier = facts
        .volume
        .filter(|volume| was_created_for(volume, facts.claim, facts.installation));
    let (mut warnings, mut based_on) = (Vec::new(), None);
    let decision = decision_for(facts, earlier, &mut warnings, &mut based_on);
    let used =
        |volume: &Volume| matches!(&decision, Decision::Provision(new) if new.name == volume.name && new.is_at(volume));
    let unused = earlier.filter(|volume| !used(volume));
    Verdict {
        unused: unused.cloned().map(Box::new),
        decision,
        warnings,
        based_on,
    }
}

fn decision_for(
    facts: &Facts<'_>,
    earlier: Option<&Volume>,
    warnings: &mut Vec<String>,
    based_on: &mut Option<(Class, Policy)>,
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
    let archive = match &claim.data_source {
        DataSource::Archive(name) => Some(name),
        // A new claim must not get an existing volume instead.
        source @ DataSource::NotAnArchive(_) if claim.uid.is_empty() => {
            return Decision::Deny(source_refusal(source).unwrap_or_default());
        }
        _ => None,
    };
    if claim.volume_name.is_some() && earlier.is_none() {
        return match facts
            .volume
            .filter(|volume| is_being_removed(volume, claim, installation))
        {
            Some(volume) => Decision::Deny(format!(
                "volume {} is being removed, because the request that created it failed; try again in a few seconds",
                volume.name
            )),
            None => match archive.filter(|_| claim.uid.is_empty()) {
                // The claim would get what that volume has, and not the archive.
                Some(archive) => Decision::Deny(restore::names_volume(claim, archive)),
                None => Decision::Pass(Pass::NamesVolume),
            },
        };
    }
    let Some(capacity) = claim.request.clone().filter(|_| !claim.is_malformed()) else {
        return Decision::Pass(Pass::Malformed);
    };
    // A new claim that names an archive gets it, even if Kubernetes could bind another volume.
    let gets_archive = archive.is_some() && claim.uid.is_empty();
    if claim.volume_name.is_none()
        && !gets_archive
        && let Some(reason) = leave_to_kubernetes(claim, facts.candidates, warnings)
    {
        return Decision::Pass(reason);
    }
    let inputs = match Inputs::read(facts, class, enabled.err()) {
        Ok(inputs) => inputs,
        Err(denial) => return Decision::Deny(denial),
    };
    let policy = inputs.resolve();
    warnings.extend(inputs.warnings(claim, &policy));
    let class = inputs.class;
    let restored = archive.map(|name| {
        let request = restore::Request {
            name,
            claim,
            namespace_uid: facts.namespace.uid.as_deref(),
            capacity: &capacity,
            class: &class,
            installation,
        };
        restore::decide(&request, facts.restore)
    });
    let restored = match restored.transpose() {
        Ok(restored) => restored,
        Err(sentence) => return Decision::Deny(sentence),
    };
    let decision = match new_volume(facts, earlier, capacity, &class, &policy, restored, warnings) {
        Ok(new) => Decision::Provision(Box::new(new)),
        Err(sentence) => Decision::Deny(sentence),
    };
    *based_on = Some((class, policy));
    decision
}

/// Whether an earlier attempt for this claim created the volume, and no claim has had it since. A volume that a claim has
/// had may hold data, for example a retained volume whose `claimRef` an administrator has removed. Only an existing claim
/// can use a fenced volume: a claim in an admission review that names it must wait until it is removed. A volume with the
/// directory of an archive is fenced from the beginning.
fn was_created_for(volume: &Volume, claim: &Claim, installation: &Installation) -> bool {
    let is_being_removed = claim.volume_name.is_some() && !volume.is_for_the_binder();
    !is_being_removed && volume.is_unclaimed_of(installation, claim)
}

/// Whether the volume that a claim names was created for this claim, and another call is removing it.
fn is_being_removed(volume: &Volume, claim: &Claim, installation: &Installation) -> bool {
    let Name::Given(name) = &claim.name else { return false };
    volume.maker.as_ref() == Some(installation) && volume.is_fenced() && volume.is_for(&claim.namespace, name)
}

#[cfg(test)]
mod tests;

//! What happens to a claim on its way in.
//!
//! [`decide`] gets everything that has a say and answers with a value: pass untouched, deny with a sentence, provision
//! this volume, or use that one again. Claim `data` in `team-a` of a class on `nas1:/export` becomes volume `pvc-<uuid>`
//! with directory `team-a-data-pvc-<uuid>`, unless class, namespace or claim have another template.

use std::collections::BTreeMap;

use k8s_openapi::api::storage::v1::StorageClass;
use uuid::Uuid;

use super::annotations;
use super::claim::{Bytes, Claim, Name};
use super::class::{Class, Defaults};
use super::directory::{Directory, Share};
use super::heard::Heard;
use super::old_name;
use super::settled::{Place, Policy, Settled};
use super::template::{NoDirectory, Template, Values};
use crate::names;
use crate::storage::Attributes;
use crate::volume::{NewVolume, Us, Volume};

/// Kubernetes' own alphabet for generated names: no vowels, so no words; nothing that looks like something else.
const SUFFIX: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Kubernetes cuts a prefix so that prefix and suffix make a DNS label.
const LONGEST_PREFIX: usize = 58;

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
    pub us: &'a Us,
    /// The volume's name and the suffix of a generated claim name come from it: random, or the claim's uid, so that whoever
    /// provisions a claim that is there means one volume.
    pub fresh: Uuid,
}

/// What a namespace has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
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
        .filter(|volume| is_meant_for(volume, facts.claim, facts.us));
    let mut warnings = Vec::new();
    let mut policy = None;
    let decision = judge(facts, given, &mut warnings, &mut policy);
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

fn judge(
    facts: &Facts<'_>,
    given: Option<&Volume>,
    warnings: &mut Vec<String>,
    rests_on: &mut Option<(Class, Policy)>,
) -> Decision {
    let Facts { claim, us, .. } = *facts;
    if claim.class.is_none() {
        return Decision::Pass(Pass::NoClass);
    }
    let Some(class) = facts.class.filter(|class| class.provisioner == us.provisioner) else {
        return Decision::Pass(Pass::OtherClass);
    };
    let enabled = annotations::enabled(&facts.namespace.annotations);
    if enabled == Ok(false) {
        return Decision::Pass(Pass::NamespaceDisabled);
    }
    if claim.volume_name.is_some() && given.is_none() {
        return match facts.volume.filter(|volume| is_taken_back(volume, claim, us)) {
            Some(volume) => Decision::Deny(format!(
                "volume {} is being taken back; try again in a moment",
                volume.name
            )),
            None => Decision::Pass(Pass::NamesVolume),
        };
    }
    let Some(capacity) = claim.request.clone().filter(|_| !claim.is_malformed()) else {
        return Decision::Pass(Pass::Malformed);
    };
    let heard = match Heard::read(facts, class, enabled.err()) {
        Ok(heard) => heard,
        Err(wrong) => return Decision::Deny(wrong),
    };
    let policy = heard.settle();
    warnings.extend(heard.warnings(&policy));
    let class = heard.class;
    let decision = place(facts, given, capacity, &class, &policy, warnings);
    *rests_on = Some((class, policy));
    decision
}

/// Finds the claim's directory and its volume's name.
fn place(
    facts: &Facts<'_>,
    given: Option<&Volume>,
    capacity: Bytes,
    class: &Class,
    policy: &Policy,
    warnings: &mut Vec<String>,
) -> Decision {
    let claim = facts.claim;
    let claim_name = match &claim.name {
        Name::Given(name) => name.clone(),
        Name::Generate(prefix) => generate(prefix, facts.fresh),
    };
    let share = class.share.clone().over(policy.version.value);
    let fresh = format!("pvc-{}", facts.fresh);
    let values = Values {
        claim: &claim_name,
        namespace: &claim.namespace,
        volume: &fresh,
        labels: &claim.labels,
        annotations: &claim.annotations,
        namespace_labels: &facts.namespace.labels,
        namespace_annotations: &facts.namespace.annotations,
    };
    let template = old_name::for_claim(policy.template.value.clone(), &values, warnings);
    let expand = |volume: &str| template.expand(&Values { volume, ..values });
    let stays = |volume: &&Volume| {
        let there = volume.record.as_ref().map(|record| (&record.share, &record.directory));
        matches!((expand(&volume.name), there), (Ok(directory), Ok(there)) if there == (&share, &directory))
    };
    let name = match given.filter(stays) {
        Some(given) if template.is_unique() => given.name.clone(),
        _ => fresh.clone(),
    };
    let directory = match expand(&name) {
        Ok(directory) => directory,
        Err(wrong) => return Decision::Deny(no_directory(&template, policy, facts, class, &wrong)),
    };
    // One directory, one volume: where the directory is not the volume's alone by its name, the volume's name follows
    // from the directory, and the API server itself refuses the second.
    let name = if template.is_unique() {
        name
    } else {
        named_after(&share, &directory)
    };
    Decision::Provision(Box::new(NewVolume {
        name,
        claim: (claim.namespace.clone(), claim_name),
        claim_uid: Some(claim.uid.clone()).filter(|uid| !uid.is_empty()),
        class: class.name.clone(),
        access_modes: claim.access_modes.clone(),
        capacity,
        share,
        directory,
        attributes: Attributes {
            mode: policy.mode.value,
            uid: policy.uid.value,
            gid: policy.gid.value,
        },
        existing: policy.existing.value,
        chosen_by: policy.template.place,
        on_delete: policy.on_delete.value,
        retention: policy.retention.value,
        on_failure: policy.on_failure.value,
        reclaim: class.reclaim,
        mount_options: class.mount_options.clone(),
        attempt: facts.fresh.to_string(),
    }))
}

/// The sentence that refuses a claim whose template gives it no directory: whose template, what is missing, what to do.
fn no_directory(template: &Template, policy: &Policy, facts: &Facts<'_>, class: &Class, wrong: &NoDirectory) -> String {
    let Settled { place, key, .. } = &policy.template;
    let whose = match place {
        Place::Claim => format!("{} on the claim", key.annotation()),
        Place::Namespace => format!("{} on namespace {}", key.annotation(), facts.claim.namespace),
        Place::Class => format!("{key} of StorageClass {}", class.name),
        Place::Default => format!("the default of {key}"),
    };
    let next = match wrong {
        NoDirectory::Missing(tokens) if tokens.len() == 1 => "set it",
        NoDirectory::Missing(_) => "set them",
        NoDirectory::Slash(..) => "take a value without one",
        NoDirectory::NotADirectory(_) => "change what the claim brings to it, or choose another class",
    };
    format!("{template} ({whose}) gives no directory for this claim: {wrong}; {next}")
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
fn is_meant_for(volume: &Volume, claim: &Claim, us: &Us) -> bool {
    let Name::Given(name) = &claim.name else { return false };
    let fenced = volume.claim.as_ref().is_some_and(|meant| meant.uid.is_some());
    volume.maker.as_ref() == Some(us)
        && volume.awaits(&claim.namespace, name)
        && (!fenced || claim.volume_name.is_none())
}

/// The name of the one volume that a directory can have, however share and directory divide its path.
fn named_after(share: &Share, directory: &Directory) -> String {
    let place = format!("nfs://{}{}", share.server(), share.join(directory));
    format!("pvc-{}", Uuid::new_v5(&Uuid::NAMESPACE_URL, place.as_bytes()))
}

/// Whether the volume that a claim names was made for it, and another call at the same time has undone it.
fn is_taken_back(volume: &Volume, claim: &Claim, us: &Us) -> bool {
    let Some(meant) = &volume.claim else { return false };
    volume.maker.as_ref() == Some(us)
        && meant.uid.as_deref() == Some(names::FENCE)
        && meant.namespace == claim.namespace
        && matches!(&claim.name, Name::Given(name) if *name == meant.name)
}

/// Completes a `generateName` as the API server would have done.
fn generate(prefix: &str, fresh: Uuid) -> String {
    let suffix = fresh.as_bytes()[..5]
        .iter()
        .map(|&byte| char::from(SUFFIX[usize::from(byte) % SUFFIX.len()]));
    prefix.chars().take(LONGEST_PREFIX).chain(suffix).collect()
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;

//! Chooses the directory of a claim and the name of its volume.

use uuid::Uuid;

use super::inputs::Facts;
use crate::model::archive::restored_volume;
use crate::model::attributes::Attributes;
use crate::model::choices::{FreeSpace, Provision, RestoreAttributes, SizeLimit, SourceKind};
use crate::model::claim::{Bytes, Name};
use crate::model::directory::{Directory, Share};
use crate::model::group::{Group, GroupRange};
use crate::model::source::Source;
use crate::model::volume::{NewVolume, Restored, Volume};
use crate::model::volume_source::VolumeSource;
use crate::policy::class::Class;
use crate::policy::csi;
use crate::policy::effective::{Effective, LEFT_TO_SERVER, Policy};
use crate::policy::template::{NoDirectory, Template, Values};

/// The alphabet of Kubernetes for generated names: without vowels, and without characters that look similar.
const SUFFIX: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// The length to which Kubernetes cuts a prefix, so that prefix and suffix are a DNS label.
const LONGEST_PREFIX: usize = 58;

/// Chooses the directory of a claim and the name of its volume. The error is the sentence that refuses the claim.
pub(super) fn new_volume(
    facts: &Facts<'_>,
    earlier: Option<&Volume>,
    capacity: Bytes,
    class: &Class,
    policy: &Policy,
    restored: Option<Restored>,
    warnings: &mut Vec<String>,
) -> Result<NewVolume, String> {
    let claim = facts.claim;
    let claim_name = match &claim.name {
        Name::Given(name) => name.clone(),
        Name::Generate(prefix) => generate(prefix, facts.seed),
    };
    let share = class.share.clone().over(policy.version.value);
    let key = restored
        .as_ref()
        .and_then(|archive| archive.key(&facts.installation.instance));
    let new_name = key.map_or_else(|| format!("pvc-{}", facts.seed), restored_volume);
    let values = Values {
        claim: &claim_name,
        namespace: &claim.namespace,
        volume: &new_name,
        labels: &claim.labels,
        annotations: &claim.annotations,
        namespace_labels: &facts.namespace.labels,
        namespace_annotations: &facts.namespace.annotations,
    };
    let template = policy.template.value.clone().for_claim(&values, warnings);
    let expand = |volume: &str| template.expand(&Values { volume, ..values });
    let is_same_directory = |volume: &&Volume| {
        // A volume that gets an archive is for a claim that names the archive.
        let recorded = volume.record.as_ref().ok().filter(|record| record.restored.is_none());
        let recorded = recorded.map(|record| (&record.share, &record.directory));
        matches!((expand(&volume.name), recorded), (Ok(directory), Some(recorded)) if recorded == (&share, &directory))
    };
    let name = match earlier.filter(is_same_directory) {
        Some(earlier) if template.is_unique() && restored.is_none() => earlier.name.clone(),
        _ => new_name.clone(),
    };
    let directory = expand(&name).map_err(|error| no_directory(&template, policy, facts, class, &error))?;
    // Each directory has at most one volume. If the directory does not contain the volume's name, the volume's name is
    // derived from the directory, so that the API server refuses a second volume of this directory. For an archive, the
    // search for overlapping volumes finds the other one.
    let name = if template.is_unique() || restored.is_some() {
        name
    } else {
        derived_name(&share, &directory)
    };
    let source = match policy.source.value {
        SourceKind::Nfs => VolumeSource::Nfs,
        SourceKind::Csi => {
            let driver = policy.driver.value;
            let csi = &class.settings.csi;
            let missing = csi.missing(driver).map(|missing| missing.0);
            if let Some(error) = missing.or_else(|| csi::not_installed(driver, facts.csi_drivers)) {
                return Err(format!("StorageClass {}: {error}", class.name));
            }
            csi.source(
                driver,
                csi::Values {
                    share: &share,
                    directory: &directory,
                    volume: &name,
                    namespace: &claim.namespace,
                    claim: &claim_name,
                },
            )
            .map_err(|error| format!("StorageClass {}: {error}", class.name))?
        }
    };
    let (gid, group_range) = group(policy.gid.value, restored.as_ref());
    Ok(NewVolume {
        name,
        claim: (claim.namespace.clone(), claim_name),
        namespace_uid: facts.namespace.uid.clone(),
        claim_uid: Some(claim.uid.clone()).filter(|uid| !uid.is_empty()),
        class: class.name.clone(),
        access_modes: claim.access_modes.clone(),
        capacity,
        share,
        directory,
        attributes: Attributes {
            mode: Some(policy.mode.value).filter(|mode| *mode != LEFT_TO_SERVER),
            uid: policy.uid.value,
            gid,
        },
        group_range,
        restored,
        existing: policy.existing.value,
        chosen_by: policy.template.source,
        on_delete: policy.on_delete.value,
        retention: policy.retention.value,
        on_failure: policy.on_failure.value,
        provision: class.settings.provision.unwrap_or(Provision::OnCreate),
        free_space: class.settings.free_space.unwrap_or(FreeSpace::Ignore),
        size_limit: class.settings.size_limit.unwrap_or(SizeLimit::Ignore),
        labels: class.settings.volume_labels.clone().unwrap_or_default(),
        reclaim: class.reclaim,
        source,
        mount_options: class.mount_options.clone(),
        topologies: class.topologies.clone(),
        attempt: facts.seed.to_string(),
    })
}

/// The group of the directory, if it is known, and the range in which no other volume has it. An archive keeps the group that
/// only its volume had, because its files have that group.
fn group(of_class: Option<Group>, restored: Option<&Restored>) -> (Option<u32>, Option<GroupRange>) {
    let keeps = restored.is_some_and(|archive| archive.attributes == RestoreAttributes::Keep);
    match (of_class, restored.and_then(Restored::own_group)) {
        (Some(Group::Own(range)), Some(own)) if range.contains(own) => (Some(own), Some(range)),
        (_, Some(own)) if keeps => (Some(own), Some(own.into())),
        (Some(Group::Own(_)), None) if keeps => (None, None),
        (Some(Group::Own(range)), _) => (None, Some(range)),
        (Some(Group::Fixed(gid)), _) => (Some(gid), None),
        (None, _) => (None, None),
    }
}

/// The sentence that refuses a claim whose template gives no valid directory. It names the object that sets the template,
/// the error, and the next step.
fn no_directory(template: &Template, policy: &Policy, facts: &Facts<'_>, class: &Class, error: &NoDirectory) -> String {
    let Effective { source, key, .. } = &policy.template;
    let setter = match source {
        Source::Claim => format!("{} on the claim", key.annotation()),
        Source::Namespace => format!("{} on namespace {}", key.annotation(), facts.claim.namespace),
        Source::Class => format!("{key} of StorageClass {}", class.name),
        Source::Default => format!("the default of {key}"),
    };
    let next = match error {
        NoDirectory::Missing(tokens) if tokens.len() == 1 => "set it",
        NoDirectory::Missing(_) => "set them",
        NoDirectory::Slash(..) => "use a value without a slash",
        NoDirectory::Value(..) => "correct the annotation",
        NoDirectory::NotADirectory(_) => {
            "change the name, labels or annotations that the template uses, or choose \
        another StorageClass"
        }
    };
    format!("{template} ({setter}) gives no valid directory for this claim: {error}; {next}")
}

/// The volume name that is derived from a directory. It depends only on the server and on the whole path: the same path has
/// one name, also if two shares contain it.
fn derived_name(share: &Share, directory: &Directory) -> String {
    let place = format!("nfs://{}{}", share.server(), share.join(directory));
    format!("pvc-{}", Uuid::new_v5(&Uuid::NAMESPACE_URL, place.as_bytes()))
}

/// Completes a `generateName` in the same way as the API server.
fn generate(prefix: &str, seed: Uuid) -> String {
    let suffix = seed.as_bytes()[..5]
        .iter()
        .map(|&byte| char::from(SUFFIX[usize::from(byte) % SUFFIX.len()]));
    prefix.chars().take(LONGEST_PREFIX).chain(suffix).collect()
}

//! Claims that Bindery leaves to Kubernetes: Kubernetes binds them to an existing volume, or a volume populator fills their
//! volume.
//!
//! Kubernetes looks for an existing volume before it asks a provisioner. The API server asks Bindery before that, so Bindery
//! looks for an existing volume in the same way: `FindMatchingVolume` of k8s.io/component-helpers. A volume whose `claimRef`
//! reserves it for the claim comes first, in any class. kube-controller-manager binds the two, so Bindery compares only the
//! fields that it compares.

use kube::core::{Selector, SelectorExt};

use super::fits::fits_modes_and_size;
use super::verdict::Pass;
use crate::model::candidate::Candidate;
use crate::model::claim::Claim;
use crate::model::data_source::DataSource;
use crate::model::names::{ARCHIVE_KIND, GROUP};

/// Returns why a claim is left to Kubernetes, or `None` if Bindery provisions it.
pub(super) fn leave_to_kubernetes(claim: &Claim, candidates: &[Candidate], warnings: &mut Vec<String>) -> Option<Pass> {
    // Each candidate has a claimRef for this claim, or has no claimRef and is of the claim's class.
    let (reserved, available): (Vec<_>, Vec<_>) = candidates
        .iter()
        .partition(|candidate| candidate.volume.claim.is_some());
    let mut too_different = Vec::new();
    for candidate in reserved {
        let name = &candidate.volume.name;
        match satisfies(claim, candidate) {
            Err(why) if !candidate.volume.is_given_to(claim) => too_different.push(format!(
                "PersistentVolume {name} is reserved for this claim, but Kubernetes does not bind it: {why}"
            )),
            // If the volume has the claim's uid, kube-controller-manager has compared them already.
            _ => return Some(Pass::Reserved(name.clone())),
        }
    }
    // The API server refuses a selector that is not valid.
    let selector = claim
        .selector
        .clone()
        .map(|selector| Selector::try_from(selector).unwrap_or_default());
    let fits = |candidate: &&Candidate| {
        let selects = |selector: &Selector| selector.matches(&candidate.match_fields.labels);
        selector.as_ref().is_none_or(selects) && satisfies(claim, candidate).is_ok()
    };
    // If the scheduler has chosen a node, it has found no existing volume for it.
    if !claim.has_node
        && let Some(candidate) = available.into_iter().find(fits)
    {
        return Some(Pass::Available(candidate.volume.name.clone()));
    }
    warnings.append(&mut too_different);
    if claim.selector.is_some() {
        warnings.push(format!(
            "the claim has a selector, so it waits for an existing PersistentVolume of StorageClass {} with matching \
            labels; for a new volume, create the claim without spec.selector",
            claim.class.as_deref().unwrap_or_default()
        ));
        return Some(Pass::Selector);
    }
    match &claim.data_source {
        DataSource::Populator(kind) => Some(Pass::Populator(kind.clone())),
        _ => None,
    }
}

/// Whether the volume satisfies the claim. The error says what differs.
fn satisfies(claim: &Claim, candidate: &Candidate) -> Result<(), String> {
    let mode = |is_block| if is_block { "Block" } else { "Filesystem" };
    if claim.is_block != candidate.match_fields.is_block {
        return Err(format!(
            "the claim asks for volumeMode {}, the volume has {}",
            mode(claim.is_block),
            mode(candidate.match_fields.is_block)
        ));
    }
    if claim.attributes_class != candidate.match_fields.attributes_class {
        return Err(format!(
            "the claim asks for volumeAttributesClassName {:?}, the volume has {:?}",
            claim.attributes_class, candidate.match_fields.attributes_class
        ));
    }
    fits_modes_and_size(claim, &candidate.volume).map_err(|differs| format!("the claim {differs}"))
}

/// The sentence that refuses a claim whose data source no program provides.
pub(super) fn source_refusal(source: &DataSource) -> Option<String> {
    match source {
        DataSource::Empty | DataSource::Populator(_) | DataSource::Archive(_) => None,
        DataSource::ArchiveOfNamespace(name) => Some(format!(
            "dataSourceRef names Archive {name} with a namespace, which Kubernetes ignores without its feature gate \
            CrossNamespaceVolumeDataSource, so the volume would be empty: create the claim in the namespace of the \
            Archive, without dataSourceRef.namespace"
        )),
        DataSource::NotAnArchive(kind) => Some(format!(
            "dataSourceRef.kind is {kind}: write kind: {ARCHIVE_KIND}, because API group {GROUP} has no other kind that \
            Bindery can restore"
        )),
        DataSource::Claim(name) => Some(format!(
            "Bindery cannot clone claim {name}: create the claim without a data source, and copy the files with a pod \
            that mounts both claims"
        )),
        DataSource::Snapshot(name) => Some(format!(
            "Bindery cannot restore VolumeSnapshot {name}: create the claim without a data source, and restore the \
            files with the backup tool that made the copy"
        )),
        DataSource::Removed(kind) => Some(format!(
            "Kubernetes ignores a dataSource of kind {kind}, so the volume would be empty: name the object in \
            spec.dataSourceRef"
        )),
        DataSource::OtherNamespace(kind) => Some(format!(
            "dataSourceRef names an object of kind {kind} in another namespace, which Kubernetes ignores without its \
            feature gate CrossNamespaceVolumeDataSource, so the volume would be empty: create the claim in the \
            namespace of that object, without dataSourceRef.namespace"
        )),
    }
}

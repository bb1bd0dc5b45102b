//! Corrects the policy of a volume that was created for another claim of the same name.
//!
//! A volume that no claim uses yet names its claim by namespace and name only. If that claim is never created, and
//! another claim of the same name is created without the webhook, kube-controller-manager binds the two even if their
//! classes differ. The claim may then be in use, so it keeps the volume. The policy of its own class applies to its
//! files.
//!
//! Setting the policy to `retain` would be simpler. But then, if the class says `delete`, the directory would still
//! stay at its path after the claim was deleted, and with `existingDirectory: deny` the next claim of that name would
//! be refused.

use json_patch::PatchOperation;
use serde_json::json;

use super::step::Step;
use crate::cluster::patch::{set, set_annotation};
use crate::controller::error::Error;
use crate::model::claim::{Claim, Name};
use crate::model::names::volume_annotation;
use crate::model::on_delete::OnDelete;
use crate::model::volume::Origin;
use crate::policy::decide::Decision;

/// Returns a patch that writes the policy of the claim's own class to the volume. The patch is empty if the claim has
/// the class of the volume, or would get no volume from its class; in the latter case an Event reports the difference.
pub async fn policy_of_claims_class(step: Step<'_>, claim: &Claim) -> Result<Vec<PatchOperation>, Error> {
    let Step {
        ctx, volume, record, ..
    } = step;
    let (Some(class_name), Some(claim_ref)) = (&claim.class, &volume.claim) else {
        return Ok(Vec::new());
    };
    if *class_name == volume.class {
        return Ok(Vec::new());
    }
    let class = ctx.cluster.class(class_name).await?;
    let unbound = Claim {
        volume_name: None,
        name: Name::Given(claim_ref.name.clone()),
        ..claim.clone()
    };
    let verdict = ctx.decide(&unbound, class.as_ref(), None, &[]).await?;
    let Decision::Provision(new) = verdict.decision else {
        return Ok(Vec::new());
    };
    // Files that existed before must not be deleted with this claim.
    let on_delete = match record.origin {
        Origin::New => new.on_delete,
        Origin::Adopted | Origin::Restored => OnDelete::Retain,
    };
    Ok(vec![
        set_annotation(volume_annotation::MADE_FOR, &volume.class),
        set_annotation(volume_annotation::ON_DELETE, &on_delete.to_string()),
        set_annotation(volume_annotation::ARCHIVE_RETENTION, &new.retention.to_string()),
        set("/spec/persistentVolumeReclaimPolicy", json!(new.reclaim.as_str())),
        set("/spec/storageClassName", json!(new.class)),
    ])
}

//! A claim that got a volume which was made for another of its name.
//!
//! A volume that no claim has had names one by namespace and name alone; if the claim that it was made for never came, and
//! one of the same name passes Bindery by, the controller manager binds the two whatever their classes. Then the claim may
//! be in use, and keeps the volume; but what becomes of its data is for its own class to say, not for the other's.

use json_patch::PatchOperation;
use serde_json::json;

use crate::cluster::patch::{set, set_annotation};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::model::claim::{Claim, Name};
use crate::model::names::mark;
use crate::model::on_delete::OnDelete;
use crate::model::volume::{Origin, Record, Volume};
use crate::policy::decide::{Decision, Facts, decide};

/// What is to be written on the volume so that it ends as the claim's own class says. Nothing if the class is the
/// volume's, or gives such a claim no volume at all: its user is told of that difference.
pub async fn policy_of_claims_class(
    ctx: &Context,
    volume: &Volume,
    record: &Record,
    claim: &Claim,
) -> Result<Vec<PatchOperation>, Error> {
    let (Some(class_name), Some(meant)) = (&claim.class, &volume.claim) else {
        return Ok(Vec::new());
    };
    if *class_name == volume.class {
        return Ok(Vec::new());
    }
    let class = ctx.cluster.class(class_name).await?;
    let unbound = Claim {
        volume_name: None,
        name: Name::Given(meant.name.clone()),
        ..claim.clone()
    };
    let verdict = decide(&Facts {
        claim: &unbound,
        class: class.as_ref(),
        namespace: &ctx.cluster.namespace(&claim.namespace).await?,
        volume: None,
        defaults: &ctx.defaults,
        installation: &ctx.installation,
        fresh: claim.seed(),
    });
    let Decision::Provision(new) = verdict.decision else {
        return Ok(Vec::new());
    };
    // What lay in it before is not this claim's to lose.
    let on_delete = match record.origin {
        Origin::New => new.on_delete,
        Origin::Adopted => OnDelete::Retain,
    };
    Ok(vec![
        set_annotation(mark::MADE_FOR, &volume.class),
        set_annotation(mark::ON_DELETE, &on_delete.to_string()),
        set_annotation(mark::ARCHIVE_RETENTION, &new.retention.to_string()),
        set("/spec/persistentVolumeReclaimPolicy", json!(new.reclaim.as_str())),
        set("/spec/storageClassName", json!(new.class)),
    ])
}

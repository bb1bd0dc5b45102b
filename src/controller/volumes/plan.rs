//! The next step of a volume, with a live look at its claim where that decides.

use crate::controller::context::Context;
use crate::controller::error::Failure;
use crate::model::claim::Claim;
use crate::model::volume::Volume;
use crate::policy::reconcile::{ClaimState, Plan, plan};

/// Returns the next step, and the claim if it was looked at and is there.
pub async fn plan_with_claim(ctx: &Context, volume: &Volume) -> Result<(Plan, Option<Claim>), Failure> {
    let next = plan(volume, ClaimState::Unknown, &ctx.installation);
    let (Plan::LookAtClaim, Some(meant)) = (&next, &volume.claim) else {
        return Ok((next, None));
    };
    let claim = ctx.cluster.claim(&meant.namespace, &meant.name).await?;
    Ok((
        plan(
            volume,
            claim.as_ref().map_or(ClaimState::Gone, ClaimState::Exists),
            &ctx.installation,
        ),
        claim,
    ))
}

/// The very volume as it is now, by a live look, if it is still there to be cleaned up.
pub async fn still(ctx: &Context, volume: &Volume) -> Result<Option<Volume>, Failure> {
    let now = ctx.cluster.volume(&volume.name).await?;
    Ok(now.filter(|now| now.uid == volume.uid && now.deleting && now.held))
}

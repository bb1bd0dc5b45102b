//! Reads objects from the API server, not from the cache, and decides the next step for a volume.

use super::step::Step;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::model::claim::Claim;
use crate::model::volume::Volume;
use crate::policy::reconcile::{self, ClaimState, Plan};

/// Returns the next step for a volume. Also returns the claim, if it was read and exists.
pub async fn plan(ctx: &Context, volume: &Volume) -> Result<(Plan, Option<Claim>), Error> {
    let next = reconcile::plan(volume, ClaimState::Unknown, &ctx.installation);
    let (Plan::LookUpClaim, Some(claim_ref)) = (&next, &volume.claim) else {
        return Ok((next, None));
    };
    let claim = ctx.cluster.claim(&claim_ref.namespace, &claim_ref.name).await?;
    Ok((
        reconcile::plan(
            volume,
            claim.as_ref().map_or(ClaimState::Gone, ClaimState::Exists),
            &ctx.installation,
        ),
        claim,
    ))
}

/// Reads this volume again. Fails with [`Error::VolumeGone`] unless it still exists and waits for its cleanup.
pub async fn being_deleted(step: Step<'_>) -> Result<Volume, Error> {
    let now = step.ctx.cluster.volume(&step.volume.name).await?;
    waits_for_cleanup(now, step.volume)
}

fn waits_for_cleanup(now: Option<Volume>, volume: &Volume) -> Result<Volume, Error> {
    now.filter(|now| now.uid == volume.uid && now.deleting && now.has_finalizer)
        .ok_or(Error::VolumeGone)
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;

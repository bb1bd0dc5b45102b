//! Reconciles one volume: decides the next step and carries it out.

use std::sync::Arc;
use std::time::Duration;

use kube::Resource;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use tracing::Instrument;

use super::step::Step;
use super::{bind, cleanup, complete_claim, driver_takeover, legacy, live, other_installation};
use crate::cluster::cache::CachedVolume;
use crate::cluster::patch;
use crate::controller::annotation_warnings;
use crate::controller::context::{Context, RECHECK};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::leader::server_queue::Permit;
use crate::failpoints::{self, Point};
use crate::model::claim::Claim;
use crate::model::volume::Volume;
use crate::policy::reconcile::{ClaimState, Plan, plan};

/// Waits in the queue of the volume's NFS server, then takes one step.
pub async fn reconcile(volume: Arc<CachedVolume>, leader: Arc<Leader>) -> Result<Action, Error> {
    // Thousands of volumes may wait here. The large future of the step is created after the wait, to save memory.
    let _permit = acquire(&leader, &volume).await?;
    let Some(volume) = leader.ctx.cluster.volumes.get(&ObjectRef::from(&*volume)) else {
        // The volume was deleted in the meantime.
        return Ok(Action::await_change());
    };
    Box::pin(take_over_or_step(volume, Arc::clone(&leader))).await
}

async fn take_over_or_step(cached: Arc<CachedVolume>, leader: Arc<Leader>) -> Result<Action, Error> {
    let volume = cached.read();
    let claim = volume
        .claim
        .as_ref()
        .map(|claim| format!("{}/{}", claim.namespace, claim.name));
    let span = tracing::info_span!("reconcile", volume = volume.name, claim);
    let step = async {
        if legacy::take_over(&leader, &cached).await? {
            return Ok(Action::await_change());
        }
        if let Some(next) = Box::pin(driver_takeover::take_over(&leader, &cached)).await? {
            return Ok(next);
        }
        Box::pin(step(&leader, volume)).await
    };
    let next = step.instrument(span).await?;
    leader.backoff.reset(&volume.name);
    Ok(next)
}

/// Waits in the queue of the volume's NFS server.
async fn acquire(leader: &Leader, volume: &CachedVolume) -> Result<Permit, Error> {
    let server = volume.server().unwrap_or_default();
    let meta = volume.meta();
    let (queue, since) = match &meta.deletion_timestamp {
        Some(deleted) => (&leader.cleanup_queue, Some(deleted)),
        None => (&leader.bind_queue, meta.creation_timestamp.as_ref()),
    };
    let permit = queue.acquire(server, since.map(|since| since.0));
    leader
        .term
        .stop
        .run_until_cancelled(permit)
        .await
        .ok_or(Error::NotLeading)
}

async fn step(leader: &Leader, volume: &Volume) -> Result<Action, Error> {
    let ctx = &leader.ctx;
    if let Some(remaining) = remaining_grace(leader, volume) {
        return Ok(Action::requeue(remaining));
    }
    // If the claim exists, the volume is needed, too. Both are read at the same time.
    let look = async {
        if is_named_by_claim(ctx, volume) {
            ctx.cluster.volume(&volume.name).await.map_err(Error::from)
        } else {
            Ok(None)
        }
    };
    let (next, live) = tokio::try_join!(live::plan(ctx, volume), look)?;
    leader.may_act()?;
    match next {
        (Plan::Bind { .. }, Some(claim)) => Box::pin(bind_live(leader, live, &volume.name, &claim)).await?,
        (Plan::Undo(difference), Some(claim)) => bind::undo(leader, volume, &claim, &difference).await?,
        (Plan::NotOurs(why), _) => return other_installation::report(leader, volume, why).await,
        (Plan::InvalidRecord(error), _) => return Err(Error::Invalid(error)),
        (Plan::MarkDeleted, _) => {
            patch::delete(&ctx.persistent_volumes(), volume).await?;
            failpoints::point(Point::MarkedDeleted);
        }
        (next @ (Plan::Orphan | Plan::Wait), _) => {
            let grace = ctx.options.orphan_grace;
            match leader.unchanged_since.remaining(volume, grace) {
                Some(remaining) => return Ok(Action::requeue(remaining)),
                None if next == Plan::Orphan => remove_orphan(leader, volume).await?,
                None => return Ok(Action::requeue(grace)),
            }
        }
        (Plan::Dispose(..), _) => clean_up_live(leader, &volume.name).await?,
        // The deletion of the claim triggers a reconcile. This requeue is needed if the watch was broken at that time.
        (Plan::Leave, Some(_)) if volume.deleting => return Ok(Action::requeue(RECHECK)),
        (Plan::Leave, _) => return complete_claim::complete(leader, volume).await,
        (Plan::LookUpClaim | Plan::Bind { .. } | Plan::Undo(_), _) => {}
    }
    Ok(Action::await_change())
}

/// Deletes a volume that no claim uses. If a request has used the volume again since it was read, its version has
/// changed, and the delete fails.
async fn remove_orphan(leader: &Leader, volume: &Volume) -> Result<(), Error> {
    let ctx = &leader.ctx;
    patch::delete(&ctx.persistent_volumes(), volume).await?;
    leader.unchanged_since.forget(volume);
    tracing::info!("no claim uses this volume: it is deleted");
    ctx.metrics.step("orphan_deleted");
    Ok(())
}

async fn bind_live(leader: &Leader, live: Option<Volume>, name: &str, claim: &Claim) -> Result<(), Error> {
    let ctx = &leader.ctx;
    let live = match live {
        Some(volume) => Some(volume),
        None => ctx.cluster.volume(name).await?,
    };
    let Some(volume) = live else { return Ok(()) };
    let Plan::Bind { record, difference } = plan(&volume, ClaimState::Exists(claim), &ctx.installation) else {
        // The volume has changed; the watch event triggers the next reconcile.
        return Ok(());
    };
    bind::bind(Step::new(leader, &volume, &record), claim).await?;
    annotation_warnings::report(ctx, claim).await;
    if let Some(difference) = difference {
        bind::report_changed(ctx, &volume, claim, &difference);
    }
    Ok(())
}

/// Reads the volume from the API server, and cleans it up. The cache may not have the result of the last step yet.
async fn clean_up_live(leader: &Leader, name: &str) -> Result<(), Error> {
    let ctx = &leader.ctx;
    let Some(volume) = ctx.cluster.volume(name).await? else {
        return Ok(());
    };
    match live::plan(ctx, &volume).await? {
        (Plan::Dispose(dispose, record), _) => {
            let done = cleanup::clean_up(leader, &volume, dispose, &record).await;
            // The Event must describe the latest version of the volume.
            if matches!(done, Err(Error::Storage(_) | Error::FileSystemChanged(_)))
                && let Ok(Some(now)) = ctx.cluster.volume(name).await
            {
                ctx.cluster.wait_for_version(name, &now.version).await;
            }
            done
        }
        // The volume has changed; the watch event triggers the next reconcile.
        _ => Ok(()),
    }
}

/// Returns how long the request that created this volume may still be running, if the claim does not exist yet. The
/// creation of the claim triggers a reconcile.
fn remaining_grace(leader: &Leader, volume: &Volume) -> Option<Duration> {
    let ctx = &leader.ctx;
    let claim = volume.claim.as_ref()?;
    let is_new = volume.is_unclaimed_for(&claim.namespace, &claim.name) && !volume.is_fenced();
    let is_early = is_new && ctx.is_own(volume) && ctx.pending_claim(volume).is_none();
    is_early
        .then(|| leader.unchanged_since.remaining(volume, ctx.options.orphan_grace))
        .flatten()
}

/// Returns whether the volume is not bound yet, and its claim in the cache names it.
fn is_named_by_claim(ctx: &Context, volume: &Volume) -> bool {
    let claim = ctx.pending_claim(volume).filter(|_| !volume.ready && !volume.deleting);
    claim.is_some_and(|claim| claim.read().volume_name.as_ref() == Some(&volume.name))
}

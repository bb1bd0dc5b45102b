//! One step of one volume: what is planned is carried out.

use std::sync::Arc;
use std::time::Duration;

use kube::Resource;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use tracing::Instrument;

use super::{bind, cleanup, complete_claim, error_policy, legacy, other_installation, plan};
use crate::cluster::cache::{CachedClaim, CachedVolume};
use crate::cluster::patch;
use crate::controller::annotation_warnings;
use crate::controller::context::{Context, RECHECK};
use crate::controller::error::Failure;
use crate::controller::leader::Leader;
use crate::controller::leader::server_queue::Pass;
use crate::failpoints::{self, Point};
use crate::model::claim::Claim;
use crate::model::volume::Volume;
use crate::policy::reconcile::{ClaimState, Plan, plan};

/// Waits until a volume has its turn, and takes one step with it.
pub async fn reconcile(volume: Arc<CachedVolume>, leader: Arc<Leader>) -> Result<Action, Failure> {
    // Thousands may wait here, so what comes after is on the heap, and made when it begins.
    let _pass = enter(&leader, &volume).await?;
    let Some(volume) = leader.ctx.cluster.volumes.get(&ObjectRef::from(&*volume)) else {
        // It went meanwhile.
        return Ok(Action::await_change());
    };
    Box::pin(take_turn(volume, Arc::clone(&leader))).await
}

async fn take_turn(kept: Arc<CachedVolume>, leader: Arc<Leader>) -> Result<Action, Failure> {
    let volume = kept.read();
    let claim = volume
        .claim
        .as_ref()
        .map(|claim| format!("{}/{}", claim.namespace, claim.name));
    let span = tracing::info_span!("turn", volume = volume.name, claim);
    let step = async {
        if legacy::take_over(&leader, &kept).await? {
            return Ok(Action::await_change());
        }
        step(&leader, volume).await
    };
    let next = step.instrument(span).await?;
    leader.pauses.end(&volume.name);
    Ok(next)
}

/// Waits for the volume's turn among those of its server.
async fn enter(leader: &Leader, volume: &CachedVolume) -> Result<Pass, Failure> {
    let server = volume.server().unwrap_or_default();
    let meta = volume.meta();
    let (gates, since) = match &meta.deletion_timestamp {
        Some(deleted) => (&leader.gates_out, Some(deleted)),
        None => (&leader.gates, meta.creation_timestamp.as_ref()),
    };
    let turn = gates.enter(server, since.map(|since| since.0));
    leader
        .term
        .stop
        .run_until_cancelled(turn)
        .await
        .ok_or(Failure::Stopping)
}

async fn step(leader: &Leader, volume: &Volume) -> Result<Action, Failure> {
    let ctx = &leader.ctx;
    if let Some(left) = is_too_early(leader, volume) {
        return Ok(Action::requeue(left));
    }
    // Where the claim has come both are needed, and neither look waits for the other.
    let look = async {
        if is_asked_for(ctx, volume) {
            ctx.cluster.volume(&volume.name).await.map_err(Failure::from)
        } else {
            Ok(None)
        }
    };
    let (next, live) = tokio::try_join!(plan::plan_with_claim(ctx, volume), look)?;
    leader.may_act()?;
    match next {
        (Plan::Bind { .. }, Some(claim)) => bind_live(leader, live, &volume.name, &claim).await?,
        (Plan::Undo(difference), Some(claim)) => bind::undo(leader, volume, &claim, &difference).await?,
        (Plan::NotOurs(why), _) => return other_installation::tell_not_ours(leader, volume, why).await,
        (Plan::Broken(wrong), _) => return Err(Failure::Broken(wrong)),
        (Plan::MarkDeleted, _) => {
            patch::delete(&ctx.persistent_volumes(), volume).await?;
            failpoints::point(Point::MarkedDeleted);
        }
        (Plan::Orphan, _) if leader.grace.left(volume, ctx.options.orphan_grace).is_none() => {
            remove_orphan(leader, volume).await?;
        }
        (Plan::Orphan | Plan::Waits, _) => {
            let left = leader.grace.left(volume, ctx.options.orphan_grace);
            return Ok(Action::requeue(left.unwrap_or(ctx.options.orphan_grace)));
        }
        (Plan::Dispose(_), _) => dispose_live(leader, &volume.name).await?,
        // Its claim's going is told, but for a moment in which the watch is broken.
        (Plan::Leave, Some(_)) if volume.deleting => return Ok(Action::requeue(RECHECK)),
        (Plan::Leave, _) => return complete_claim::complete(leader, volume).await,
        (Plan::LookAtClaim | Plan::Bind { .. } | Plan::Undo(_), _) => {}
    }
    Ok(Action::await_change())
}

/// Its claim was looked at live a moment ago. A call that uses the volume again changes its version, and this fails.
async fn remove_orphan(leader: &Leader, volume: &Volume) -> Result<(), Failure> {
    let ctx = &leader.ctx;
    patch::delete(&ctx.persistent_volumes(), volume).await?;
    leader.grace.end(volume);
    tracing::info!("no claim has asked for this volume: it is taken away");
    ctx.metrics.step("orphan");
    Ok(())
}

async fn bind_live(leader: &Leader, live: Option<Volume>, name: &str, claim: &Claim) -> Result<(), Failure> {
    let ctx = &leader.ctx;
    let live = match live {
        Some(volume) => Some(volume),
        None => ctx.cluster.volume(name).await?,
    };
    let Some(volume) = live else { return Ok(()) };
    let Plan::Bind { record, difference } = plan(&volume, ClaimState::Exists(claim), &ctx.installation) else {
        // Its event follows.
        return Ok(());
    };
    bind::bind(leader, &volume, &record, claim).await?;
    annotation_warnings::tell_ignored(ctx, claim).await;
    if let Some(difference) = difference {
        bind::tell_changed(ctx, &volume, claim, &difference);
    }
    Ok(())
}

/// Directories are touched on a live look at the volume only: the watch may be behind our own last step.
async fn dispose_live(leader: &Leader, name: &str) -> Result<(), Failure> {
    let ctx = &leader.ctx;
    let Some(volume) = ctx.cluster.volume(name).await? else {
        return Ok(());
    };
    match plan::plan_with_claim(ctx, &volume).await? {
        (Plan::Dispose(dispose), _) => {
            let done = cleanup::dispose(leader, &volume, dispose).await;
            if matches!(done, Err(Failure::Storage(_) | Failure::OtherFileSystem(_))) {
                error_policy::catch_up_with(ctx, &volume).await;
            }
            done
        }
        // Its event follows.
        _ => Ok(()),
    }
}

/// For so long a volume is left to the call that has just made it: its claim comes after it, and is told.
fn is_too_early(leader: &Leader, volume: &Volume) -> Option<Duration> {
    let ctx = &leader.ctx;
    let claim = volume.claim.as_ref()?;
    let is_new = volume.awaits(&claim.namespace, &claim.name) && !volume.is_fenced();
    let is_early = is_new && volume.maker.as_ref() == Some(&*ctx.installation) && claim_of(ctx, volume).is_none();
    is_early
        .then(|| leader.grace.left(volume, ctx.options.orphan_grace))
        .flatten()
}

/// Whether the claim that a volume is to be given to names it, as far as the watch knows.
fn is_asked_for(ctx: &Context, volume: &Volume) -> bool {
    let claim = claim_of(ctx, volume).filter(|_| !volume.ready && !volume.deleting);
    claim.is_some_and(|claim| claim.volume_name.as_deref() == Some(&*volume.name))
}

/// The claim that a volume is for, if it is not bound.
fn claim_of(ctx: &Context, volume: &Volume) -> Option<Arc<CachedClaim>> {
    let claim = volume.claim.as_ref()?;
    let claim = ObjectRef::new(&claim.name).within(&claim.namespace);
    ctx.cluster.claims.get(&claim)
}

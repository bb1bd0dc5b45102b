//! Reconciles one claim: reads it from the API server, and provisions it if it still waits for a volume.

use std::sync::Arc;

use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use tracing::Instrument;

use super::error_policy::SHORT_PAUSE;
use super::triggers::is_waiting;
use super::{exempt, provision};
use crate::cluster::cache::CachedClaim;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::claim::Claim;
use crate::policy::class::Class;

/// Waits in the queue of the claim's share, and then provisions the claim if it still waits for a volume.
pub async fn reconcile(stored: Arc<CachedClaim>, leader: Arc<Leader>) -> Result<Action, Error> {
    if !is_waiting(&stored) {
        return Ok(Action::await_change());
    }
    let span = tracing::info_span!("provision", claim = stored.key());
    let next = Box::pin(reconcile_waiting(&leader, stored.read(), &stored.name_any()).instrument(span)).await?;
    leader.backoff.reset(&stored.key());
    Ok(next)
}

async fn reconcile_waiting(leader: &Leader, stored: &Claim, name: &str) -> Result<Action, Error> {
    let ctx = &leader.ctx;
    let cluster = &ctx.cluster;
    let done = Ok(Action::await_change());
    // Every claim that the webhook has provisioned is reconciled once and ends here.
    if let Some(volume) = &stored.volume_name
        && let Some(volume) = cluster.volumes.get(&ObjectRef::new(volume))
    {
        let volume = volume.read();
        if !volume.is_unclaimed_for(&stored.namespace, name) {
            return done;
        }
        // The binder binds it. If it is fenced in the meantime, its watch event triggers a reconcile.
        if volume.is_for_the_binder() && ctx.is_own(volume) {
            return Ok(Action::requeue(SHORT_PAUSE));
        }
    }
    // The API server does not send such a claim to the webhook, so Bindery does not provision it.
    if exempt::is_exempt(ctx, stored).await? {
        return done;
    }
    let Some(class_name) = &stored.class else { return done };
    let mut held = None;
    let (class, _permit) = loop {
        // The cache only selects the queue. The claim is provisioned with the class that the API server has.
        let class = match &held {
            None => cluster.class(class_name).await?,
            Some(_) => cluster.class_now(class_name).await?,
        };
        let Some(class) = class else { return done };
        if class.provisioner != ctx.installation.provisioner || stored.waits_for_its_pod(&class) {
            return done;
        }
        // An invalid class has no share; refusing its claims takes no time. A class that was recreated while the claim
        // waited may have another share, and then the claim waits in the queue of that share.
        let share = Class::read(&class, &ctx.defaults).map_or(String::new(), |class| class.share.to_string());
        if let Some((before, permit)) = held.take()
            && before == share
        {
            break (class, permit);
        }
        let permit = leader.claim_queue.acquire(&share, stored.created);
        let Some(permit) = leader.term.stop.run_until_cancelled(permit).await else {
            return Err(Error::NotLeading);
        };
        held = Some((share, permit));
    };
    if !leader.term.holds() {
        return Err(Error::NotLeading);
    }
    let Some(claim) = cluster.claim(&stored.namespace, name).await? else {
        return done;
    };
    if claim.uid != stored.uid || claim.deleting {
        return done;
    }
    match &claim.volume_name {
        None => Box::pin(provision::provision_claim(leader, &claim, name, &class)).await,
        Some(volume) => Box::pin(provision::provision_named(leader, &claim, name, &class, volume)).await,
    }
}

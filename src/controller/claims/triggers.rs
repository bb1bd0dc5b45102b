//! The claims that wait for a volume, and the triggers of their reconcile.

use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use kube::runtime::reflector::{ObjectRef, Store};
use uuid::Uuid;

use crate::cluster::cache::{CachedClaim, CachedVolume};
use crate::controller::context::Context;
use crate::controller::leader::Leader;
use crate::policy::class::Class;

/// Returns whether a claim may wait for a volume, according to the cache.
pub fn is_waiting(claim: &CachedClaim) -> bool {
    claim.is_pending() && claim.read().class.is_some()
}

/// Returns the claims that wait for a volume and for which `matches` returns true.
pub fn waiting_claims(
    claims: &Store<CachedClaim>,
    matches: impl Fn(&CachedClaim) -> bool,
) -> Vec<ObjectRef<CachedClaim>> {
    let waiting = claims.state_filter(|claim| is_waiting(claim) && matches(claim));
    waiting.iter().map(|claim| ObjectRef::from(&**claim)).collect()
}

/// Returns the claims to reconcile when this volume is gone: claims that name it, and claims that name no volume,
/// because they may have been refused because of it. If the last attempt for a claim created and removed this volume,
/// that claim is not returned: its next attempt is already scheduled.
pub fn after_volume(gone: &CachedVolume, claims: &Store<CachedClaim>) -> Vec<ObjectRef<CachedClaim>> {
    let gone = gone.read();
    let taken_back_by = gone.attempt.as_ref().filter(|_| gone.is_fenced());
    let taken_back_by: Option<Uuid> = taken_back_by.and_then(|attempt| attempt.parse().ok());
    waiting_claims(claims, |claim| {
        let claim = claim.read();
        let may_need_it = claim.volume_name.as_ref().is_none_or(|named| *named == gone.name);
        may_need_it && taken_back_by.is_none_or(|attempt| attempt != claim.seed())
    })
}

/// Returns the server of a class, according to the cache.
pub fn server_of(ctx: &Context, class: &str) -> Option<String> {
    let class = ctx.cluster.classes.get(&ObjectRef::new(class))?;
    let class = Class::read(&class, &ctx.defaults).ok()?;
    Some(class.share.server().to_owned())
}

/// Returns a stream of the failed claims of a server, each time that the server answers again.
pub fn after_outage(leader: &Arc<Leader>) -> impl Stream<Item = ObjectRef<CachedClaim>> + Send + use<> {
    let leader = Arc::clone(leader);
    leader.ctx.outages.recoveries().flat_map(move |back| {
        let matches = |claim: &CachedClaim| {
            let server = || server_of(&leader.ctx, claim.read().class.as_ref()?);
            leader.backoff.has_failed(&claim.key()) && server().is_some_and(|server| back.may_concern(&server))
        };
        stream::iter(waiting_claims(leader.ctx.cluster.claims.store(), matches))
    })
}

#[cfg(test)]
#[path = "triggers_tests.rs"]
mod tests;

//! Reports why a claim has no volume yet, and schedules the next attempt.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;

use super::triggers::server_of;
use crate::cluster::cache::CachedClaim;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::leader::backoff::LONGEST_PAUSE;
use crate::model::choices::OnStorageFailure;
use crate::model::names::reason;
use crate::provision;

/// The pause before a claim is reconciled again that waits for something short.
pub const SHORT_PAUSE: Duration = Duration::from_secs(5);

/// The pause after a refusal. Some causes can be corrected without a change that triggers a reconcile.
pub const REFUSED_PAUSE: Duration = Duration::from_mins(5);

/// Writes an Event. Returns when the claim is reconciled again.
pub fn error_policy(claim: Arc<CachedClaim>, error: &Error, leader: Arc<Leader>) -> Action {
    let (_, pause) = leader.backoff.record_failure(&claim.key());
    let claim = claim.read();
    // The failure is recorded before the outages are read. If the outage ends after that, the claim is reconciled.
    let server = claim.class.as_ref().and_then(|class| server_of(&leader.ctx, class));
    let pause = match server {
        Some(server) if leader.ctx.outages.has(&server) => LONGEST_PAUSE,
        _ => match error {
            Error::Provision(provision::Error::Storage(error)) if !error.transient() => pause,
            Error::Provision(error @ provision::Error::Api(..)) if !error.can_queue(OnStorageFailure::Queue) => {
                REFUSED_PAUSE
            }
            _ => pause.min(SHORT_PAUSE),
        },
    };
    // The term may continue; then the claim is reconciled again.
    if !matches!(error, Error::NotLeading) {
        let note = format!("{}. Bindery retries", error.to_string().trim_end_matches('.'));
        let events = &leader.ctx.events;
        events.warn_by_cause(claim, reason::PROVISIONING_FAILED, &error.cause(), note);
    }
    Action::requeue(pause)
}

//! Why a claim has no volume yet; how that is reported, and when it is tried again.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::triggers::{backoff_key, server_of};
use crate::cluster::api_error::ApiFault;
use crate::cluster::cache::CachedClaim;
use crate::controller::error::fault;
use crate::controller::leader::Leader;
use crate::controller::leader::backoff::LONGEST_PAUSE;
use crate::model::choices::OnStorageFailure;
use crate::model::names::reason;
use crate::provision;

/// The pause while a claim waits for something that takes a moment.
pub const MOMENT: Duration = Duration::from_secs(5);

/// The pause after a refusal. Not everything that can be corrected triggers a reconcile.
pub const REFUSED_PAUSE: Duration = Duration::from_mins(5);

/// Why a claim has no volume yet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its volume could not be created.
    #[error(transparent)]
    Provision(#[from] provision::Error),
    /// A request to the API server failed.
    #[error("a request to the API server failed: {}", ApiFault::from(.0))]
    Api(#[from] kube::Error),
    /// The process is stopping, or another replica leads.
    #[error("this replica is stopping, or no longer leads")]
    NotLeading,
}

pub fn error_policy(claim: Arc<CachedClaim>, error: &Error, leader: Arc<Leader>) -> Action {
    let name = claim.name_any();
    let claim = claim.outline();
    let (_, pause) = leader.backoff.record_failure(&backoff_key(&claim.namespace, &name));
    // The error is recorded first: an outage that ends after the look then finds this claim among those to reconcile.
    let server = claim.class.as_ref().and_then(|class| server_of(&leader.ctx, class));
    let pause = match server {
        Some(server) if leader.ctx.outages.has(&server) => LONGEST_PAUSE,
        _ => match error {
            Error::Provision(provision::Error::Storage(error)) if !error.transient() => pause,
            Error::Provision(error @ provision::Error::Api(..)) if !error.passes(OnStorageFailure::Queue) => {
                REFUSED_PAUSE
            }
            _ => pause.min(MOMENT),
        },
    };
    let cause = match error {
        Error::Provision(provision::Error::Storage(error)) => fault(error.fault),
        Error::Provision(provision::Error::Releasing(_)) => "Leaving",
        Error::Provision(_) | Error::Api(_) => "Api",
        // If the term continues after all, the claim is reconciled again.
        Error::NotLeading => return Action::requeue(pause),
    };
    let note = format!("{}. Bindery retries", error.to_string().trim_end_matches('.'));
    leader
        .ctx
        .events
        .warn_claim(&claim, reason::PROVISIONING_FAILED, cause, note);
    Action::requeue(pause)
}

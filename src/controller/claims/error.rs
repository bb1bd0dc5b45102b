//! Why a claim has no volume yet, who is told, and when it is tried again.

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

/// While a claim waits for something that will be over in a moment.
pub const MOMENT: Duration = Duration::from_secs(5);

/// A claim that was refused is looked at again now and then: not everything that may be mended tells of itself.
pub const REFUSED_PAUSE: Duration = Duration::from_mins(5);

/// Why a claim has no volume yet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be provisioned.
    #[error(transparent)]
    Provision(#[from] provision::Error),
    /// The API server did not tell what has a say.
    #[error("a request to the API server failed: {}", ApiFault::from(.0))]
    Api(#[from] kube::Error),
    /// The process is stopping, or another replica leads by now.
    #[error("this replica is stopping, or no longer leads")]
    NotLeading,
}

pub fn error_policy(claim: Arc<CachedClaim>, failure: &Error, leader: Arc<Leader>) -> Action {
    let name = claim.name_any();
    let claim = claim.outline();
    let (_, pause) = leader.backoff.record_failure(&backoff_key(&claim.namespace, &name));
    // Counted before it is looked at: whoever is told that a server is down hears when it is back.
    let server = claim.class.as_ref().and_then(|class| server_of(&leader.ctx, class));
    let pause = match server {
        Some(server) if leader.ctx.outages.has(&server) => LONGEST_PAUSE,
        _ => match failure {
            Error::Provision(provision::Error::Storage(error)) if !error.transient() => pause,
            Error::Provision(failure @ provision::Error::Api(..)) if !failure.passes(OnStorageFailure::Queue) => {
                REFUSED_PAUSE
            }
            _ => pause.min(MOMENT),
        },
    };
    let cause = match failure {
        Error::Provision(provision::Error::Storage(error)) => fault(error.fault),
        Error::Provision(provision::Error::Releasing(_)) => "Leaving",
        Error::Provision(_) | Error::Api(_) => "Api",
        // Should the term go on after all, nothing is forgotten.
        Error::NotLeading => return Action::requeue(pause),
    };
    let note = format!("{}. Bindery retries", failure.to_string().trim_end_matches('.'));
    leader
        .ctx
        .events
        .warn_claim(&claim, reason::PROVISIONING_FAILED, cause, note);
    Action::requeue(pause)
}

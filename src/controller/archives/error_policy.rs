//! Reports a failed reconcile of the object of an archive, and schedules the next one.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::reconcile::key;
use crate::cluster::cache::CachedArchive;
use crate::cluster::patch;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::leader::backoff::{FIRST_PAUSE, LONGEST_PAUSE};
use crate::model::names::reason;
use crate::ops::events::Subject;

/// The number of failures in a row after which an error is reported that is usually temporary.
const REPORT_AFTER: u32 = 5;

/// Writes an Event if an administrator can act on the error. Returns when the object is reconciled again.
#[allow(clippy::needless_pass_by_value)] // kube's Controller passes them so.
pub fn error_policy(object: Arc<CachedArchive>, error: &Error, leader: Arc<Leader>) -> Action {
    let ctx = &leader.ctx;
    let (times, mut pause) = leader.backoff.record_failure(&key(&object));
    if let (Error::Storage(_), Ok(record)) = (error, &object.record)
        && ctx.outages.has(record.share.server())
    {
        pause = LONGEST_PAUSE;
    }
    let is_reported = match error {
        Error::NotLeading => return Action::requeue(FIRST_PAUSE),
        Error::Api(error) if patch::is_precondition_failed(error) || patch::is_not_found(error) => {
            times >= REPORT_AFTER
        }
        Error::Api(_) | Error::Changed | Error::ArchiveInUse(_) | Error::BeingRestored(_) => times >= REPORT_AFTER,
        _ => true,
    };
    tracing::debug!(object = key(&object), ?pause, %error, "a reconcile failed");
    if is_reported {
        ctx.metrics.step("failed");
        let note = format!("{}. Bindery retries.", error.to_string().trim_end_matches('.'));
        ctx.events
            .warn_by_cause(&About(&object), reason::ARCHIVE_FAILED, &error.cause(), note);
    }
    Action::requeue(pause)
}

/// The object of an archive, for an Event.
struct About<'a>(&'a CachedArchive);

impl Subject for About<'_> {
    fn reference(&self) -> Option<ObjectReference> {
        use kube::Resource;
        let mut reference = self.0.object_ref(&());
        reference.uid = Some(self.0.uid.clone());
        reference.name = Some(self.0.name_any());
        Some(reference)
    }
}

//! Expands volumes: raises the size of claims that request more.
//!
//! Trigger: a bound claim that requests more than the capacity in its status; and a change of its volume. Order: (1) a
//! JSON patch writes the size to the volume, and tests the volume's uid and old size; (2) a patch writes the size to
//! the claim's status, and tests the claim's uid and version. After a crash between (1) and (2), the next reconcile
//! does (2). The NFS server is asked only if Bindery sets limits there (`sizeLimit: set`): the limit is raised before (1).
//! kube-controller-manager does not expand such volumes; it only writes an Event `ExternalExpanding`. csi-resizer may expand
//! volumes that a CSI driver mounts: see [`crate::policy::expansion`].

use std::future::ready;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimCondition};
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::context::Context;
use super::error::Error;
use super::leader::Leader;
use super::leader::backoff::FIRST_PAUSE;
use super::size_limit::limit_size;
use crate::cluster::cache::{CachedClaim, CachedVolume};
use crate::cluster::patch::{self, set, test};
use crate::failpoints::{self, Point};
use crate::model::choices::SizeLimit;
use crate::model::claim::{Bytes, Claim};
use crate::model::names::reason;
use crate::model::volume::Volume;
use crate::model::volume_source::VolumeSource;
use crate::policy::expansion::{Expansion, may_expand, next};

/// The number of claims that are expanded at once.
const PARALLEL: u16 = 16;
/// The number of failures in a row after which an Event reports them.
const REPORT_AFTER: u32 = 5;
/// The conditions of a claim that report an expansion in progress.
const RESIZE_CONDITIONS: [&str; 4] = [
    "Resizing",
    "FileSystemResizePending",
    "ControllerResizeError",
    "NodeResizeError",
];

/// Expands claims until `stop`, then waits for the expansions in progress.
pub async fn run(leader: Arc<Leader>, stop: CancellationToken) {
    let cluster = leader.ctx.cluster.clone();
    let claims = cluster.claims.store().clone();
    let due = cluster.claims.events().filter(|claim| ready(claim.is_to_be_expanded()));
    Controller::for_shared_stream(due, cluster.claims.store().clone())
        // The volume may have been taken over, or have become ready.
        .watches_shared_stream(cluster.volumes.events(), move |volume: Arc<CachedVolume>| {
            let claim = volume.read().claim.as_ref();
            let claim = claim.map(|claim| ObjectRef::new(&claim.name).within(&claim.namespace));
            claim.filter(|claim| claims.get(claim).is_some_and(|claim| claim.is_to_be_expanded()))
        })
        .with_config(controller::Config::default().concurrency(PARALLEL))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile, error_policy, leader)
        // The error policy has reported errors.
        .for_each(async |_| ())
        .await;
}

/// Expands the volume of a claim, if this installation manages it.
async fn reconcile(cached: Arc<CachedClaim>, leader: Arc<Leader>) -> Result<Action, Error> {
    let ctx = &leader.ctx;
    let Some(name) = &cached.read().volume_name else {
        return Ok(Action::await_change());
    };
    let claim = cached.read();
    let is_due =
        |volume: &Volume| may_expand(volume, &claim.uid, &ctx.installation) && next(claim, volume) != Expansion::Done;
    let volume = ctx.cluster.volumes.get(&ObjectRef::new(name));
    if volume.is_some_and(|volume| is_due(volume.read())) {
        let span = tracing::info_span!("expand", claim = cached.key(), volume = name);
        Box::pin(expand(&leader, &cached, name).instrument(span)).await?;
        leader.backoff.reset(&backoff_key(&cached));
    }
    Ok(Action::await_change())
}

/// Reads the claim and the volume, and writes the new size where it is missing.
async fn expand(leader: &Leader, cached: &CachedClaim, volume_name: &str) -> Result<(), Error> {
    let ctx = &leader.ctx;
    let (namespace, name) = (&cached.read().namespace, cached.name_any());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(ctx.cluster.client.clone(), namespace);
    let (object, volume) = tokio::try_join!(claims.get_opt(&name), ctx.cluster.volume(volume_name))?;
    let (Some(object), Some(volume)) = (object, volume) else {
        return Ok(());
    };
    let claim = Claim::read(&object, namespace);
    if claim.volume_name.as_deref() != Some(volume_name) || !may_expand(&volume, &claim.uid, &ctx.installation) {
        return Ok(());
    }
    leader.may_act()?;
    let size = match next(&claim, &volume) {
        Expansion::Done => return Ok(()),
        Expansion::Limit(size) => return raise_limit(ctx, &volume, &size).await,
        Expansion::Volume(size) => {
            raise_limit(ctx, &volume, &size).await?;
            let before = volume.capacity.as_ref().map(|size| &size.written);
            let operations = vec![
                patch::test_uid(&volume),
                test("/spec/capacity/storage", json!(before)),
                set("/spec/capacity/storage", json!(size.written)),
            ];
            patch::apply(&ctx.persistent_volumes(), volume_name, operations).await?;
            failpoints::point(Point::VolumeExpanded);
            size
        }
        // Another program, such as csi-resizer, may have written the size of the volume.
        Expansion::Claim(size) => {
            raise_limit(ctx, &volume, &size).await?;
            size
        }
    };
    if !claim.asks_for_more() {
        tracing::info!(
            "another program had written a smaller size to the volume; it has {} again",
            size.written
        );
        return Ok(());
    }
    let has_resizer = claim.allocated.is_some() && is_csi(&volume);
    let status = with_capacity(&object, &size, has_resizer);
    claims
        .patch_status(&name, &PatchParams::default(), &Patch::<Value>::Merge(status))
        .await?;
    ctx.metrics.step("expanded");
    let before = claim.capacity.as_ref().map_or("no size", |before| &before.written);
    let is_limited = volume
        .record
        .as_ref()
        .is_ok_and(|record| record.size_limit == SizeLimit::Set);
    let enforced = if is_limited { "" } else { ". NFS does not enforce sizes" };
    let note = format!(
        "the size of this claim and of volume {volume_name} was raised from {before} to {}{enforced}",
        size.written
    );
    ctx.events.normal(&claim, reason::RESIZED, note);
    Ok(())
}

/// Raises the limit of the directory, if Bindery sets it. This comes before the size is written, so that a claim never shows a
/// size that its files cannot have.
async fn raise_limit(ctx: &Context, volume: &Volume, size: &Bytes) -> Result<(), Error> {
    match &volume.record {
        Ok(record) => match record.identity {
            Some(identity) => limit_size(ctx, record, Some(size), identity).await,
            None => Ok(()),
        },
        Err(_) => Ok(()),
    }
}

fn is_csi(volume: &Volume) -> bool {
    let record = volume.record.as_ref();
    record.is_ok_and(|record| record.source != VolumeSource::Nfs)
}

/// Returns a merge patch for this version of a claim. It writes the size to the status, and removes the conditions that
/// report an expansion in progress. The allocated size stays if csi-resizer has written it: without it, Bindery would not
/// see what csi-resizer writes later.
fn with_capacity(claim: &PersistentVolumeClaim, size: &Bytes, has_resizer: bool) -> Value {
    let conditions = claim
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let others = conditions.filter(|condition| !RESIZE_CONDITIONS.contains(&&*condition.type_));
    let others: Vec<&PersistentVolumeClaimCondition> = others.collect();
    json!({
        "metadata": {"uid": claim.metadata.uid, "resourceVersion": claim.metadata.resource_version},
        "status": {
            "capacity": {"storage": size.written},
            "conditions": others,
            "allocatedResources": {"storage": has_resizer.then_some(&size.written)},
            "allocatedResourceStatuses": {"storage": null},
        },
    })
}

/// Schedules the next attempt. Reports repeated failures.
fn error_policy(claim: Arc<CachedClaim>, error: &Error, leader: Arc<Leader>) -> Action {
    // The term may continue; then the claim is reconciled again.
    if matches!(error, Error::NotLeading) {
        return Action::requeue(FIRST_PAUSE);
    }
    let (times, pause) = leader.backoff.record_failure(&backoff_key(&claim));
    if times < REPORT_AFTER {
        // The claim or the volume may have been changed at the same time.
        tracing::debug!(
            claim = claim.name_any(),
            "the larger size could not be written: {error}"
        );
    } else {
        leader.ctx.metrics.step("failed");
        let error = error.to_string();
        let error = error.trim_end_matches('.');
        let note = format!("the larger size could not be written: {error}. Bindery retries");
        let reason = reason::RESIZE_FAILED;
        leader.ctx.events.warn_by_cause(claim.read(), reason, reason, note);
    }
    Action::requeue(pause)
}

/// Returns the key under which the failures of an expansion are counted. It differs from the keys of volumes and
/// claims.
fn backoff_key(claim: &CachedClaim) -> String {
    format!("{} larger", claim.key())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_keeps_only_conditions_that_do_not_report_an_expansion() {
        let condition = |type_: &str| json!({"type": type_, "status": "True"});
        let claim = json!({
            "metadata": {"name": "data", "uid": "c", "resourceVersion": "7"},
            "status": {"conditions": [condition("Resizing"), condition("Other"), condition("NodeResizeError")]},
        });
        let size = Bytes {
            written: "5Gi".to_owned(),
            bytes: 5 << 30,
        };
        let claim = serde_json::from_value(claim).unwrap();
        let mut expected = json!({
            "metadata": {"uid": "c", "resourceVersion": "7"},
            "status": {
                "capacity": {"storage": "5Gi"},
                "conditions": [condition("Other")],
                "allocatedResources": {"storage": null},
                "allocatedResourceStatuses": {"storage": null},
            },
        });
        assert_eq!(with_capacity(&claim, &size, false), expected);
        expected["status"]["allocatedResources"]["storage"] = json!("5Gi");
        assert_eq!(with_capacity(&claim, &size, true), expected);
    }
}

//! Claims that the webhook did not give a volume: Bindery was away, the claim was queued, its namespace was exempt.
//!
//! Trigger: a claim of one of our classes without a volume, every change of a class or of the claim's namespace, a
//! volume that is gone, a server that answers again, and a change of what the webhook configuration exempts.
//! The decision and the effects are the webhook's. The volume's name comes from the claim's uid, so that every try, on
//! whichever replica, means the same volume; a volume that an earlier call made for the claim is finished first. When the
//! directory is there the volume names the claim, and the controller manager binds the two. A refusal becomes an Event,
//! and is looked at again when something that has a say changes.

mod error;
mod exempt;
mod provision;
mod reconcile;
mod triggers;

use std::future::ready;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::ObjectRef;
use tokio_util::sync::CancellationToken;

use self::triggers::{is_waiting, waiting_claims};
use super::leader::Leader;
use crate::cluster::cache::CachedVolume;

/// Provisions what waits, until `stop`; a claim that is being provisioned is brought to its end.
pub async fn run(leader: Arc<Leader>, stop: CancellationToken) {
    if stop
        .run_until_cancelled(exempt::wait_until_known(&leader.ctx))
        .await
        .is_none()
    {
        return;
    }
    let cluster = leader.ctx.cluster.clone();
    let [of_class, in_namespace, without_volume] = [(); 3].map(|()| cluster.claims.store().clone());
    let volumes = cluster.volumes.store().clone();
    let waiting = cluster.claims.events().filter(|claim| ready(is_waiting(claim)));
    Controller::for_shared_stream(waiting, cluster.claims.store().clone())
        .watches_shared_stream(cluster.classes.events(), move |class: Arc<StorageClass>| {
            let name = class.name_any();
            waiting_claims(&of_class, |claim| claim.class.as_deref() == Some(&*name))
        })
        .watches_shared_stream(
            cluster.namespaces.events(),
            move |namespace: Arc<PartialObjectMeta<Namespace>>| {
                let name = namespace.name_any();
                waiting_claims(&in_namespace, |claim| claim.namespace().as_ref() == Some(&name))
            },
        )
        .watches_shared_stream(cluster.volumes.events(), move |volume: Arc<CachedVolume>| {
            // A volume that is gone may leave its directory to a claim that was refused it.
            if volumes.get(&ObjectRef::from(&*volume)).is_some() {
                return Vec::new();
            }
            let name = volume.name_any();
            waiting_claims(&without_volume, |claim| {
                claim.volume_name.as_deref().is_none_or(|named| *named == *name)
            })
        })
        .reconcile_on(triggers::after_outage(&leader))
        .reconcile_on(exempt::after_change(&leader.ctx))
        // The server queues limit what runs at once.
        .with_config(controller::Config::default().concurrency(0))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile::reconcile, error::error_policy, leader)
        .for_each(async |_| ())
        .await;
}

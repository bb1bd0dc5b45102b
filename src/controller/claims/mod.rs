//! Provisions claims that exist without a volume: Bindery was not running when they were created, the webhook queued
//! them, or their namespace was exempt.
//!
//! Triggers: a claim without a volume, of a class of this provisioner; a change of its class, of its namespace, or of
//! the selectors in the webhook configuration; a deleted volume; a server that answers again. The decision and the
//! effects are the same as in the webhook. The name of the volume is derived from the claim's uid, so every attempt, on
//! every replica, uses the same name. If an earlier request created a volume for the claim, that volume is completed.
//! When the directory exists, the volume gets the claim's uid, and kube-controller-manager binds the two. A refusal
//! becomes an Event. It is checked again at each trigger, and every 5 minutes.

mod error_policy;
mod exempt;
mod provision;
mod reconcile;
mod triggers;
pub mod waiting;

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

/// Provisions claims until `stop`, then waits for the attempts in progress.
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
            waiting_claims(&of_class, |claim| claim.read().class.as_ref() == Some(&name))
        })
        .watches_shared_stream(
            cluster.namespaces.events(),
            move |namespace: Arc<PartialObjectMeta<Namespace>>| {
                let name = namespace.name_any();
                waiting_claims(&in_namespace, |claim| claim.read().namespace == name)
            },
        )
        .watches_shared_stream(cluster.volumes.events(), move |volume: Arc<CachedVolume>| {
            if volumes.get(&ObjectRef::from(&*volume)).is_some() {
                return Vec::new();
            }
            triggers::after_volume(&volume, &without_volume)
        })
        .reconcile_on(triggers::after_outage(&leader))
        .reconcile_on(exempt::after_change(&leader.ctx))
        // The server queues limit the number of reconciles.
        .with_config(controller::Config::default().concurrency(0))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile::reconcile, error_policy::error_policy, leader)
        .for_each(async |_| ())
        .await;
}

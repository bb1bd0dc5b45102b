//! Binds volumes to their claims, and cleans them up when the claims are gone.
//!
//! A change of a volume, or of its claim, triggers a reconcile ([`triggers`]). The reconcile reads the volume, decides
//! on one step ([`crate::policy::reconcile`]) and carries it out ([`reconcile`]). A volume has at most one reconcile in
//! progress. A step that fails is retried after a pause that doubles, or when the NFS server answers again
//! ([`error_policy`]). Each server has its own queue.

mod aliases;
pub mod archive_finalizer;
pub mod archive_home;
pub mod archive_object;
pub mod archive_owner;
mod bind;
mod class_mismatch;
mod cleanup;
mod complete_claim;
mod destination;
mod driver_takeover;
pub mod empty_trash;
mod error_policy;
pub mod file_system;
mod find;
pub mod identities;
mod legacy;
mod live;
pub mod lost_directories;
mod move_aside;
mod other_installation;
mod overlap;
pub mod put_back;
mod reconcile;
pub mod restore;
pub mod step;
pub mod trash_archive;
pub mod trash_roots;
mod triggers;

use std::future::ready;
use std::sync::Arc;

use futures::StreamExt;
use kube::runtime::controller::{self, Controller};
use tokio_util::sync::CancellationToken;

use super::leader::Leader;
use crate::cluster::cache::{CachedClaim, CachedVolume};

/// Reconciles volumes until `stop`, then waits for the steps in progress.
pub async fn run(leader: Arc<Leader>, stop: CancellationToken) {
    let cluster = leader.ctx.cluster.clone();
    let (of_volumes, of_claims, of_waiters) = (Arc::clone(&leader), Arc::clone(&leader), Arc::clone(&leader));
    let due = cluster
        .volumes
        .events()
        .filter(move |volume| ready(triggers::is_due(&of_volumes, volume)));
    let back = triggers::after_outage(&leader);
    Controller::for_shared_stream(due, cluster.volumes.store().clone())
        .watches_shared_stream(cluster.claims.events(), move |claim: Arc<CachedClaim>| {
            let store = of_claims.ctx.cluster.volumes.store();
            let mut concerned = triggers::volumes_of(&claim, store);
            concerned.retain(|volume| {
                store
                    .get(volume)
                    .is_some_and(|volume| triggers::is_due(&of_claims, &volume))
            });
            concerned
        })
        .watches_shared_stream(cluster.volumes.events(), move |other: Arc<CachedVolume>| {
            of_waiters.waiters.take(&other)
        })
        .reconcile_on(back)
        // The server queues limit the number of reconciles.
        .with_config(controller::Config::default().concurrency(0))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            reconcile::reconcile,
            |volume: Arc<CachedVolume>, error, leader: Arc<Leader>| {
                error_policy::error_policy(&leader, volume.read(), error)
            },
            leader,
        )
        // The error policy has reported errors.
        .for_each(async |_| ())
        .await;
}

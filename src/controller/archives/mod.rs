//! The objects of archives: [`reconcile`] acts on their changes, and [`follow`] compares them with the shares. The cleanup
//! of volumes creates them ([`super::volumes::archive_object`]).
//!
//! A change of an object triggers a reconcile. An object has at most one reconcile in progress. The definition of archives
//! need not be installed. It is watched, so that archives get objects as soon as it is installed.

mod definition;
mod error_policy;
mod expiry;
mod find;
pub mod follow;
pub mod kept;
mod reconcile;
mod remove;
pub mod restoration;
mod status;

use std::future::ready;
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use kube::Api;
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::ObjectRef;
use tokio_util::sync::CancellationToken;

use self::definition::Definition;
use super::leader::Leader;
use crate::cluster::Watch;
use crate::cluster::cache::CachedArchive;

/// Reconciles the objects of archives until `stop`, while their definition is installed.
pub async fn run(leader: Arc<Leader>, stop: CancellationToken) {
    let (definition, run_definition) = Definition::watch(&leader);
    let reconciles = async {
        while stop.run_until_cancelled(definition.until_installed()).await.is_some() {
            let served = stop.child_token();
            let until_gone = async {
                if served.run_until_cancelled(definition.until_gone()).await.is_some() {
                    served.cancel();
                }
            };
            tokio::join!(until_gone, reconcile_all(&leader, &served));
        }
    };
    tokio::join!(stop.run_until_cancelled(run_definition), reconciles);
}

/// Reconciles objects until the definition is gone or the term ends. Then waits for the steps in progress.
async fn reconcile_all(leader: &Arc<Leader>, served: &CancellationToken) {
    let objects: Api<CachedArchive> = Api::all(leader.ctx.cluster.client.clone());
    let (watch, run_watch) = Watch::new("Archives", objects, |_| true);
    let reconciles = async {
        if served.run_until_cancelled(watch.ready()).await.is_some() {
            leader.archives.set(Some(watch.clone()));
            control(leader, &watch, served.clone()).await;
            leader.archives.set(None);
            leader.ctx.metrics.archives(std::iter::empty());
        }
    };
    tokio::join!(served.run_until_cancelled(run_watch), reconciles);
}

async fn control(leader: &Arc<Leader>, watch: &Watch<CachedArchive>, served: CancellationToken) {
    let of_objects = Arc::clone(leader);
    let due = watch
        .events()
        .filter(move |object| ready(reconcile::is_due(&of_objects.ctx, object)));
    let of_volumes = Arc::clone(leader);
    Controller::for_shared_stream(due, watch.store().clone())
        .watches_shared_stream(leader.ctx.cluster.volumes.events(), move |volume| {
            restoration::after_volume(&of_volumes, &volume)
        })
        .reconcile_on(after_outage(leader))
        // The server queues limit the number of reconciles.
        .with_config(controller::Config::default().concurrency(0))
        .graceful_shutdown_on(served.cancelled_owned())
        .run(reconcile::reconcile, error_policy::error_policy, Arc::clone(leader))
        .for_each(async |_| ())
        .await;
}

/// Returns a stream of the failed objects of a server, each time that the server answers again.
fn after_outage(leader: &Arc<Leader>) -> impl Stream<Item = ObjectRef<CachedArchive>> + Send + use<> {
    let leader = Arc::clone(leader);
    leader.ctx.outages.recoveries().flat_map(move |back| {
        let mut objects = leader.archives.all().unwrap_or_default();
        objects.retain(|object| {
            let record = object.record.as_ref();
            leader.backoff.has_failed(&reconcile::key(object))
                && record.is_ok_and(|record| back.may_concern(record.share.server()))
        });
        stream::iter(objects.into_iter().map(|object| ObjectRef::from(&*object)))
    })
}

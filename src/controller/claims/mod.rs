//! Claims that the webhook did not give a volume: Bindery was away, the claim was queued, its namespace was exempt.
//!
//! Trigger: a claim of one of our classes without a volume, every change of a class or of the claim's namespace, a
//! volume that is gone, a server that answers again, and a change of what the webhook configuration exempts.
//! The decision and the effects are the webhook's. The volume's name comes from the claim's uid, so that every try, on
//! whichever replica, means the same volume; a volume that an earlier call made for the claim is finished first. When the
//! directory is there the volume names the claim, and the controller manager binds the two. A refusal becomes an Event,
//! and is looked at again when something that has a say changes.

mod exempt;
mod provide;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::error::{self, Pauses, fault};
use super::server_queue::Gates;
use super::waiting;
use crate::breaker::Outages;
use crate::cluster::api_error::ApiFault;
use crate::cluster::cache::{CachedClaim, CachedVolume};
use crate::cluster::lease::Term;
use crate::model::choices::OnStorageFailure;
use crate::model::claim::Claim;
use crate::model::names::reason;
use crate::ops::events::Events;
use crate::policy::class::{Class, Defaults};
use crate::policy::selectors::Selectors;
use crate::provision::{self, Provisioner};

/// While a claim waits for something that will be over in a moment.
const MOMENT: Duration = Duration::from_secs(5);

/// A claim that was refused is looked at again now and then: not everything that may be mended tells of itself.
const REFUSED_PAUSE: Duration = Duration::from_mins(5);

/// What the loop works with.
pub struct CatchUp {
    /// The effects, and the cluster.
    pub provisioner: Provisioner,
    /// For classes that name no server or share.
    pub defaults: Defaults,
    /// What people read.
    pub events: Events,
    /// Which NFS servers are down.
    pub outages: Outages,
    /// Which claims the webhook configuration exempts; nothing until it has been looked at.
    pub selectors: watch::Receiver<Option<Selectors>>,
    /// Who goes first.
    pub gates: Gates,
    /// How long each failing claim waits.
    pub pauses: Pauses,
    /// Whether this replica may still act.
    pub term: Term,
}

/// Why a claim has no volume yet.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It could not be provisioned.
    #[error(transparent)]
    Provision(#[from] provision::Failure),
    /// The API server did not tell what has a say.
    #[error("a request of Bindery's to the API server failed: {}", ApiFault::from(.0))]
    Api(#[from] kube::Error),
    /// The process is stopping, or another replica leads by now.
    #[error("Bindery is stopping here")]
    Stopping,
}

/// Provisions what waits, until `stop`; a claim that is being provisioned is brought to its end.
pub async fn run(catch_up: Arc<CatchUp>, stop: CancellationToken) {
    if stop.run_until_cancelled(exempt::known(&catch_up)).await.is_none() {
        return;
    }
    let cluster = catch_up.provisioner.cluster.clone();
    let of_class = cluster.claims.store().clone();
    let in_namespace = cluster.claims.store().clone();
    let claims = cluster.claims.store().clone();
    let after_volumes = cluster.claims.store().clone();
    let volumes = cluster.volumes.store().clone();
    let waiting = cluster.claims.events().filter(|claim| ready(is_waiting(claim)));
    Controller::for_shared_stream(waiting, claims)
        .watches_shared_stream(cluster.classes.events(), move |class: Arc<StorageClass>| {
            let name = class.name_any();
            let theirs =
                of_class.state_filter(move |claim| is_waiting(claim) && claim.class.as_deref() == Some(&*name));
            theirs.into_iter().map(|claim| ObjectRef::from(&*claim))
        })
        .watches_shared_stream(
            cluster.namespaces.events(),
            move |namespace: Arc<PartialObjectMeta<Namespace>>| {
                let name = namespace.name_any();
                let theirs = in_namespace
                    .state_filter(move |claim| is_waiting(claim) && claim.namespace().as_ref() == Some(&name));
                theirs.into_iter().map(|claim| ObjectRef::from(&*claim))
            },
        )
        .watches_shared_stream(cluster.volumes.events(), move |volume: Arc<CachedVolume>| {
            // One that is gone may leave its directory to a claim that was refused it.
            let gone = volumes.get(&ObjectRef::from(&*volume)).is_none();
            let name = volume.name_any();
            let theirs = if gone {
                after_volumes.state_filter(|claim| is_waiting(claim) && names_no_other(claim, &name))
            } else {
                Vec::new()
            };
            theirs.into_iter().map(|claim| ObjectRef::from(&*claim))
        })
        .reconcile_on(waiting::claims(&catch_up))
        .reconcile_on(exempt::changed(&catch_up))
        // The gates limit what runs at once.
        .with_config(controller::Config::default().concurrency(0))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(turn, failed, catch_up)
        .for_each(async |_| ())
        .await;
}

/// Whether a claim may be one of those, as far as the watch knows.
pub(super) fn is_waiting(claim: &CachedClaim) -> bool {
    claim.is_pending() && claim.class.is_some()
}

/// Whether a claim names this volume, or none.
fn names_no_other(claim: &CachedClaim, volume: &str) -> bool {
    claim.volume_name.as_deref().is_none_or(|named| named == volume)
}

async fn turn(stored: Arc<CachedClaim>, catch_up: Arc<CatchUp>) -> Result<Action, Failure> {
    if !is_waiting(&stored) {
        return Ok(Action::await_change());
    }
    let (namespace, name) = (stored.namespace().unwrap_or_default(), stored.name_any());
    let span = tracing::info_span!("catch-up", claim = format!("{namespace}/{name}"));
    let stored = stored.outline();
    let next = Box::pin(catch_up.look_at(&stored, &name).instrument(span)).await?;
    catch_up.pauses.end(&key(&stored.namespace, &name));
    Ok(next)
}

fn failed(claim: Arc<CachedClaim>, failure: &Failure, catch_up: Arc<CatchUp>) -> Action {
    let name = claim.name_any();
    let claim = claim.outline();
    let (_, pause) = catch_up.pauses.next(&key(&claim.namespace, &name));
    // Counted before it is looked at: whoever is told that a server is down hears when it is back.
    let server = claim.class.as_ref().and_then(|class| catch_up.server_of(class));
    let pause = match server {
        Some(server) if catch_up.outages.has(&server) => error::LONGEST_PAUSE,
        _ => match failure {
            Failure::Provision(provision::Failure::Storage(error)) if !error.transient() => pause,
            Failure::Provision(failure @ provision::Failure::Api(..)) if !failure.passes(OnStorageFailure::Queue) => {
                REFUSED_PAUSE
            }
            _ => pause.min(MOMENT),
        },
    };
    let cause = match failure {
        Failure::Provision(provision::Failure::Storage(error)) => fault(error.fault),
        Failure::Provision(provision::Failure::Leaving(_)) => "Leaving",
        Failure::Provision(_) | Failure::Api(_) => "Api",
        // Should the term go on after all, nothing is forgotten.
        Failure::Stopping => return Action::requeue(pause),
    };
    let note = format!("{}. It is tried again", failure.to_string().trim_end_matches('.'));
    catch_up
        .events
        .warn_claim(&claim, reason::PROVISIONING_FAILED, cause, note);
    Action::requeue(pause)
}

pub(super) fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

impl CatchUp {
    /// The server that a class names, as far as the watch knows.
    pub(super) fn server_of(&self, class: &str) -> Option<String> {
        let class = self.provisioner.cluster.classes.get(&ObjectRef::new(class))?;
        let class = Class::read(&class, &self.defaults).ok()?;
        Some(class.share.server().to_owned())
    }

    async fn look_at(&self, stored: &Claim, name: &str) -> Result<Action, Failure> {
        let cluster = &self.provisioner.cluster;
        let done = Ok(Action::await_change());
        // Every claim that the webhook has served looks so for a moment.
        if let Some(volume) = &stored.volume_name
            && let Some(volume) = cluster.volumes.get(&ObjectRef::new(volume))
        {
            let volume = volume.read();
            if !volume.awaits(&stored.namespace, name) {
                return done;
            }
            // The binder gives it. Should it have been fenced meanwhile, the watch tells so in a moment.
            if !volume.is_fenced() && volume.maker.as_ref() == Some(&*self.provisioner.us) {
                return Ok(Action::requeue(MOMENT));
            }
        }
        // Another webhook, or nobody, is asked about it.
        if self.is_exempt(stored).await? {
            return done;
        }
        let Some(class_name) = &stored.class else { return done };
        let mut entered = None;
        let (class, _pass) = loop {
            let Some(class) = cluster.class(class_name).await? else {
                return done;
            };
            if class.provisioner != self.provisioner.us.provisioner || stored.waits_for_its_pod(&class) {
                return done;
            }
            // A class with mistakes has no share; its claims are refused soon enough. One that was made anew while they
            // waited may have another.
            let share = Class::read(&class, &self.defaults).map_or(String::new(), |class| class.share.to_string());
            if let Some((before, pass)) = entered.take()
                && before == share
            {
                break (class, pass);
            }
            let turn = self.gates.enter(&share, stored.created);
            let Some(pass) = self.term.stop.run_until_cancelled(turn).await else {
                return Err(Failure::Stopping);
            };
            entered = Some((share, pass));
        };
        if !self.term.holds() {
            return Err(Failure::Stopping);
        }
        let Some(claim) = cluster.claim(&stored.namespace, name).await? else {
            return done;
        };
        if claim.uid != stored.uid || claim.deleting {
            return done;
        }
        match &claim.volume_name {
            None => Box::pin(self.provide(&claim, name, &class)).await,
            Some(volume) => Box::pin(self.replace(&claim, name, &class, volume)).await,
        }
    }
}

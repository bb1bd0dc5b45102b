//! Answers admission reviews: reads what the decision needs, decides, and carries out the decision.
//!
//! A review runs to its end even if the API server closes the connection, so that its effects are completed or undone.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;
use uuid::Uuid;

use super::review::{Answer, Request};
use crate::cluster::api_error::ApiFault;
use crate::model::choices::Provision;
use crate::model::claim::{Claim, Name};
use crate::model::names::annotation::STORAGE_PROVISIONER;
use crate::model::volume::NewVolume;
use crate::policy::class::Defaults;
use crate::policy::decide::{Decision, Facts, Pass, Verdict, decide};
use crate::provision::{Deadlines, Error, Provisioner};

/// Answers admission reviews.
pub struct Handler {
    provisioner: Provisioner,
    defaults: Defaults,
    deadline: Duration,
}

impl Handler {
    /// Creates a handler. `defaults` has the server and the share for classes that name none. `deadline` is the longest
    /// time for one review.
    pub fn new(provisioner: Provisioner, defaults: Defaults, deadline: Duration) -> Self {
        Self {
            provisioner,
            defaults,
            deadline,
        }
    }

    /// Answers a review, at the latest when the deadline is over. The work runs to its end even if nobody waits for the
    /// answer; `permit` is held until then.
    pub async fn answer(self: Arc<Self>, request: Request, permit: impl Send + 'static) -> Value {
        let began = std::time::Instant::now();
        let uid = request.uid.clone();
        let span = tracing::info_span!("review", request = uid, claim = tracing::field::Empty);
        let handler = Arc::clone(&self);
        let work = async move {
            let _permit = permit;
            let uid = request.uid.clone();
            let mut warnings = Vec::new();
            let (answer, outcome) = Box::pin(handler.review(request, &mut warnings)).await;
            handler.provisioner.metrics.review(outcome, began);
            answer.review(&uid, &warnings)
        };
        let task = self.provisioner.tasks.spawn(work.instrument(span));
        task.await.unwrap_or_else(|error| {
            tracing::error!(
                request = uid,
                "a review ended in a panic, which is a bug in Bindery: please report it; the claim is admitted unchanged"
            );
            tracing::debug!(%error, "the panic");
            self.provisioner.metrics.review("panic", began);
            Answer::Allow.review(&uid, &[])
        })
    }

    async fn review(&self, request: Request, warnings: &mut Vec<String>) -> (Answer, &'static str) {
        if !request.creates_a_claim() {
            return (Answer::Allow, "pass");
        }
        let typed = match PersistentVolumeClaim::deserialize(&request.object) {
            Ok(claim) => claim,
            Err(error) => {
                tracing::warn!("a claim does not have the form that Kubernetes defines; it is admitted unchanged");
                tracing::debug!(%error, "why the claim could not be parsed");
                return (Answer::Allow, "pass");
            }
        };
        let claim = Claim::read(&typed, &request.namespace);
        let (Name::Given(name) | Name::Generate(name)) = &claim.name;
        tracing::Span::current().record("claim", format!("{}/{name}", claim.namespace));

        let deadlines = Deadlines::from_now(self.deadline);
        let class = match self.in_time(&deadlines, self.class_of(&claim)).await {
            Ok(class) => class,
            Err(fault) => {
                // The claim may be for another provisioner, so it must not be refused.
                if let Err(error) = self.fence_earlier(&claim, deadlines.end).await {
                    tracing::warn!("{error}");
                }
                return unknown(&claim, &fault, warnings);
            }
        };
        let verdict = match self.in_time(&deadlines, self.decide(&claim, class.as_ref())).await {
            Ok(verdict) => verdict,
            Err(fault) => {
                let undecided = self.undecided(&request, &claim, class.as_ref(), &fault, warnings, deadlines.end);
                return undecided.await;
            }
        };
        *warnings = verdict.warnings;
        if request.dry_run {
            return match verdict.decision {
                Decision::Deny(message) => deny(message),
                _ => (Answer::Allow, "dry-run"),
            };
        }
        if let Some(unused) = &verdict.unused
            && let Err(error) = self.provisioner.discard(unused, deadlines.end).await
        {
            return deny(format!(
                "the claim was changed after PersistentVolume {} was made for it, and must not be bound to that volume: {error}. \
                 Create the claim again in a minute",
                unused.name
            ));
        }
        let withdraw = verdict.unused.is_some();
        self.carry_out(&request, &claim, verdict.decision, withdraw, warnings, deadlines)
            .await
    }

    /// Limits the time of a request to the API server that the decision needs.
    async fn in_time<T>(
        &self,
        deadlines: &Deadlines,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApiFault> {
        match timeout_at(deadlines.work, call).await {
            Ok(answer) => answer.map_err(|error| {
                tracing::debug!(%error, "a request to the API server failed, so the review cannot be decided");
                error.into()
            }),
            Err(_) => Err(ApiFault::timeout()),
        }
    }

    /// Answers when the claim's volume or namespace could not be read.
    ///
    /// If the claim names a volume of an earlier review of the same request, it is refused: the claim may have been
    /// changed since, and the volume may have the wrong settings for it.
    async fn undecided(
        &self,
        request: &Request,
        claim: &Claim,
        class: Option<&StorageClass>,
        fault: &ApiFault,
        warnings: &mut Vec<String>,
        end: Instant,
    ) -> (Answer, &'static str) {
        let named = claim.volume_name.as_deref();
        let was_ours = claim.annotations.get(STORAGE_PROVISIONER) == Some(&self.provisioner.installation.provisioner);
        if let Some(volume) = named.filter(|_| was_ours) {
            return deny(format!(
                "Bindery could not read PersistentVolume {volume}, which the claim names, or the namespace of the claim: {fault}; \
                 create the claim again"
            ));
        }
        if !self.is_ours(class) {
            let volume = named.unwrap_or_default();
            tracing::warn!(
                "a claim of another provisioner is admitted unchanged; its volume {volume} could not be read: {fault}"
            );
            return (Answer::Allow, "unknown");
        }
        let why = format!("Bindery could not read namespace {}: {fault}", claim.namespace);
        match named {
            Some(volume) => {
                warnings.push(format!(
                    "Bindery could not read PersistentVolume {volume}, which the claim names: {fault}; the claim is admitted \
                     unchanged"
                ));
                (Answer::Allow, "unknown")
            }
            None if fault.is_transient() => match self.fence_earlier(claim, end).await {
                Ok(()) => queue(request, &why, warnings),
                Err(error) => refuse_for_earlier_volume(&error),
            },
            None => deny(why),
        }
    }

    /// Fences volumes that earlier requests made for a claim of this name. A claim without a name yet (`generateName`)
    /// has none.
    async fn fence_earlier(&self, claim: &Claim, end: Instant) -> Result<(), Error> {
        match &claim.name {
            Name::Given(name) => {
                let fence = self.provisioner.fence_earlier(&claim.namespace, name, None, end);
                Box::pin(fence).await
            }
            Name::Generate(_) => Ok(()),
        }
    }

    async fn class_of(&self, claim: &Claim) -> kube::Result<Option<StorageClass>> {
        match &claim.class {
            Some(name) => self.provisioner.cluster.class(name).await,
            None => Ok(None),
        }
    }

    fn is_ours(&self, class: Option<&StorageClass>) -> bool {
        class.is_some_and(|class| class.provisioner == self.provisioner.installation.provisioner)
    }

    async fn decide(&self, claim: &Claim, class: Option<&StorageClass>) -> kube::Result<Verdict> {
        let cluster = &self.provisioner.cluster;
        let ours = self.is_ours(class);
        // A claim of another provisioner may name a volume that Bindery made for an earlier review of the same request.
        // Those volumes have names of this form; others are not read.
        let volume = match &claim.volume_name {
            Some(name) if ours || name.starts_with("pvc-") => cluster.volume(name).await?,
            _ => None,
        };
        if !ours && volume.is_none() {
            return Ok(Verdict {
                decision: Decision::Pass(Pass::OtherClass),
                unused: None,
                warnings: Vec::new(),
            });
        }
        let namespace = cluster.namespace(&claim.namespace).await?;
        Ok(decide(&Facts {
            claim,
            class,
            namespace: &namespace,
            volume: volume.as_ref(),
            offers: &cluster.offers(claim, &self.provisioner.installation),
            classes: &cluster.classes.store().state(),
            defaults: &self.defaults,
            installation: &self.provisioner.installation,
            fresh: Uuid::new_v4(),
        }))
    }

    async fn carry_out(
        &self,
        request: &Request,
        claim: &Claim,
        decision: Decision,
        withdraw: bool,
        warnings: &mut Vec<String>,
        deadlines: Deadlines,
    ) -> (Answer, &'static str) {
        match decision {
            Decision::Pass(reason) => {
                tracing::debug!(?reason, "passed");
                // Kubernetes must not bind the claim to a volume that an earlier request made for another content of it.
                if reason.is_left_to_kubernetes()
                    && let Err(error) = self.fence_earlier(claim, deadlines.end).await
                {
                    return refuse_for_earlier_volume(&error);
                }
                let answer = if withdraw {
                    Answer::without_volume(&request.object)
                } else {
                    Answer::Allow
                };
                (answer, "pass")
            }
            Decision::Deny(message) => deny(message),
            Decision::Provision(new) => match new.provision {
                Provision::OnCreate => self.provision(request, &new, warnings, deadlines).await,
                Provision::AfterCreate => self.preview(request, &new, warnings, deadlines).await,
            },
        }
    }

    async fn provision(
        &self,
        request: &Request,
        new: &NewVolume,
        warnings: &mut Vec<String>,
        deadlines: Deadlines,
    ) -> (Answer, &'static str) {
        match self.provisioner.provision(new, deadlines).await {
            Ok(more) => {
                warnings.extend(more);
                tracing::info!(volume = new.name, share = %new.share, directory = %new.directory, "provisioned");
                let provisioner = &self.provisioner.installation.provisioner;
                let answer = Answer::with_volume(&request.object, &new.claim.1, &new.name, provisioner);
                (answer, "provision")
            }
            Err(error) => self.failed(request, new, warnings, error, deadlines.end).await,
        }
    }

    /// Refuses the claim if its volume could not be made now. The controller makes the volume once the claim exists.
    async fn preview(
        &self,
        request: &Request,
        new: &NewVolume,
        warnings: &mut Vec<String>,
        deadlines: Deadlines,
    ) -> (Answer, &'static str) {
        match self.provisioner.preview(new, deadlines.work).await {
            Ok(()) => match self.fence_others(new, deadlines.end).await {
                Ok(()) => (Answer::without_volume(&request.object), "later"),
                Err(error) => refuse_for_earlier_volume(&error),
            },
            Err(error) => self.failed(request, new, warnings, error, deadlines.end).await,
        }
    }

    /// Answers when the volume could not be made.
    async fn failed(
        &self,
        request: &Request,
        new: &NewVolume,
        warnings: &mut Vec<String>,
        error: Error,
        end: Instant,
    ) -> (Answer, &'static str) {
        match error {
            Error::ClaimExists => (Answer::Allow, "pass"),
            error if error.passes(new.on_failure) => match self.fence_others(new, end).await {
                Ok(()) => queue(request, &error.to_string(), warnings),
                Err(error) => refuse_for_earlier_volume(&error),
            },
            error => deny(error.to_string()),
        }
    }

    /// Fences volumes that earlier requests made for this claim. The volume of this request has been undone already.
    async fn fence_others(&self, new: &NewVolume, end: Instant) -> Result<(), Error> {
        let (namespace, name) = &new.claim;
        let fence = self
            .provisioner
            .fence_earlier(namespace, name, Some(new.attempt.as_str()), end);
        Box::pin(fence).await
    }
}

/// Refuses a claim that could be bound to a volume that an earlier request made for another content of the claim.
fn refuse_for_earlier_volume(error: &Error) -> (Answer, &'static str) {
    deny(format!(
        "an earlier request for a claim of this name left a PersistentVolume, and the claim must not be bound to it: {error}. \
         Create the claim again in a minute"
    ))
}

fn deny(message: String) -> (Answer, &'static str) {
    tracing::info!("denied: {message}");
    (Answer::Deny(message), "deny")
}

/// Admits the claim without a volume. The controller provisions it later.
fn queue(request: &Request, why: &str, warnings: &mut Vec<String>) -> (Answer, &'static str) {
    tracing::info!("queued: {why}");
    warnings.push(format!(
        "the volume is not provisioned yet; Bindery retries until it is: {why}"
    ));
    (Answer::without_volume(&request.object), "queue")
}

/// Admits the claim because its class could not be read. The class may be of another provisioner, so the claim must not
/// be refused. This is rare: only a class that was just created is missing in the cache.
fn unknown(claim: &Claim, fault: &ApiFault, warnings: &mut Vec<String>) -> (Answer, &'static str) {
    let class = claim.class.as_deref().unwrap_or_default();
    tracing::warn!("StorageClass {class} could not be read, so the claim is admitted unchanged: {fault}");
    warnings.push(format!(
        "Bindery could not read StorageClass {class}: {fault}; the claim is admitted unchanged. If Bindery serves this class, it \
         provisions the volume later"
    ));
    (Answer::Allow, "unknown")
}

//! From an admission review to its answer: look things up, decide, carry out.
//!
//! A review runs to its end even when the API server hangs up: what it began is finished or undone, not dropped.

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

/// Answers reviews.
pub struct Handler {
    provisioner: Provisioner,
    defaults: Defaults,
    deadline: Duration,
}

impl Handler {
    /// By these effects, with server and share for classes that name none, and so much time for one review.
    pub fn new(provisioner: Provisioner, defaults: Defaults, deadline: Duration) -> Self {
        Self {
            provisioner,
            defaults,
            deadline,
        }
    }

    /// Answers a review, at the latest when the deadline is over. The work runs to its end even if nobody waits for the answer;
    /// `permit` is held until then.
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
                "a review ended in a panic; the claim is admitted as it is"
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
                tracing::warn!("a claim that is not built as Kubernetes defines it is admitted as it is");
                tracing::debug!(%error, "what is wrong with it");
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
                // It must not refuse a claim that may be another program's.
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
                "this claim was changed after PersistentVolume {} was made for it, and it must not be bound to that: \
                 {error}. Wait a moment and create the claim again",
                unused.name
            ));
        }
        let withdraw = verdict.unused.is_some();
        self.carry_out(&request, verdict.decision, withdraw, warnings, deadlines)
            .await
    }

    /// A request to the API server that a review begins with.
    async fn in_time<T>(
        &self,
        deadlines: &Deadlines,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApiFault> {
        match timeout_at(deadlines.work, call).await {
            Ok(answer) => answer.map_err(|error| {
                tracing::debug!(%error, "a review cannot be decided");
                error.into()
            }),
            Err(_) => Err(ApiFault::timeout()),
        }
    }

    /// The answer when the claim's volume or its namespace could not be read.
    ///
    /// A claim that names a volume of an earlier call about this same claim is refused: that volume may have been made for
    /// another state of the claim, and would be bound to it with the wrong policy.
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
                "Bindery could not read PersistentVolume {volume}, which this claim names, or the claim's namespace: {fault}; \
                 try again"
            ));
        }
        if !self.is_ours(class) {
            let volume = named.unwrap_or_default();
            tracing::warn!(
                "a claim of another class is admitted as it is; its volume {volume} could not be read: {fault}"
            );
            return (Answer::Allow, "unknown");
        }
        let why = format!(
            "Bindery could not read the claim's namespace {}: {fault}",
            claim.namespace
        );
        match named {
            Some(volume) => {
                warnings.push(format!(
                    "Bindery could not read PersistentVolume {volume}, which this claim names: {fault}; the claim is \
                     admitted as it is"
                ));
                (Answer::Allow, "unknown")
            }
            None if fault.is_transient() => match self.fence_earlier(claim, end).await {
                Ok(()) => queue(request, &why, warnings),
                Err(error) => bound_wrongly(&error),
            },
            None => deny(why),
        }
    }

    /// A claim whose name the API server is still to make up has no earlier volume.
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
        // Another class's claim that names a volume: one of ours only if we made it for an earlier call, and those have
        // names of this form. A static volume costs no look.
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
            defaults: &self.defaults,
            installation: &self.provisioner.installation,
            fresh: Uuid::new_v4(),
        }))
    }

    async fn carry_out(
        &self,
        request: &Request,
        decision: Decision,
        withdraw: bool,
        warnings: &mut Vec<String>,
        deadlines: Deadlines,
    ) -> (Answer, &'static str) {
        match decision {
            Decision::Pass(reason) => {
                tracing::debug!(?reason, "passed");
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

    /// Refuses what would be refused if the volume were made now. Catch-up makes it when the claim is there.
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
                Err(error) => bound_wrongly(&error),
            },
            Err(error) => self.failed(request, new, warnings, error, deadlines.end).await,
        }
    }

    /// The answer to a claim that cannot have its volume now.
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
                Err(error) => bound_wrongly(&error),
            },
            error => deny(error.to_string()),
        }
    }

    /// This call has undone its own volume, as far as it had one and there was time.
    async fn fence_others(&self, new: &NewVolume, end: Instant) -> Result<(), Error> {
        let (namespace, name) = &new.claim;
        let fence = self
            .provisioner
            .fence_earlier(namespace, name, Some(new.attempt.as_str()), end);
        Box::pin(fence).await
    }
}

/// A claim that is admitted now may be bound to what an earlier call made for another state of it.
fn bound_wrongly(error: &Error) -> (Answer, &'static str) {
    deny(format!(
        "an earlier request for a claim of this name has left a PersistentVolume, and this claim must not be bound to that: \
         {error}. Wait a moment and create the claim again"
    ))
}

fn deny(message: String) -> (Answer, &'static str) {
    tracing::info!("denied: {message}");
    (Answer::Deny(message), "deny")
}

/// The claim is admitted without a volume, and gets one later.
fn queue(request: &Request, why: &str, warnings: &mut Vec<String>) -> (Answer, &'static str) {
    tracing::info!("queued: {why}");
    warnings.push(format!(
        "this claim waits, and gets its volume as soon as it can: {why}"
    ));
    (Answer::without_volume(&request.object), "queue")
}

/// It is not known whether the claim's class is one of Bindery's, and other programs' claims must not be refused for that.
/// The watch has every class but those of the last moment, so this is rare, and a warning to the wrong claim does no harm.
fn unknown(claim: &Claim, fault: &ApiFault, warnings: &mut Vec<String>) -> (Answer, &'static str) {
    let class = claim.class.as_deref().unwrap_or_default();
    tracing::warn!("the claim is admitted as it is, for its StorageClass {class} could not be read: {fault}");
    warnings.push(format!(
        "Bindery could not read StorageClass {class}: {fault}; if Bindery serves that class, the volume is made as soon as it \
         can be read"
    ));
    (Answer::Allow, "unknown")
}

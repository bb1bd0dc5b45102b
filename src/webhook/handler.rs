//! From an admission review to its answer: look things up, decide, carry out.
//!
//! A review runs to its end even when the API server hangs up: what it began is finished or undone, not dropped.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;
use uuid::Uuid;

use super::review::{Answer, Request};
use super::together::{Done, Together};
use crate::policy::claim::{Claim, Name};
use crate::policy::class::Defaults;
use crate::policy::decide::{Decision, Facts, Pass, Verdict, decide};
use crate::provision::{Failure, Provisioner};
use crate::volume::NewVolume;

/// Answers reviews.
pub struct Handler {
    provisioner: Provisioner,
    defaults: Defaults,
    deadline: Duration,
    together: Together,
}

impl Handler {
    /// By these effects, with server and share for classes that name none, and so much time for one review.
    pub fn new(provisioner: Provisioner, defaults: Defaults, deadline: Duration) -> Self {
        Self {
            provisioner,
            defaults,
            deadline,
            together: Together::default(),
        }
    }

    /// The answer to a review, at the latest when the deadline is over.
    pub async fn answer(self: Arc<Self>, request: Request) -> Value {
        let began = std::time::Instant::now();
        let uid = request.uid.clone();
        let handler = Arc::clone(&self);
        let running = self.together.review(request, |request| handler.begin(request));
        let Done {
            answer,
            outcome,
            warnings,
        } = running.await;
        self.provisioner.metrics.review(outcome, began);
        answer.review(&uid, &warnings)
    }

    /// Runs a review in a task of its own.
    fn begin(self: Arc<Self>, request: Request) -> BoxFuture<'static, Done> {
        let uid = request.uid.clone();
        let span = tracing::info_span!("review", request = uid, claim = tracing::field::Empty);
        let handler = Arc::clone(&self);
        let work = async move {
            let mut warnings = Vec::new();
            let (answer, outcome) = Box::pin(handler.review(request, &mut warnings)).await;
            Done {
                answer,
                outcome,
                warnings,
            }
        };
        let task = self.provisioner.tasks.spawn(work.instrument(span));
        let ended = task.map(move |ended| {
            ended.unwrap_or_else(|error| {
                tracing::error!(%error, request = uid, "a review ended in a panic; the claim is admitted as it is");
                Done::unknown()
            })
        });
        ended.boxed()
    }

    async fn review(&self, request: Request, warnings: &mut Vec<String>) -> (Answer, &'static str) {
        if !request.creates_a_claim() {
            return (Answer::Allow, "pass");
        }
        let typed = match PersistentVolumeClaim::deserialize(&request.object) {
            Ok(claim) => claim,
            Err(error) => {
                tracing::warn!(%error, "a claim that cannot be read is admitted as it is");
                return (Answer::Allow, "pass");
            }
        };
        let claim = Claim::read(&typed, &request.namespace);
        let (Name::Given(name) | Name::Generate(name)) = &claim.name;
        tracing::Span::current().record("claim", format!("{}/{name}", claim.namespace));

        let deadline = Instant::now() + self.deadline;
        let class = match timeout_at(deadline, self.class_of(&claim)).await {
            Ok(Ok(class)) => class,
            // It cannot be said whose claim it is, and nobody else's must suffer for that.
            Ok(Err(error)) => return unknown(&error),
            Err(_) => return unknown(&"the API server did not answer in time"),
        };
        let verdict = match timeout_at(deadline, self.decide(&claim, class.as_ref())).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) if !self.is_ours(class.as_ref()) => return unknown(&error),
            Ok(Err(error)) => {
                return deny(format!(
                    "Bindery could not ask the API server about the claim's namespace: {error}; try again"
                ));
            }
            Err(_) => return deny("the API server did not answer Bindery in time; try again".to_owned()),
        };
        *warnings = verdict.warnings;
        if request.dry_run {
            return match verdict.decision {
                Decision::Deny(message) => deny(message),
                _ => (Answer::Allow, "dry-run"),
            };
        }
        if let Some(unused) = &verdict.unused
            && let Err(failure) = self.provisioner.discard(unused, deadline).await
        {
            return deny(format!(
                "volume {}, made for this claim before it was changed: {failure}",
                unused.name
            ));
        }
        let withdraw = verdict.unused.is_some();
        self.carry_out(&request, verdict.decision, withdraw, warnings, deadline)
            .await
    }

    async fn class_of(&self, claim: &Claim) -> kube::Result<Option<StorageClass>> {
        match &claim.class {
            Some(name) => self.provisioner.cluster.class(name).await,
            None => Ok(None),
        }
    }

    fn is_ours(&self, class: Option<&StorageClass>) -> bool {
        class.is_some_and(|class| class.provisioner == self.provisioner.us.provisioner)
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
            us: &self.provisioner.us,
            fresh: Uuid::new_v4(),
        }))
    }

    async fn carry_out(
        &self,
        request: &Request,
        decision: Decision,
        withdraw: bool,
        warnings: &mut Vec<String>,
        deadline: Instant,
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
            Decision::Provision(new) => self.provision(request, &new, warnings, deadline).await,
        }
    }

    async fn provision(
        &self,
        request: &Request,
        new: &NewVolume,
        warnings: &mut Vec<String>,
        deadline: Instant,
    ) -> (Answer, &'static str) {
        match self.provisioner.provision(new, deadline).await {
            Ok(more) => {
                warnings.extend(more);
                tracing::info!(volume = new.name, share = %new.share, directory = %new.directory, "provisioned");
                let provisioner = &self.provisioner.us.provisioner;
                let answer = Answer::with_volume(&request.object, &new.claim.1, &new.name, provisioner);
                (answer, "provision")
            }
            Err(Failure::ClaimExists) => (Answer::Allow, "pass"),
            Err(failure) if failure.passes(new.on_failure) => {
                tracing::info!("queued: {failure}");
                warnings.push(format!(
                    "this claim waits, and gets its volume as soon as it can: {failure}"
                ));
                (Answer::without_volume(&request.object), "queue")
            }
            Err(failure) => deny(failure.to_string()),
        }
    }
}

fn deny(message: String) -> (Answer, &'static str) {
    tracing::info!("denied: {message}");
    (Answer::Deny(message), "deny")
}

fn unknown(error: &dyn std::fmt::Display) -> (Answer, &'static str) {
    tracing::warn!(%error, "whose claim it is could not be found out: it is admitted as it is");
    (Answer::Allow, "unknown")
}

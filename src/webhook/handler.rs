//! Answers admission reviews: finds the reviews of new claims, and lets [`super::claim_review`] decide them.
//!
//! If the API server closes the connection, the review is still completed, so that no effect is left half done.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde::Deserialize;
use serde_json::Value;
use tracing::Instrument;

use super::claim_review::{Reply, Review};
use super::review::{Answer, Request};
use crate::model::claim::{Claim, Name};
use crate::policy::class::Defaults;
use crate::provision::{Deadlines, Provisioner};

/// Answers admission reviews.
pub struct Handler {
    provisioner: Provisioner,
    defaults: Defaults,
    deadline: Duration,
}

impl Handler {
    /// Creates a handler. `defaults` has the server and the share of classes that do not set them. `deadline` is the
    /// maximum time for one review.
    pub fn new(provisioner: Provisioner, defaults: Defaults, deadline: Duration) -> Self {
        Self {
            provisioner,
            defaults,
            deadline,
        }
    }

    /// Returns the answer to a review, at the latest at its deadline. If the caller stops waiting, the work is still
    /// completed. `permit` is held until then.
    pub async fn answer(self: Arc<Self>, request: Request, permit: impl Send + 'static) -> Value {
        let began = std::time::Instant::now();
        let uid = request.uid.clone();
        let span = tracing::info_span!("review", request = uid, claim = tracing::field::Empty);
        let handler = Arc::clone(&self);
        let work = async move {
            let _permit = permit;
            let uid = request.uid.clone();
            let mut warnings = Vec::new();
            let (answer, outcome) = Box::pin(handler.review(&request, &mut warnings)).await;
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

    async fn review(&self, request: &Request, warnings: &mut Vec<String>) -> Reply {
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
        let mut review = Review {
            provisioner: &self.provisioner,
            defaults: &self.defaults,
            object: &request.object,
            dry_run: request.dry_run,
            user: &request.user_info,
            claim,
            deadlines: Deadlines::from_now(self.deadline),
            warnings,
        };
        Box::pin(review.reply()).await
    }
}

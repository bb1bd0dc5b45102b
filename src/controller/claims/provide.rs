//! A claim that waits gets its volume, or reads why not.

use std::time::Duration;

use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::{CatchUp, Failure, MOMENT, REFUSED_PAUSE};
use crate::model::claim::{Claim, Name};
use crate::model::names::reason;
use crate::model::volume::{NewVolume, Volume};
use crate::policy::decide::{Decision, Facts, Verdict, decide};
use crate::provision::{self, Provisioner, Time};

/// Time for one claim. Nobody waits for it at a terminal.
const DEADLINE: Duration = Duration::from_secs(20);

impl CatchUp {
    /// A claim that names no volume.
    pub(super) async fn provide(&self, claim: &Claim, name: &str, class: &StorageClass) -> Result<Action, Failure> {
        let Provisioner { cluster, us, .. } = &self.provisioner;
        // What the watch has may be a moment old.
        let earlier = match cluster.unclaimed_volumes(us, &claim.namespace, name).first() {
            Some(volume) => cluster.volume(&volume.name_any()).await?,
            None => None,
        };
        let verdict = self.decide(claim, class, earlier.as_ref()).await?;
        let time = Time::from_now(DEADLINE);
        if let Some(unused) = &verdict.unused {
            Box::pin(self.provisioner.discard(unused, time.end)).await?;
        }
        match verdict.decision {
            Decision::Pass(_) => Ok(Action::await_change()),
            Decision::Deny(why) => Ok(self.refuse(claim, why)),
            Decision::Provision(new) => self.provision(claim, &new, time).await,
        }
    }

    /// A claim that names a volume: none of our business, unless that volume is not there, or only begun. It is made only if
    /// this very claim would get one of that name: else whoever writes a claim could have volumes made under names of their
    /// choice.
    pub(super) async fn replace(
        &self,
        claim: &Claim,
        name: &str,
        class: &StorageClass,
        volume: &str,
    ) -> Result<Action, Failure> {
        let begun = self.provisioner.cluster.volume(volume).await?;
        match &begun {
            Some(begun) if !begun.awaits(&claim.namespace, name) => return Ok(Action::await_change()),
            // The binder gives it, unless it is fenced after all.
            Some(begun) if !begun.is_fenced() => return Ok(Action::requeue(MOMENT)),
            _ => {}
        }
        let unnamed = Claim {
            volume_name: None,
            name: Name::Given(name.to_owned()),
            ..claim.clone()
        };
        let verdict = self.decide(&unnamed, class, begun.as_ref()).await?;
        match verdict.decision {
            Decision::Provision(new) if new.name == volume => {
                self.provision(claim, &new, Time::from_now(DEADLINE)).await
            }
            Decision::Provision(_) | Decision::Deny(_) => {
                let note = format!(
                    "volume {volume}, which this claim names, does not exist; delete the claim and create it again without spec.volumeName"
                );
                self.events.warn_claim_with_text(claim, reason::VOLUME_MISSING, note);
                Ok(Action::await_change())
            }
            Decision::Pass(_) => Ok(Action::await_change()),
        }
    }

    async fn decide(&self, claim: &Claim, class: &StorageClass, volume: Option<&Volume>) -> Result<Verdict, Failure> {
        let namespace = self.provisioner.cluster.namespace(&claim.namespace).await?;
        Ok(decide(&Facts {
            claim,
            class: Some(class),
            namespace: &namespace,
            volume,
            defaults: &self.defaults,
            us: &self.provisioner.us,
            fresh: claim.seed(),
        }))
    }

    async fn provision(&self, claim: &Claim, new: &NewVolume, time: Time) -> Result<Action, Failure> {
        match self.provisioner.provision(new, time).await {
            Ok(warnings) => {
                for warning in warnings {
                    self.events.warn_claim_with_text(claim, reason::PROVISIONED, warning);
                }
                tracing::info!(volume = new.name, share = %new.share, directory = %new.directory, "provisioned");
                self.provisioner.metrics.step("caught up");
                Ok(Action::await_change())
            }
            Err(provision::Failure::ClaimServed | provision::Failure::ClaimExists) => Ok(Action::await_change()),
            Err(failure @ (provision::Failure::Taken(_) | provision::Failure::DirectoryExists(_))) => {
                Ok(self.refuse(claim, failure.to_string()))
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// In the words that the webhook would have used.
    fn refuse(&self, claim: &Claim, why: String) -> Action {
        self.events.warn_claim_with_text(claim, reason::REFUSED, why);
        Action::requeue(REFUSED_PAUSE)
    }
}

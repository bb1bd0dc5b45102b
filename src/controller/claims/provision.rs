//! Provisions a waiting claim, or reports why it is refused.

use std::time::Duration;

use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::error_policy::{REFUSED_PAUSE, SHORT_PAUSE};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::claim::{Claim, Name};
use crate::model::names::reason;
use crate::model::volume::NewVolume;
use crate::policy::decide::{Decision, Pass};
use crate::provision::{self, Deadlines};

/// The pause before the next reconcile of a claim that Kubernetes can bind to an existing volume.
const EXISTING_VOLUME_PAUSE: Duration = Duration::from_secs(5);
/// The maximum time for one claim. No admission review waits for it.
const DEADLINE: Duration = Duration::from_secs(20);

/// Provisions a claim that names no volume.
pub async fn provision_claim(
    leader: &Leader,
    claim: &Claim,
    name: &str,
    class: &StorageClass,
) -> Result<Action, Error> {
    let ctx = &leader.ctx;
    let Context {
        cluster, installation, ..
    } = &**ctx;
    // The cache may be behind.
    let earlier = match cluster.unclaimed_volumes(installation, &claim.namespace, name).first() {
        Some(volume) => cluster.volume(&volume.name_any()).await?,
        None => None,
    };
    let candidates = cluster.candidates(claim, installation);
    let verdict = ctx.decide(claim, Some(class), earlier.as_ref(), &candidates).await?;
    let deadlines = Deadlines::from_now(DEADLINE);
    if let Some(unused) = &verdict.unused {
        Box::pin(ctx.provisioner.discard(unused, deadlines.end)).await?;
    }
    match verdict.decision {
        // Another claim may be bound to the volume first.
        Decision::Pass(Pass::Reserved(_) | Pass::Available(_)) => Ok(Action::requeue(EXISTING_VOLUME_PAUSE)),
        Decision::Pass(_) => Ok(Action::await_change()),
        Decision::Deny(why) => Ok(refuse(ctx, claim, why)),
        Decision::Provision(new) => provision(leader, claim, &new, deadlines).await,
    }
}

/// Provisions a claim that names a volume which does not exist or is not complete. The volume is created only if
/// Bindery would choose this name for this claim. Otherwise every user could choose the names of volumes.
pub async fn provision_named(
    leader: &Leader,
    claim: &Claim,
    name: &str,
    class: &StorageClass,
    volume: &str,
) -> Result<Action, Error> {
    let ctx = &leader.ctx;
    let existing = ctx.cluster.volume(volume).await?;
    match &existing {
        Some(existing) if !existing.is_unclaimed_for(&claim.namespace, name) => return Ok(Action::await_change()),
        Some(existing) if existing.is_for_the_binder() => return Ok(Action::requeue(SHORT_PAUSE)),
        _ => {}
    }
    let unnamed = Claim {
        volume_name: None,
        name: Name::Given(name.to_owned()),
        ..claim.clone()
    };
    let candidates = ctx.cluster.candidates(&unnamed, &ctx.installation);
    let verdict = ctx
        .decide(&unnamed, Some(class), existing.as_ref(), &candidates)
        .await?;
    match verdict.decision {
        Decision::Provision(new) if new.name == volume => {
            provision(leader, claim, &new, Deadlines::from_now(DEADLINE)).await
        }
        Decision::Provision(_) | Decision::Deny(_) => {
            let note = format!(
                "volume {volume}, which this claim names, does not exist; delete the claim and create it again without \
                 spec.volumeName"
            );
            ctx.events.warn(claim, reason::VOLUME_MISSING, note);
            Ok(Action::await_change())
        }
        Decision::Pass(_) => Ok(Action::await_change()),
    }
}

async fn provision(leader: &Leader, claim: &Claim, new: &NewVolume, deadlines: Deadlines) -> Result<Action, Error> {
    let ctx = &leader.ctx;
    // The decision was based on what the API server has.
    let confirm = std::future::ready(Ok(()));
    match ctx.provisioner.provision(new, deadlines, confirm).await {
        Ok(warnings) => {
            for warning in warnings {
                ctx.events.warn(claim, reason::PROVISIONED, warning);
            }
            let note = format!(
                "volume {} is provisioned: its directory is {} of share {}",
                new.name, new.directory, new.share
            );
            ctx.events.normal(claim, reason::PROVISIONED, note);
            ctx.metrics.step("provisioned");
            Ok(Action::await_change())
        }
        Err(provision::Error::ClaimNotWaiting | provision::Error::ClaimExists) => Ok(Action::await_change()),
        Err(
            error @ (provision::Error::Conflict(_)
            | provision::Error::DirectoryExists(_)
            | provision::Error::Archive(_)
            | provision::Error::NoGroup(_)
            | provision::Error::NoSpace(_)
            | provision::Error::NoLimit(_)),
        ) => Ok(refuse(ctx, claim, error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Refuses a claim with the message that the webhook would have sent.
fn refuse(ctx: &Context, claim: &Claim, why: String) -> Action {
    ctx.events.warn(claim, reason::REFUSED, why);
    Action::requeue(REFUSED_PAUSE)
}

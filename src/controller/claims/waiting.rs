//! Counts the claims that wait for a volume, for the metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use tokio::time::{MissedTickBehavior, interval};

use super::exempt;
use super::triggers::is_waiting;
use crate::controller::context::Context;
use crate::model::claim::Claim;
use crate::ops::metrics::Waiting;
use crate::policy::annotations::enabled;

/// The time between two counts.
const PERIOD: Duration = Duration::from_secs(10);

/// Counts again and again.
pub async fn run(ctx: &Context) {
    exempt::wait_until_known(ctx).await;
    let mut rounds = interval(PERIOD);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        ctx.metrics.claims_waiting(&count(ctx).await);
    }
}

/// Returns the claims that wait, by class. Not counted: claims of other provisioners, claims that wait for their pod, and
/// claims that the webhook configuration or their namespace exempts.
async fn count(ctx: &Context) -> BTreeMap<String, Waiting> {
    let mut classes: BTreeMap<String, Waiting> = BTreeMap::new();
    for claim in ctx.cluster.claims.store().state_filter(is_waiting) {
        let claim = claim.read();
        let Some(name) = &claim.class else { continue };
        let Some(class) = ctx.cluster.classes.get(&ObjectRef::new(name)) else {
            continue;
        };
        if class.provisioner != ctx.installation.provisioner
            || claim.waits_for_its_pod(&class)
            // If its namespace cannot be read, it is counted.
            || is_left_alone(ctx, claim).await.unwrap_or_default()
        {
            continue;
        }
        let waiting = classes.entry(name.clone()).or_default();
        waiting.claims += 1;
        waiting.oldest = waiting.oldest.into_iter().chain(claim.created).min();
    }
    classes
}

/// Returns whether Bindery does not provision the claim.
async fn is_left_alone(ctx: &Context, claim: &Claim) -> kube::Result<bool> {
    let namespace = ctx.cluster.namespace(&claim.namespace).await?;
    Ok(enabled(&namespace.annotations) == Ok(false) || exempt::is_exempt(ctx, claim).await?)
}

//! Whether the controller of csi-driver-nfs runs. It may delete the directories of its volumes.
//!
//! Its external-provisioner renews a Lease while it runs. A Lease that has not changed for its duration, by the clock of this
//! process, belongs to a controller that has ended (clocks of different hosts are not compared).

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The name of the Lease, in any namespace: external-provisioner makes it from the name of the driver.
const LEASE: &str = "nfs-csi-k8s-io";
/// The shortest time without a change after which the holder counts as ended: longer than the default duration, 15 s.
const SHORTEST: Duration = Duration::from_secs(20);

/// The time for which a controller counts as running without another request. Thousands of volumes may ask. That none runs
/// is never remembered: it may have just started.
const ANSWER_COUNTS: Duration = Duration::from_secs(2);

/// What a Lease said, and since when.
type Observed = (Option<String>, Option<Timestamp>, Instant);

/// The Leases that were seen.
#[derive(Default)]
pub struct OtherController(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// By namespace.
    leases: HashMap<String, Observed>,
    /// The controller that ran when the API server was asked last.
    last: Option<(Running, Instant)>,
}

/// A controller that runs, or may still run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The namespace of its Lease.
    pub namespace: String,
    /// After this time it is known whether it has ended.
    pub look_again: Duration,
}

impl OtherController {
    /// Returns a controller that runs or may still run, if there is one.
    pub async fn running(&self, client: &Client) -> kube::Result<Option<Running>> {
        let mut seen = self.0.lock().await;
        if let Some((running, asked)) = &seen.last
            && asked.elapsed() < ANSWER_COUNTS
        {
            return Ok(Some(running.clone()));
        }
        let leases: Api<Lease> = Api::all(client.clone());
        let found = leases
            .list(&ListParams::default().fields(&format!("metadata.name={LEASE}")))
            .await?;
        let now = Instant::now();
        // Every Lease is observed, so that the times of all of them are known.
        let running: Vec<_> = found
            .items
            .iter()
            .filter_map(|lease| observe(&mut seen.leases, lease, now))
            .collect();
        let running = running.into_iter().max_by_key(|running| running.look_again);
        seen.last = running.clone().map(|running| (running, now));
        Ok(running)
    }
}

/// Compares a Lease with what it said before.
fn observe(observed: &mut HashMap<String, Observed>, lease: &Lease, now: Instant) -> Option<Running> {
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
    let namespace = lease.namespace().unwrap_or_default();
    let renewed = spec.renew_time.map(|time| time.0);
    let seen = observed
        .entry(namespace.clone())
        .or_insert_with(|| (holder.clone(), renewed, now));
    if (&seen.0, seen.1) != (&holder, renewed) {
        *seen = (holder.clone(), renewed, now);
    }
    // A controller that ends in an orderly way leaves the Lease without a holder.
    holder?;
    let duration = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    let duration = duration.map_or(SHORTEST, Duration::from_secs).max(SHORTEST);
    let remaining = duration.saturating_sub(now.duration_since(seen.2));
    (!remaining.is_zero()).then_some(Running {
        namespace,
        look_again: remaining,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lease(holder: &str, renewed: &str) -> Lease {
        let spec: Value = json!({
            "holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15,
        });
        serde_json::from_value(json!({"metadata": {"name": LEASE, "namespace": "kube-system"}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_controller_has_ended_if_its_lease_has_no_holder_or_has_not_changed_for_its_duration() {
        let mut seen = HashMap::new();
        let begin = Instant::now();
        let [first, second] = ["2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:10.000000Z"];
        let mut at = |seconds, holder, renewed| {
            let now = begin + Duration::from_secs(seconds);
            let running = observe(&mut seen, &lease(holder, renewed), now);
            running.map(|running| running.look_again.as_secs())
        };
        assert_eq!(at(0, "a", first), Some(20), "it is not known how old the Lease is");
        assert_eq!(at(10, "a", second), Some(20), "it was renewed");
        assert_eq!(at(29, "a", second), Some(1));
        assert_eq!(at(30, "a", second), None);
        assert_eq!(at(31, "b", second), Some(20), "another replica holds it");
        assert_eq!(at(32, "", second), None, "it was released");
    }
}

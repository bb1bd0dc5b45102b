//! Metrics. [`super::exposition`] has the formats in which they are served.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use futures::future::{Either, select};
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::model::archive::ArchivePhase;
use crate::model::endpoint::Endpoint;
use crate::ops::space_metrics::SpaceMetrics;

/// One label: its name and its value.
type Label<V = &'static str> = [(&'static str, V); 1];
/// Durations, by one label.
type Times = Family<Label, Histogram, fn() -> Histogram>;

/// The claims of one class that wait for a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many there are.
    pub claims: u32,
    /// When the oldest of them was created.
    pub oldest: Option<Timestamp>,
}

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    leader: Gauge,
    reviews: Times,
    waits: Times,
    steps: Family<Label, Counter>,
    waiting: Family<Label<String>, Gauge>,
    waiting_since: Family<Label<String>, Gauge>,
    /// The classes whose claims wait, as they were set last.
    waiting_classes: Mutex<BTreeSet<String>>,
    in_trash: Gauge,
    /// Directories that were removed from the trash.
    pub removed_from_trash: Counter,
    /// Failed attempts to remove a directory from the trash.
    pub not_removed_from_trash: Counter,
    archives: Family<Label, Gauge>,
    down: Family<Label<String>, Gauge>,
    not_sent: Family<Label, Counter>,
    webhook_rejected: Family<Label, Counter>,
    certificate: Gauge,
    /// The space of shares, volumes and archives.
    pub space: SpaceMetrics,
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("bindery");
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register(
            "build",
            "The version of Bindery; the value is always 1",
            Info::new(version),
        );
        Self {
            leader: register(
                &mut registry,
                "leader",
                "1 if this replica holds the Lease and does the background work, else 0",
            ),
            reviews: times(
                &mut registry,
                "review_duration",
                "Duration of admission reviews, by outcome",
            ),
            waits: times(
                &mut registry,
                "review_wait",
                "Time that reviews waited: for the API server, for the NFS server, and for both at once, which the other \
                 two also contain",
            ),
            steps: register(
                &mut registry,
                "volume_steps",
                "Steps of the background work, by outcome",
            ),
            waiting: register(
                &mut registry,
                "claims_waiting",
                "Claims that wait for a volume, by class; only the replica with the Lease counts them",
            ),
            waiting_since: register(
                &mut registry,
                "claims_waiting_oldest_timestamp_seconds",
                "When the claim that has waited longest was created, by class, in seconds since 1970",
            ),
            waiting_classes: Mutex::default(),
            in_trash: register(
                &mut registry,
                "trash_directories",
                "Directories that wait in the trash to be removed; only the replica with the Lease counts them",
            ),
            removed_from_trash: register(
                &mut registry,
                "trash_removed",
                "Directories that were removed from the trash with all their files",
            ),
            not_removed_from_trash: register(
                &mut registry,
                "trash_failed",
                "Failed attempts to remove a directory from the trash; each is tried again",
            ),
            archives: register(
                &mut registry,
                "archives",
                "Objects of archives, by phase; only the replica with the Lease counts them, once in each round",
            ),
            down: register(
                &mut registry,
                "nfs_server_down",
                "1 for each NFS server that does not answer; a server that answers has no line",
            ),
            not_sent: register(
                &mut registry,
                "nfs_calls_not_sent",
                "Calls that were not sent to an NFS server, because it does not answer or too many calls are in progress",
            ),
            webhook_rejected: register(
                &mut registry,
                "webhook_rejected",
                "Connections that were closed and requests that were refused at the webhook's port, by reason",
            ),
            certificate: register(
                &mut registry,
                "webhook_certificate_end_timestamp_seconds",
                "When the certificate of the webhook expires, in seconds since 1970",
            ),
            space: SpaceMetrics::new(&mut registry),
            registry,
        }
    }
}

/// Creates a metric and registers it.
fn register<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// Creates a metric for durations and registers it.
fn times(registry: &mut Registry, name: &str, help: &str) -> Times {
    // From 0.25 ms to 8 s.
    let metric = Times::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 16)));
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

impl Metrics {
    /// Counts a review.
    pub fn review(&self, outcome: &'static str, began: Instant) {
        self.reviews
            .get_or_create(&[("outcome", outcome)])
            .observe(began.elapsed().as_secs_f64());
    }

    /// Waits for a future, and counts how long.
    pub async fn wait<T>(&self, on: &'static str, future: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let output = future.await;
        self.waits
            .get_or_create(&[("on", on)])
            .observe(began.elapsed().as_secs_f64());
        output
    }

    /// Waits for the API server and the NFS server at the same time, and counts how long both waits lasted. Each also
    /// counts its own wait, so the time that Bindery itself needs is: all time, minus both waits, plus this one.
    pub async fn wait_for_both<A, N>(&self, api: impl Future<Output = A>, nfs: impl Future<Output = N>) -> (A, N) {
        let (api, nfs) = (std::pin::pin!(api), std::pin::pin!(nfs));
        match self.wait("both", select(api, nfs)).await {
            Either::Left((api, nfs)) => (api, nfs.await),
            Either::Right((nfs, api)) => (api.await, nfs),
        }
    }

    /// Counts a step of the controller.
    pub fn step(&self, outcome: &'static str) {
        self.steps.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Sets whether this replica does the background work.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Sets the claims that wait, by class. A class without such claims has no lines.
    pub fn claims_waiting(&self, classes: &BTreeMap<String, Waiting>) {
        let mut before = self.waiting_classes.lock();
        for gone in before.iter().filter(|class| !classes.contains_key(*class)) {
            let label = [("storageclass", gone.clone())];
            self.waiting.remove(&label);
            self.waiting_since.remove(&label);
        }
        for (class, waiting) in classes {
            let label = [("storageclass", class.clone())];
            self.waiting.get_or_create(&label).set(i64::from(waiting.claims));
            if let Some(oldest) = waiting.oldest {
                self.waiting_since.get_or_create(&label).set(oldest.as_second());
            }
        }
        *before = classes.keys().cloned().collect();
    }

    /// Sets the number of directories in the trash.
    pub fn in_trash(&self, directories: usize) {
        self.in_trash.set(i64::try_from(directories).unwrap_or(i64::MAX));
    }

    /// Sets the number of objects of archives in each phase. Without objects, the metric does not exist.
    pub fn archives(&self, phases: impl Iterator<Item = ArchivePhase>) {
        let mut counts = BTreeMap::new();
        for phase in phases {
            *counts.entry(phase).or_insert(0) += 1;
        }
        for phase in ArchivePhase::ALL {
            let label = [("phase", phase.as_str())];
            match counts.get(&phase) {
                Some(&count) => drop(self.archives.get_or_create(&label).set(count)),
                None => drop(self.archives.remove(&label)),
            }
        }
    }

    /// Sets whether an NFS server is down.
    pub fn server_down(&self, endpoint: &Endpoint, is_down: bool) {
        let server = [("server", endpoint.to_string())];
        if is_down {
            self.down.get_or_create(&server).set(1);
        } else {
            self.down.remove(&server);
        }
    }

    /// Counts a call that was not sent to an NFS server.
    pub fn not_sent(&self, reason: &'static str) {
        self.not_sent.get_or_create(&[("reason", reason)]).inc();
    }

    /// Counts a connection that was closed, or a request that was refused, at the webhook's port.
    pub fn webhook_rejected(&self, reason: &'static str) {
        self.webhook_rejected.get_or_create(&[("reason", reason)]).inc();
    }

    /// Sets when the certificate of the webhook expires.
    pub fn certificate_ends(&self, at: Timestamp) {
        self.certificate.set(at.as_second());
    }

    /// Returns the text in the format `OpenMetrics`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn a_class_has_lines_only_while_its_claims_wait() {
        let metrics = Metrics::default();
        let waiting = Waiting {
            claims: 2,
            oldest: Timestamp::from_second(1_700_000_000).ok(),
        };
        let classes = ["fast", "slow"].map(|class| (class.to_owned(), waiting));
        metrics.claims_waiting(&classes.into());
        metrics.claims_waiting(&BTreeMap::from([("slow".to_owned(), waiting)]));
        let text = metrics.text();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("{storageclass=")).collect();
        assert_eq!(
            lines,
            [
                "bindery_claims_waiting{storageclass=\"slow\"} 2",
                "bindery_claims_waiting_oldest_timestamp_seconds{storageclass=\"slow\"} 1700000000",
            ]
        );
    }

    #[tokio::test]
    async fn a_wait_for_both_servers_ends_with_the_last_and_counts_until_the_first() {
        let metrics = Metrics::default();
        let (answer, api) = oneshot::channel();
        let mut both = Box::pin(metrics.wait_for_both(api, async { "a directory" }));
        assert!(poll!(both.as_mut()).is_pending());
        assert!(
            metrics
                .text()
                .contains(r#"bindery_review_wait_seconds_count{on="both"} 1"#)
        );
        answer.send("no claim").unwrap();
        assert_eq!(both.await, (Ok("no claim"), "a directory"));
    }
}

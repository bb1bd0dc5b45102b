//! Metrics, in the OpenMetrics format. No label has the name of a Kubernetes object. One has the name of an NFS server,
//! and only while that server does not answer.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use futures::future::{Either, select};
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::model::endpoint::Endpoint;

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: Family<Outcome, Histogram, fn() -> Histogram>,
    waits: Family<On, Histogram, fn() -> Histogram>,
    steps: Family<Outcome, Counter<u64, AtomicU64>>,
    in_trash: Gauge,
    removed_from_trash: Counter<u64, AtomicU64>,
    not_removed_from_trash: Counter<u64, AtomicU64>,
    down: Family<Server, Gauge>,
    not_sent: Family<Reason, Counter<u64, AtomicU64>>,
    webhook_rejected: Family<Reason, Counter<u64, AtomicU64>>,
    certificate: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct On {
    on: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Server {
    server: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        // From 0.25 ms to 8 s.
        let times: fn() -> Histogram = || Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let mut registry = Registry::with_prefix("bindery");
        let reviews = Family::new_with_constructor(times);
        registry.register_with_unit(
            "review",
            "Duration of admission reviews, by outcome",
            Unit::Seconds,
            reviews.clone(),
        );
        let waits = Family::new_with_constructor(times);
        let help = "Time that reviews waited for the API server, for the NFS server, and, counted in those two as well, for \
                    both at once";
        registry.register_with_unit("review_wait", help, Unit::Seconds, waits.clone());
        let steps = Family::default();
        registry.register(
            "volume_steps",
            "Steps of the background work, by outcome",
            steps.clone(),
        );
        let in_trash = Gauge::default();
        let help = "Directories that wait in the trash to be removed; only the replica with the Lease counts them";
        registry.register("trash_directories", help, in_trash.clone());
        let removed_from_trash = Counter::default();
        let help = "Directories that were removed from the trash with all their files";
        registry.register("trash_removed", help, removed_from_trash.clone());
        let not_removed_from_trash = Counter::default();
        let help = "Failed attempts to remove a directory from the trash; each is tried again";
        registry.register("trash_failed", help, not_removed_from_trash.clone());
        let down = Family::default();
        let help = "1 for each NFS server that does not answer; a server that answers has no line";
        registry.register("nfs_server_down", help, down.clone());
        let not_sent = Family::default();
        let help =
            "Calls that were not sent to an NFS server, because it does not answer or too many calls are in progress";
        registry.register("nfs_calls_not_sent", help, not_sent.clone());
        let webhook_rejected = Family::default();
        let help = "Connections that were closed and requests that were refused at the webhook's port, by reason";
        registry.register("webhook_rejected", help, webhook_rejected.clone());
        let certificate = Gauge::default();
        let help = "When the certificate of the webhook expires, in seconds since 1970";
        registry.register("webhook_certificate_end_timestamp_seconds", help, certificate.clone());
        Self {
            registry,
            reviews,
            waits,
            steps,
            in_trash,
            removed_from_trash,
            not_removed_from_trash,
            down,
            not_sent,
            webhook_rejected,
            certificate,
        }
    }
}

impl Metrics {
    /// Counts a review.
    pub fn review(&self, outcome: &'static str, began: Instant) {
        self.reviews
            .get_or_create(&Outcome { outcome })
            .observe(began.elapsed().as_secs_f64());
    }

    /// Waits for a future, and counts how long.
    pub async fn wait<T>(&self, on: &'static str, future: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let output = future.await;
        self.waits
            .get_or_create(&On { on })
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
        self.steps.get_or_create(&Outcome { outcome }).inc();
    }

    /// Sets the number of directories in the trash.
    pub fn in_trash(&self, directories: usize) {
        self.in_trash.set(i64::try_from(directories).unwrap_or(i64::MAX));
    }

    /// Counts a directory that was removed from the trash.
    pub fn removed_from_trash(&self) {
        self.removed_from_trash.inc();
    }

    /// Counts a failed attempt to remove a directory from the trash.
    pub fn not_removed_from_trash(&self) {
        self.not_removed_from_trash.inc();
    }

    /// Sets whether an NFS server is down.
    pub fn server_down(&self, endpoint: &Endpoint, is_down: bool) {
        let server = Server {
            server: endpoint.to_string(),
        };
        if is_down {
            self.down.get_or_create(&server).set(1);
        } else {
            self.down.remove(&server);
        }
    }

    /// Counts a call that was not sent to an NFS server.
    pub fn not_sent(&self, reason: &'static str) {
        self.not_sent.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a connection that was closed, or a request that was refused, at the webhook's port.
    pub fn webhook_rejected(&self, reason: &'static str) {
        self.webhook_rejected.get_or_create(&Reason { reason }).inc();
    }

    /// Sets when the certificate of the webhook expires.
    pub fn certificate_ends(&self, at: Timestamp) {
        self.certificate.set(at.as_second());
    }

    /// Returns the text for Prometheus.
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

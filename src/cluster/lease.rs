//! One replica runs the loops: the one that holds the Lease.
//!
//! The holder renews it, and steps down by itself when it could not for two thirds of its duration. Another takes it when
//! the record has not changed for a whole duration by its own clock (no two clocks are compared), or at once when the
//! holder has let go. Every write tests the record's version, so of two that try one wins. A Lease does not stop the last
//! write of a process that was paused: each of those is fenced by itself.

use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::cluster::api_error::ApiFault;
use crate::cluster::patch::is_conflict;

/// A holder that is silent for so long has lost it.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// One that could not renew for so long steps down.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Between two renewals.
const RENEW_PERIOD: Duration = Duration::from_secs(4);
/// Between two tries to renew, and for one.
const RETRY_PERIOD: Duration = Duration::from_secs(1);
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether this replica may act: asked before every step that cannot be taken back.
#[derive(Clone)]
pub struct Term {
    /// Ends when the term does.
    pub stop: CancellationToken,
    until: watch::Receiver<Instant>,
}

impl Term {
    /// Whether the Lease is held now. After a pause of the whole process the clock knows better than any task.
    pub fn holds(&self) -> bool {
        !self.stop.is_cancelled() && Instant::now() < *self.until.borrow()
    }
}

/// What a replica knows of the Lease.
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    observed: Option<(Lease, Instant)>,
}

impl Candidate {
    /// A replica that would hold the Lease of this name. `identity` is its own alone; a process that died and comes again
    /// under the same has it still.
    pub fn new(client: Client, namespace: &str, name: &str, identity: String) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            observed: None,
        }
    }

    /// Runs `work` whenever this replica holds the Lease, until `stop`; then lets it go. A term that ends waits for the step
    /// that its work is at.
    pub async fn lead<W: Future<Output = ()>>(mut self, stop: CancellationToken, work: impl Fn(Term) -> W) {
        while let Some(since) = stop.run_until_cancelled(self.acquire()).await {
            tracing::info!(lease = self.name, "this replica leads: it runs the loops");
            self.run_term(since, stop.child_token(), &work).await;
        }
        self.release().await;
    }

    /// Does `work` once under a Lease that is there, so that no replica begins meanwhile; then lets it go. Waits for the end
    /// of a holder that died. An error if one lives: it says which.
    pub async fn run_once<W: Future>(
        mut self,
        work: impl FnOnce(Term) -> W,
    ) -> kube::Result<Result<W::Output, String>> {
        let since = match self.acquire_unless_held().await? {
            Ok(since) => since,
            Err(other) => return Ok(Err(other)),
        };
        let done = self.run_term(since, CancellationToken::new(), work).await;
        self.release().await;
        Ok(Ok(done))
    }

    /// Works while the Lease is held. When it is no more, waits for the step that the work is at.
    async fn run_term<W: Future>(
        &mut self,
        since: Instant,
        stop: CancellationToken,
        work: impl FnOnce(Term) -> W,
    ) -> W::Output {
        let (renewed, until) = watch::channel(since + RENEW_DEADLINE);
        let mut work = std::pin::pin!(work(Term {
            stop: stop.clone(),
            until,
        }));
        tokio::select! {
            done = &mut work => return done,
            () = self.renew_until_lost(&renewed) => {}
        }
        tracing::warn!(lease = self.name, "this replica leads no more: it stops the loops");
        stop.cancel();
        work.await
    }

    /// Returns when the Lease is held, as [`Candidate::acquire`] does; or who else lives: who has renewed or taken it meanwhile.
    async fn acquire_unless_held(&mut self) -> kube::Result<Result<Instant, String>> {
        let mut first = None;
        loop {
            let began = Instant::now();
            if self.try_once().await? {
                return Ok(Ok(began));
            }
            if let Some((observed, _)) = &self.observed {
                let version = observed.metadata.resource_version.clone();
                let another = holder(observed).filter(|holder| *holder != self.identity);
                match (&first, another) {
                    (None, Some(_)) => first = Some(version),
                    (Some(first), Some(another)) if *first != version => return Ok(Err(another.to_owned())),
                    _ => {}
                }
            }
            sleep(RETRY_PERIOD).await;
        }
    }

    /// Returns when this replica holds the Lease: the time is from before it was written.
    async fn acquire(&mut self) -> Instant {
        let only = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let changes = watcher(self.leases.clone(), only).default_backoff().touched_objects();
        let mut changes = std::pin::pin!(changes);
        loop {
            let began = Instant::now();
            match timeout(CALL_TIMEOUT, self.try_once()).await {
                Ok(Ok(true)) => return began,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    let fault = ApiFault::from(&error);
                    tracing::warn!(
                        lease = self.name,
                        "the Lease could not be read or written; it is tried again: {fault}"
                    );
                }
                Err(_) => tracing::warn!(
                    lease = self.name,
                    "the API server did not answer in time about the Lease"
                ),
            }
            let again = self
                .observed
                .as_ref()
                .map_or(Instant::now() + RETRY_PERIOD, |(_, since)| *since + LEASE_DURATION);
            tokio::select! {
                () = sleep_until(again.max(Instant::now() + RETRY_PERIOD)) => {}
                // Released, or taken by another: the next try sees which.
                Some(Ok(_)) = changes.next() => {}
            }
        }
    }

    /// Returns when this replica holds the Lease no more.
    async fn renew_until_lost(&mut self, renewed: &watch::Sender<Instant>) {
        loop {
            sleep(if Instant::now() + RENEW_PERIOD < *renewed.borrow() {
                RENEW_PERIOD
            } else {
                RETRY_PERIOD
            })
            .await;
            let began = Instant::now();
            let answer = timeout(CALL_TIMEOUT, self.try_once()).await;
            // Steps were refused meanwhile, perhaps: a term that has lapsed does not come back, the next one looks at all.
            if Instant::now() >= *renewed.borrow() {
                return;
            }
            match answer {
                Ok(Ok(true)) => drop(renewed.send_replace(began + RENEW_DEADLINE)),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => {
                    let fault = ApiFault::from(&error);
                    tracing::warn!(
                        lease = self.name,
                        "the Lease could not be renewed; it is tried again: {fault}"
                    );
                }
                Err(_) => tracing::warn!(
                    lease = self.name,
                    "the API server did not answer in time when the Lease was renewed"
                ),
            }
        }
    }

    /// Takes or renews the Lease if that is allowed now. Whether it is held then.
    async fn try_once(&mut self) -> kube::Result<bool> {
        let Some(lease) = self.leases.get_opt(&self.name).await? else {
            let new = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: None,
            };
            let new = self.with_own_identity(new);
            let created = self.leases.create(&PostParams::default(), &new).await;
            return self.acquired(created);
        };
        self.observe(lease);
        let Some((lease, since)) = &self.observed else {
            return Ok(false);
        };
        let other = holder(lease).is_some_and(|holder| holder != self.identity);
        if other && since.elapsed() < LEASE_DURATION {
            return Ok(false);
        }
        let mine = self.with_own_identity(lease.clone());
        let replaced = self.leases.replace(&self.name, &PostParams::default(), &mine).await;
        self.acquired(replaced)
    }

    fn acquired(&mut self, written: kube::Result<Lease>) -> kube::Result<bool> {
        match written {
            Ok(lease) => {
                self.observe(lease);
                Ok(true)
            }
            // Another was faster.
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A record that has changed is a holder that lives.
    fn observe(&mut self, lease: Lease) {
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        if self
            .observed
            .as_ref()
            .is_none_or(|(observed, _)| version(observed) != version(&lease))
        {
            self.observed = Some((lease, Instant::now()));
        }
    }

    fn with_own_identity(&self, mut lease: Lease) -> Lease {
        let now = Some(MicroTime(Timestamp::now()));
        let before = lease.spec.unwrap_or_default();
        let same = before.holder_identity.as_ref() == Some(&self.identity);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            acquire_time: if same { before.acquire_time } else { now.clone() },
            renew_time: now,
            lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(!same)),
            ..LeaseSpec::default()
        });
        lease
    }

    /// Others need not wait for the end of its duration.
    async fn release(&mut self) {
        let Some((mut lease, _)) = self.observed.take() else {
            return;
        };
        if holder(&lease) != Some(&*self.identity) {
            return;
        }
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
        }
        let parameters = PostParams::default();
        let replaced = timeout(CALL_TIMEOUT, self.leases.replace(&self.name, &parameters, &lease)).await;
        if !matches!(replaced, Ok(Ok(_))) {
            tracing::warn!(
                lease = self.name,
                "the Lease could not be let go: another replica waits for its end"
            );
        }
    }
}

/// Which replica a Lease says it is held by.
pub fn holder(lease: &Lease) -> Option<&str> {
    lease
        .spec
        .as_ref()?
        .holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty())
}

//! Leader election: the replica that holds the Lease does the background work.
//!
//! The holder renews the Lease every 4 seconds, and stops leading if it could not renew it for 10 seconds. Another
//! replica acquires the Lease if it has not changed for 15 seconds by that replica's own clock (clocks of different
//! hosts are not compared), or at once if it was released. Every write has the version that was read, so only one
//! replica succeeds. A replica that was paused may still send one write after it lost the Lease. The preconditions in
//! each write stop that ([`super::patch`]).

use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::cluster::api_error::ApiFault;
use crate::cluster::patch::is_conflict;
use crate::cluster::watch_object;

/// How long a Lease is valid after a renewal.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// A holder that could not renew the Lease for this time stops leading.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// The pause between two renewals.
const RENEW_PERIOD: Duration = Duration::from_secs(4);
/// The pause between two attempts, and the longest time for one request.
const RETRY_PERIOD: Duration = Duration::from_secs(1);
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// The time during which this replica leads. It is checked before every step that cannot be undone.
#[derive(Clone)]
pub struct Term {
    /// Is cancelled when the term ends.
    pub stop: CancellationToken,
    until: watch::Receiver<Instant>,
}

impl Term {
    /// Returns whether the Lease is held now. It compares the time, because the process may have been paused.
    pub fn holds(&self) -> bool {
        !self.stop.is_cancelled() && Instant::now() < *self.until.borrow()
    }
}

/// A replica that takes part in the election.
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    observed: Option<(Lease, Instant)>,
}

impl Candidate {
    /// Creates a candidate. No other replica may have the same `identity`. A process that restarts with the same
    /// identity still holds the Lease.
    pub fn new(client: Client, namespace: &str, name: &str, identity: String) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            observed: None,
        }
    }

    /// Runs `work` whenever this replica holds the Lease, until `stop` is cancelled. Then releases the Lease. When a
    /// term ends, it waits until `work` has ended.
    pub async fn lead<W: Future<Output = ()>>(mut self, stop: CancellationToken, work: impl Fn(Term) -> W) {
        while let Some(since) = stop.run_until_cancelled(self.acquire()).await {
            tracing::info!(lease = self.name, "this replica leads and does the background work");
            self.run_term(since, stop.child_token(), &work).await;
        }
        self.release().await;
    }

    /// Acquires the Lease, runs `work` once, and releases the Lease. Waits until the Lease of a stopped holder expires.
    /// The inner error names the holder if it is running.
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

    /// Runs `work` while the Lease is held. When it is lost, waits until `work` has ended.
    async fn run_term<W: Future>(
        &mut self,
        since: Instant,
        stop: CancellationToken,
        work: impl FnOnce(Term) -> W,
    ) -> W::Output {
        let (renewed, until) = watch::channel(since + RENEW_DEADLINE);
        let mut work = pin!(work(Term {
            stop: stop.clone(),
            until,
        }));
        tokio::select! {
            done = &mut work => return done,
            () = self.renew_until_lost(&renewed) => {}
        }
        tracing::warn!(
            lease = self.name,
            "this replica lost the Lease and stops the background work"
        );
        stop.cancel();
        work.await
    }

    /// Acquires the Lease as [`Candidate::acquire`] does. Returns the holder instead if another replica renews the
    /// Lease, or acquires it first.
    async fn acquire_unless_held(&mut self) -> kube::Result<Result<Instant, String>> {
        let mut first = None;
        loop {
            let began = Instant::now();
            if self.try_once().await? {
                return Ok(Ok(began));
            }
            if let Some((observed, _)) = &self.observed
                && let Some(another) = holder(observed).filter(|holder| *holder != self.identity)
            {
                let version = &observed.metadata.resource_version;
                if first.get_or_insert_with(|| version.clone()) != version {
                    return Ok(Err(another.to_owned()));
                }
            }
            sleep(RETRY_PERIOD).await;
        }
    }

    /// Waits until it acquires the Lease. Returns the time before that write.
    async fn acquire(&mut self) -> Instant {
        let changes = watch_object(self.leases.clone(), &self.name);
        let mut changes = pin!(changes.filter(|event| ready(!matches!(event, Event::Init | Event::InitDone))));
        loop {
            let began = Instant::now();
            if self.try_in_time().await == Some(true) {
                return began;
            }
            let again = self
                .observed
                .as_ref()
                .map_or(Instant::now() + RETRY_PERIOD, |(_, since)| *since + LEASE_DURATION);
            tokio::select! {
                () = sleep_until(again.max(Instant::now() + RETRY_PERIOD)) => {}
                // It was released, or another replica acquired it.
                Some(_) = changes.next() => {}
            }
        }
    }

    /// Renews the Lease. Returns when it is lost.
    async fn renew_until_lost(&mut self, renewed: &watch::Sender<Instant>) {
        loop {
            sleep(if Instant::now() + RENEW_PERIOD < *renewed.borrow() {
                RENEW_PERIOD
            } else {
                RETRY_PERIOD
            })
            .await;
            let began = Instant::now();
            let held = self.try_in_time().await;
            // The term has ended, even if the renewal succeeded: steps may have been refused since. The next term
            // starts from the beginning.
            if Instant::now() >= *renewed.borrow() {
                return;
            }
            match held {
                Some(true) => drop(renewed.send_replace(began + RENEW_DEADLINE)),
                Some(false) => return,
                None => {}
            }
        }
    }

    /// Acquires or renews the Lease if that is allowed now. Returns whether it is held; `None` if the API server did
    /// not answer in time, or with an error.
    async fn try_in_time(&mut self) -> Option<bool> {
        let tried = timeout(CALL_TIMEOUT, self.try_once()).await;
        let tried = tried.map_or_else(|_| Err(ApiFault::timeout()), |tried| tried.map_err(ApiFault::from));
        tried
            .inspect_err(|fault| {
                tracing::warn!(
                    lease = self.name,
                    "the Lease could not be read or written; Bindery retries: {fault}"
                );
            })
            .ok()
    }

    /// Acquires or renews the Lease if that is allowed now. Returns whether it is held.
    async fn try_once(&mut self) -> kube::Result<bool> {
        let Some(lease) = self.leases.get_opt(&self.name).await? else {
            let mut new = Lease::default();
            new.metadata.name = Some(self.name.clone());
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
            // Another replica was faster.
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Remembers the Lease, and when it last changed.
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

    /// Releases the Lease, so that other replicas need not wait until it expires.
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
                "the Lease could not be released; another replica acquires it after {LEASE_DURATION:?}"
            );
        }
    }
}

/// Returns the replica that holds a Lease.
pub fn holder(lease: &Lease) -> Option<&str> {
    lease
        .spec
        .as_ref()?
        .holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty())
}

use std::time::Duration;

use futures::{FutureExt, StreamExt, poll};
use tokio::time::advance;

use super::fake::{Behavior, Fake};
use super::probe::FORGET_AFTER;
use super::server::MAX_CALLS;
use super::*;
use crate::model::directory::{Directory, NfsVersion};
use crate::storage::{Fault, Found, Outcome, Tree};

const LONG: Duration = Duration::from_secs(20);

struct Scene {
    fake: Arc<Fake>,
    breaker: Breaker,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

impl Scene {
    fn new() -> Self {
        let (fake, metrics, tasks) = (
            Arc::new(Fake::default()),
            Arc::new(Metrics::default()),
            Tasks::default(),
        );
        Self {
            breaker: Breaker::new(fake.clone(), metrics.clone(), tasks.clone()),
            fake,
            metrics,
            tasks,
        }
    }

    async fn look(&self, server: &str, limit: Duration) -> Result<Option<Found>, StorageError> {
        let data = Directory::parse("data").unwrap();
        let deadline = Instant::now() + limit;
        self.breaker.look_up(&share(server), &data, deadline).await
    }

    fn is_down(&self, server: &str) -> bool {
        self.breaker.outages.has(server)
    }

    /// Sets a behavior, and waits until the server is down.
    async fn down(&self, server: &str, behavior: Behavior) {
        self.fake.set(server, behavior);
        self.look(server, LONG).await.unwrap_err();
        self.until(|| self.is_down(server)).await;
    }

    /// Waits at most a minute, by the clock of the test, which advances by itself.
    async fn until(&self, condition: impl Fn() -> bool) {
        for _ in 0..600 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the condition did not become true");
    }
}

fn share(server: &str) -> Share {
    Share::parse(server, "/export").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_gets_no_calls_and_each_caller_gets_the_reason_at_once() {
    for (behavior, fault, text) in [
        (Behavior::Hangs, Fault::TimedOut, "it hangs."),
        (Behavior::Refuses, Fault::Unreachable, "connection refused."),
    ] {
        let scene = Scene::new();
        scene.down("nas1", behavior).await;
        let (began, sent) = (Instant::now(), scene.fake.sent());
        let error = scene.look("nas1", LONG).await.unwrap_err();
        assert_eq!(
            (Instant::now(), scene.fake.sent()),
            (began, sent),
            "the error comes at once, and nothing is sent"
        );
        // Nothing was sent, so the volume need not be fenced.
        assert_eq!((error.fault, error.outcome), (fault, Outcome::NotDone));
        let message = error.to_string();
        let (named, rest) = message.split_once(" since ").unwrap();
        let (since, rest) = rest.split_once(", ").unwrap();
        assert_eq!(named, "nas1:/export cannot be used now: nas1 has not answered");
        since.parse::<jiff::Timestamp>().unwrap();
        assert_eq!(
            rest,
            format!("so nothing is sent to it until it does; it is probed every few seconds. The last probe: {text}")
        );
        let text = scene.metrics.text();
        assert!(text.contains("bindery_nfs_server_down{server=\"nas1\"} 1"), "{text}");
        assert!(
            text.contains("bindery_nfs_calls_not_sent_total{reason=\"down\"} 1"),
            "{text}"
        );
        assert_eq!(scene.look("nas2", LONG).await, Ok(None), "another server is asked");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_callers_receive_a_recovery_without_a_call() {
    let scene = Scene::new();
    let mut recoveries = Box::pin(scene.breaker.outages().recoveries());
    scene.down("nas1", Behavior::Hangs).await;
    assert!(poll!(recoveries.next()).is_pending());
    scene.fake.repair("nas1");
    let recovery = recoveries.next().await.unwrap();
    assert_eq!(recovery, Recovery::One(Endpoint::nfs(&share("nas1"))));
    assert!(recovery.may_concern("nas1") && !recovery.may_concern("nas2"));
    // The announcement comes after the change: a call at once succeeds.
    assert_eq!(scene.look("nas1", LONG).await, Ok(None));
    assert!(!scene.is_down("nas1") && !scene.metrics.text().contains("nas1"));
}

#[tokio::test(start_paused = true)]
async fn one_call_without_an_answer_does_not_mean_that_the_server_is_down() {
    let scene = Scene::new();
    let mut recoveries = Box::pin(scene.breaker.outages().recoveries());
    scene.fake.set("nas1", Behavior::Hangs);
    scene.look("nas1", Duration::from_millis(100)).await.unwrap_err();
    assert!(!scene.is_down("nas1"), "the caller's deadline was short");
    let sent = scene.fake.sent();
    scene.look("nas1", Duration::from_millis(100)).await.unwrap_err();
    assert!(
        scene.fake.sent() > sent,
        "calls are sent while the probe is in progress"
    );
    // It was slow for a moment: the probe is answered.
    scene.fake.repair("nas1");
    advance(LONG).await;
    assert_eq!(scene.look("nas1", LONG).await, Ok(None));
    assert!(!scene.is_down("nas1"));
    assert!(poll!(recoveries.next()).is_pending(), "there was no outage");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_with_an_error_is_up() {
    for behavior in [Behavior::Busy, Behavior::ReadOnly] {
        let scene = Scene::new();
        scene.fake.set("nas1", behavior);
        for _ in 0..5 {
            scene.look("nas1", LONG).await.unwrap_err();
        }
        assert_eq!(scene.fake.sent(), 5, "no probe");
        scene.down("nas1", Behavior::Refuses).await;
        scene.fake.set("nas1", behavior);
        scene.until(|| !scene.is_down("nas1")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_earlier_call_ends_the_outage() {
    let scene = Scene::new();
    scene.fake.set("nas1", Behavior::Hangs);
    let mut in_progress = Box::pin(scene.look("nas1", LONG * 3));
    assert!(poll!(&mut in_progress).is_pending());
    scene.down("nas1", Behavior::Hangs).await;
    assert!(poll!(&mut in_progress).is_pending(), "it is not interrupted");
    scene.fake.repair("nas1");
    assert_eq!(in_progress.await, Ok(None));
    assert!(!scene.is_down("nas1"));
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_remains_does_not_count_as_an_answer() {
    let scene = Scene::new();
    scene.down("nas1", Behavior::OnlyTreesRemain).await;
    scene.fake.repair("nas1");
    scene.until(|| !scene.is_down("nas1")).await;
    scene.fake.set("nas1", Behavior::OnlyTreesRemain);
    scene.look("nas1", Duration::from_secs(1)).await.unwrap_err();
    let (share, data) = (share("nas1"), Directory::parse("data").unwrap());
    let tree = scene.breaker.remove_tree(&share, &data, Instant::now() + LONG).await;
    assert_eq!(tree, Ok(Tree::Remains));
    scene.until(|| scene.is_down("nas1")).await;
}

#[tokio::test(start_paused = true)]
async fn calls_to_one_server_are_limited_and_the_error_says_so() {
    let scene = Scene::new();
    scene.fake.set("nas1", Behavior::Hangs);
    let in_progress: Vec<_> = (0..MAX_CALLS).map(|_| scene.look("nas1", LONG).boxed()).collect();
    let mut in_progress = futures::future::join_all(in_progress);
    assert!(poll!(&mut in_progress).is_pending());
    let error = scene.look("nas1", Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(scene.fake.sent(), MAX_CALLS);
    assert_eq!((error.fault, error.outcome), (Fault::TimedOut, Outcome::NotDone));
    assert_eq!(
        error.to_string(),
        "nas1:/export cannot be used now: 64 earlier calls to nas1 were still running at the deadline. Check \
         that the NFS server and its disks work."
    );
    assert_eq!(
        scene.look("nas2", LONG).await,
        Ok(None),
        "another server has its own limit"
    );
    let mut waits = Box::pin(scene.look("nas1", LONG));
    assert!(poll!(&mut waits).is_pending());
    scene.fake.repair("nas1");
    let (next, _) = futures::join!(waits, in_progress);
    assert_eq!(next, Ok(None), "the next call gets the permit of one that has ended");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_fails_when_the_server_is_down() {
    let scene = Scene::new();
    scene.fake.set("nas1", Behavior::Hangs);
    let mut in_progress: Vec<_> = (1..MAX_CALLS).map(|_| scene.look("nas1", LONG).boxed()).collect();
    for call in &mut in_progress {
        assert!(poll!(call).is_pending());
    }
    let began = Instant::now();
    let mut short = Box::pin(scene.look("nas1", Duration::from_secs(1)));
    assert!(poll!(&mut short).is_pending());
    in_progress.push(scene.look("nas1", LONG).boxed());
    assert!(poll!(in_progress.last_mut().unwrap()).is_pending());
    short.await.unwrap_err();
    let last = scene.look("nas1", LONG).await.unwrap_err();
    assert!(last.cause.contains("has not answered since"), "{last}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_no_longer_used_is_forgotten() {
    let scene = Scene::new();
    let mut recoveries = Box::pin(scene.breaker.outages().recoveries());
    scene.down("nas1", Behavior::Refuses).await;
    advance(FORGET_AFTER).await;
    scene.until(|| !scene.is_down("nas1")).await;
    let sent = scene.fake.sent();
    tokio::time::sleep(FORGET_AFTER).await;
    assert_eq!(scene.fake.sent(), sent, "the probe has ended");
    assert!(!scene.metrics.text().contains("nas1"));
    assert!(poll!(recoveries.next()).is_pending());
    scene.look("nas2", LONG).await.unwrap();
    assert_eq!(scene.breaker.servers.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_probe_ends_with_the_process() {
    let scene = Scene::new();
    scene.down("nas1", Behavior::Refuses).await;
    assert!(scene.tasks.drain(Duration::from_millis(1)).await);
    let sent = scene.fake.sent();
    tokio::time::sleep(FORGET_AFTER).await;
    assert_eq!(scene.fake.sent(), sent);
}

#[test]
fn version_3_and_each_mount_have_their_own_endpoints() {
    let (v4, v3) = (share("nas1"), share("nas1").over(NfsVersion::V3));
    let endpoints = [Endpoint::nfs(&v4), Endpoint::nfs(&v3), Endpoint::mount(&v4)];
    let shown: Vec<_> = endpoints.iter().map(Endpoint::to_string).collect();
    assert_eq!(shown, ["nas1", "nas1 (NFSv3)", "nas1:/export (mounted)"]);
    let other = Share::parse("nas1", "/other").unwrap();
    assert_eq!(Endpoint::nfs(&v4), Endpoint::nfs(&other));
    assert_ne!(Endpoint::mount(&v4), Endpoint::mount(&other));
}

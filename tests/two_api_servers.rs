//! Two API servers on one etcd, as in a cluster with several control plane nodes. The tests create objects through the first
//! one. kube-controller-manager and the bed's Bindery use the second one.
//!
//! This is a separate binary with its own test bed, which `make two-api-servers` starts. The tests run one after the other,
//! since one of them stops the API servers.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use rustix::process::Signal;
use serde_json::json;
use tokio::task::AbortHandle;

#[path = "support/api_server.rs"]
mod api_server;
/// The tests of replicas, with the replicas and their users on different API servers.
#[path = "replicas.rs"]
mod replicas;
#[path = "support/mod.rs"]
#[allow(unused)]
mod support;

use crate::api_server::ApiServer;
use crate::support::bed::Bed;
use crate::support::scene::{Scene, from, volume_name};
use crate::support::wait::{self, eventually, eventually_within};

/// Clients that create and delete claims at the same time, and the pause of each between two claims. Together they are slower
/// than kube-controller-manager, so that the queue of claims does not grow.
const CLIENTS: usize = 2;
const PACE: Duration = Duration::from_millis(200);
/// A client deletes a claim after it has created this number of further ones.
const KEPT: usize = 4;
/// Time limit for the work that is left when both API servers run again.
const PATIENCE: Duration = Duration::from_mins(3);

/// The claims that were seen with phase `Lost`.
struct LostClaims {
    seen: Arc<Mutex<BTreeSet<String>>>,
    watches: Vec<AbortHandle>,
}

impl LostClaims {
    /// Watches the claims of a namespace through both API servers.
    fn watch(clients: [&Client; 2], namespace: &str) -> Self {
        let seen: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let watches = clients.map(|client| {
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
            let seen = Arc::clone(&seen);
            let watch = tokio::spawn(async move {
                let changes = watcher(claims, watcher::Config::default()).default_backoff();
                let mut changes = pin!(changes.applied_objects());
                while let Some(change) = changes.next().await {
                    let Ok(claim) = change else { continue };
                    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
                    if phase == Some("Lost") {
                        seen.lock().insert(claim.name_any());
                    }
                }
            });
            watch.abort_handle()
        });
        Self {
            seen,
            watches: watches.into(),
        }
    }
}

impl Drop for LostClaims {
    fn drop(&mut self) {
        for watch in &self.watches {
            watch.abort();
        }
    }
}

/// Creates a claim, with retries while the API server is down. Returns the message if the claim is refused.
async fn create(scene: &Scene, name: &str) -> Option<String> {
    let (claims, claim) = (scene.claims(), from(scene.claim(name)));
    eventually(&format!("claim {name} is created"), async || {
        match claims.create(&PostParams::default(), &claim).await {
            Ok(_) => Some(None),
            // An earlier attempt was stored, but not answered.
            Err(kube::Error::Api(status)) if status.code == 409 => Some(None),
            Err(kube::Error::Api(status)) if status.message.contains("denied the request") => {
                Some(Some(status.message.clone()))
            }
            // The API server is down, or cannot reach etcd yet.
            Err(_) => None,
        }
    })
    .await
}

/// Deletes a claim, with retries while the API server is down.
async fn delete(scene: &Scene, name: &str) {
    let claims = scene.claims();
    eventually(&format!("claim {name} is deleted"), async || {
        match claims.delete(name, &DeleteParams::default()).await {
            Ok(_) => Some(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Some(()),
            Err(_) => None,
        }
    })
    .await;
}

/// Creates and deletes claims until `stop`. Returns the claims that are left, and the messages of refusals.
async fn load(scene: &Scene, prefix: &str, stop: &AtomicBool) -> (Vec<String>, Vec<String>) {
    let (mut left, mut refusals) = (Vec::new(), Vec::new());
    for number in 0.. {
        let name = format!("{prefix}-{number}");
        refusals.extend(create(scene, &name).await);
        left.push(name);
        if left.len() > KEPT {
            delete(scene, &left.remove(0)).await;
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep(PACE).await;
    }
    (left, refusals)
}

async fn until_ready(client: &Client, server: &str) {
    eventually(&format!("{server} is ready"), async || {
        let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
        client.request_text(request).await.ok()
    })
    .await;
}

/// Returns the messages of Events with which kube-controller-manager reports a bound claim that has lost its volume.
async fn reported_losses(scene: &Scene) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(scene.client.clone(), &scene.name);
    let events = events.list(&ListParams::default()).await.expect("Events").items;
    let is_loss = |event: &Event| ["ClaimLost", "ClaimMisbound"].contains(&event.reason.as_deref().unwrap_or_default());
    events
        .into_iter()
        .filter(is_loss)
        .filter_map(|event| event.message)
        .collect()
}

fn trash() -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(Bed::get().export.join(".bindery-trash"));
    let names = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").file_name());
    names.collect()
}

#[tokio::test]
async fn no_claim_is_refused_or_lost_and_nothing_is_left_while_each_of_two_api_servers_restarts() {
    let scene = Scene::with_class(json!({"parameters": {"onDelete": "delete"}})).await;
    let second = Bed::get().admin_as("another").await;
    let lost = LostClaims::watch([&scene.client, &second], &scene.name);
    let mut servers = ["apiserver", "apiserver-2"].map(ApiServer::of_the_bed);
    let clients = [&scene.client, &second];
    let (mut left, mut refusals) = (Vec::new(), Vec::new());
    for (turn, signal) in [Signal::KILL, Signal::TERM].into_iter().enumerate() {
        for (number, server) in servers.iter_mut().enumerate() {
            let stop = AtomicBool::new(false);
            let prefixes: Vec<_> = (0..CLIENTS)
                .map(|client| format!("turn-{turn}-{number}-{client}"))
                .collect();
            let loads = join_all(prefixes.iter().map(|prefix| load(&scene, prefix, &stop)));
            let restarted = async {
                let claims = scene.claims();
                eventually("claims come and go", async || {
                    let created = format!("{}-{KEPT}", prefixes[0]);
                    claims.get_opt(&created).await.ok().flatten()
                })
                .await;
                server.restart(signal).await;
                until_ready(clients[number], ["apiserver", "apiserver-2"][number]).await;
                stop.store(true, Ordering::Relaxed);
            };
            let (loads, ()) = tokio::join!(loads, restarted);
            for (claims, refused) in loads {
                left.extend(claims);
                refusals.extend(refused);
            }
        }
    }
    assert_eq!(refusals, Vec::<String>::new(), "refused for a fault that passes");

    eventually_within(
        PATIENCE,
        "every claim is bound, and there is no other volume",
        async || {
            let claims = scene.claims().list(&ListParams::default()).await.ok()?.items;
            let volumes = scene.own_volumes().await;
            let named = |claim: &PersistentVolumeClaim| {
                let is_bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
                claim.spec.as_ref()?.volume_name.clone().filter(|_| is_bound)
            };
            let named: BTreeSet<_> = claims.iter().filter_map(named).collect();
            let there = volumes.iter().map(|volume| volume_name(volume).to_owned()).collect();
            (claims.len() == left.len() && named.len() == left.len() && named == there).then_some(())
        },
    )
    .await;
    assert_eq!(scene.own_directories().len(), left.len(), "a directory for each volume");
    assert_eq!(*lost.seen.lock(), BTreeSet::new(), "claims that were Lost for a moment");
    assert_eq!(reported_losses(&scene).await, Vec::<String>::new());

    for name in &left {
        delete(&scene, name).await;
    }
    eventually_within(PATIENCE, "no volume, no directory and no trash is left", async || {
        let is_empty = scene.own_volumes().await.is_empty() && scene.own_directories().is_empty() && trash().is_empty();
        is_empty.then_some(())
    })
    .await;
}

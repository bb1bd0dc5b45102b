//! Binding: a claim is bound fast, and its phase is always Pending or Bound.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{WatchEvent, WatchParams};
use serde_json::{Value, json};

use crate::support::audit;
use crate::support::bindery::{Bindery, get};
use crate::support::scene::Scene;
use crate::support::wait::eventually;

#[tokio::test]
async fn every_binder_mode_binds_claims_and_no_claim_becomes_lost() {
    for mode in ["off", "uid", "complete"] {
        let bindery = Bindery::start(&[&format!("--binder={mode}")]).await;
        let mut completed = false;
        // In one burst kube-controller-manager may complete all claims before Bindery. In five bursts that is unlikely.
        for _ in 0..5 {
            burst(&Scene::of(&bindery.provisioner).await).await;
            let metrics = get(bindery.admin(), "/metrics").await.unwrap();
            completed = metrics.contains(r#"bindery_volume_steps_total{outcome="completed"}"#);
            if completed || mode != "complete" {
                break;
            }
        }
        assert_eq!(completed, mode == "complete", "{mode}");
        bindery.unregister().await;
    }
}

#[tokio::test]
async fn bindery_reads_a_claim_only_once_before_it_exists() {
    let bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    scene.bound(scene.claim("data")).await;
    let claim = format!("/api/v1/namespaces/{}/persistentvolumeclaims/data", scene.name);
    let reads = |code: u64| {
        let reads = |call: &Value| {
            (&call["verb"], &call["requestURI"], &call["responseStatus"]["code"])
                == (&json!("get"), &json!(claim), &json!(code))
        };
        audit::calls().iter().filter(|call| reads(call)).count()
    };
    eventually("the binder has read the claim", async || (reads(200) > 0).then_some(())).await;
    // One read in the review. After that, Bindery waits for the event of the watch.
    assert_eq!(reads(404), 1);
    bindery.unregister().await;
}

/// Creates claims, eight at a time, and watches them until they are bound.
async fn burst(scene: &Scene) {
    let names: Vec<String> = (0..20).map(|turn| format!("data-{turn}")).collect();
    let seen = watch_until_bound(scene, names.len());
    let create = async {
        let created = futures::stream::iter(&names).map(|name| scene.create(scene.claim(name)));
        created.buffer_unordered(8).try_collect::<Vec<_>>().await.unwrap();
        for name in &names {
            scene.until_bound(name).await;
        }
    };
    let (seen, ()) = futures::join!(seen, create);
    assert_eq!(seen, BTreeSet::from(["Bound".to_owned(), "Pending".to_owned()]));
}

/// Watches the claims of the scene until `count` are bound. Returns all phases that were seen.
async fn watch_until_bound(scene: &Scene, count: usize) -> BTreeSet<String> {
    let claims = scene.claims();
    let mut changes = claims.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let (mut seen, mut bound) = (BTreeSet::new(), BTreeSet::new());
    while bound.len() < count {
        let change = changes.next().await.expect("the watch goes on").expect("a change");
        if let WatchEvent::Added(claim) | WatchEvent::Modified(claim) = change {
            let phase = phase(&claim);
            if phase == "Bound" {
                bound.insert(claim.metadata.name.clone());
            }
            seen.insert(phase);
        }
    }
    seen
}

fn phase(claim: &PersistentVolumeClaim) -> String {
    let phase = claim.status.as_ref().and_then(|status| status.phase.clone());
    phase.unwrap_or("Pending".to_owned())
}

#[tokio::test]
async fn a_claim_completed_by_bindery_looks_like_one_bound_by_the_controller_manager() {
    let scene = Scene::new().await;
    let asked = scene.claim_with(
        "data",
        json!({"spec": {"accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}}),
    );
    let (claim, volume) = scene.bound(asked).await;
    let annotations = claim.metadata.annotations.unwrap();
    assert_eq!(
        annotations.get("pv.kubernetes.io/bind-completed").map(String::as_str),
        Some("yes")
    );
    let (status, spec) = (claim.status.unwrap(), volume.spec.unwrap());
    assert_eq!(
        (status.access_modes, status.capacity),
        (spec.access_modes, spec.capacity)
    );
}

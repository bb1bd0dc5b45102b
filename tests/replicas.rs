//! Several replicas: all answer reviews, one leads, and another one takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, directory, from, volume_name};
use crate::support::wait::eventually;

#[tokio::test]
async fn another_replica_takes_over_at_once_when_the_leader_stops() {
    let mut first = Bindery::start(&[]).await;
    let scene = Scene::of(&first.provisioner).await;
    let leader = first.until_led().await;
    let second = first.replica().await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    first.terminate();
    assert!(first.until_exit().await.success());
    let began = std::time::Instant::now();
    let next = first.until_another_leads(&leader).await;
    // The Lease lasts 15 s.
    assert!(began.elapsed().as_secs() < 10, "{next} waited {:?}", began.elapsed());
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    drop(second);
    first.unregister().await;
}

#[tokio::test]
async fn another_replica_takes_over_when_the_leader_dies() {
    let mut first = Bindery::start(&[]).await;
    let scene = Scene::of(&first.provisioner).await;
    first.until_led().await;
    let second = first.replica().await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    first.kill();
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    drop(second);
    first.unregister().await;
}

#[tokio::test]
async fn two_replicas_that_admit_one_claim_in_parallel_create_one_volume() {
    let first = Bindery::start(&["--orphan-grace=4s"]).await;
    let second = first.replica().await;
    first.split_reviews_with(&second, "second").await;
    let scene = Scene::of(&first.provisioner).await;
    let clients = [scene.client.clone(), Bed::get().admin_as("second").await];
    for turn in 0..5 {
        let claim = scene.claim(&format!("data-{turn}"));
        let apply = (0..10).map(|number| {
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(clients[number % 2].clone(), &scene.name);
            let claim = &claim;
            async move {
                let parameters = PatchParams::apply(&format!("client-{number}")).force();
                claims
                    .patch(
                        claim["metadata"]["name"].as_str().unwrap(),
                        &parameters,
                        &Patch::Apply(claim),
                    )
                    .await
            }
        });
        for applied in futures::future::join_all(apply).await {
            applied.unwrap();
        }
        scene.until_bound(&format!("data-{turn}")).await;
    }
    for replica in [&first, &second] {
        assert!(replica.log().contains(" provisioned "), "each got reviews");
    }
    eventually("five volumes and five directories are left", async || {
        (scene.own_volumes().await.len() == 5 && scene.own_directories().len() == 5).then_some(())
    })
    .await;
    first.unregister().await;
}

/// Creates two claims with these directories at the same time, each through another replica. Returns the names of the
/// admitted claims, and the messages for the refused ones.
async fn create_in_parallel(
    scene: &Scene,
    clients: &[Client; 2],
    turn: &str,
    paths: [&str; 2],
) -> (Vec<String>, Vec<String>) {
    let creates = [0, 1].map(|number| {
        let annotations = json!({"example.com/path": format!("{turn}/{}", paths[number])});
        let name = format!("{turn}-{number}");
        let claim = scene.claim_with(&name, json!({"metadata": {"annotations": annotations}}));
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(clients[number].clone(), &scene.name);
        async move {
            let created = claims.create(&PostParams::default(), &from(claim)).await;
            created.map(|_| name).map_err(|error| error.to_string())
        }
    });
    let (mut admitted_names, mut refusals) = (Vec::new(), Vec::new());
    for created in futures::future::join_all(creates).await {
        match created {
            Ok(name) => admitted_names.push(name),
            Err(error) => refusals.push(error),
        }
    }
    (admitted_names, refusals)
}

#[tokio::test]
async fn two_replicas_admit_one_of_two_claims_with_overlapping_directories() {
    let first = Bindery::start(&[]).await;
    let second = first.replica().await;
    first.split_reviews_with(&second, "second").await;
    let template = json!({"pathPattern": "${.PVC.namespace}/${.PVC.annotations.example.com/path}"});
    let scene = Scene::of_with(&first.provisioner, json!({"parameters": template})).await;
    let clients = [scene.client.clone(), Bed::get().admin_as("second").await];
    let mut admitted = Vec::new();
    for turn in 0..5 {
        let (admitted_names, refusals) =
            create_in_parallel(&scene, &clients, &format!("same-{turn}"), ["a", "a"]).await;
        assert_eq!(
            (admitted_names.len(), refusals.len()),
            (1, 1),
            "{admitted_names:?} {refusals:?}"
        );
        let (_, volume) = scene.until_bound(&admitted_names[0]).await;
        let owner = format!(
            "belongs to volume {}, which claim {}/{} uses",
            volume_name(&volume),
            scene.name,
            admitted_names[0]
        );
        assert!(refusals[0].contains(&owner), "{}", refusals[0]);
        admitted.extend(admitted_names);
    }
    for turn in 0..5 {
        // Each replica may have seen the claim of the other one; then both refuse.
        let (admitted_names, refusals) =
            create_in_parallel(&scene, &clients, &format!("overlap-{turn}"), ["a", "a/b"]).await;
        assert!(!refusals.is_empty(), "{admitted_names:?}");
        for refusal in refusals {
            assert!(
                refusal.contains(" overlaps with directory ") && refusal.contains(", which claim "),
                "{refusal}"
            );
        }
        for name in &admitted_names {
            scene.until_bound(name).await;
        }
        admitted.extend(admitted_names);
    }
    for replica in [&first, &second] {
        assert!(
            replica.log().contains(" denied: ") || replica.log().contains(" provisioned "),
            "each got reviews"
        );
    }
    eventually("only the volumes of the admitted claims are left", async || {
        (scene.own_volumes().await.len() == admitted.len()).then_some(())
    })
    .await;
    first.unregister().await;
}

#[tokio::test]
async fn a_paused_leader_does_no_harm_when_it_resumes() {
    let first = Bindery::start(&[]).await;
    let parameters = json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}", "onDelete": "delete"});
    let scene = Scene::of_with(&first.provisioner, json!({"parameters": parameters})).await;
    let leader = first.until_led().await;
    let (_, old) = scene.bound(scene.claim("data")).await;
    std::fs::write(directory(&old).join("old"), "").unwrap();
    let second = first.replica().await;
    // The webhook of the paused process must not delay the requests.
    first.unregister().await;
    // The leader is paused in the middle of the cleanup.
    scene.delete("data").await;
    first.pause();
    first.until_another_leads(&leader).await;
    scene.until_gone(&old).await;
    // The other replica provisions the claim.
    scene.create(scene.claim("data")).await.unwrap();
    let (_, new) = scene.until_bound("data").await;
    std::fs::write(directory(&new).join("new"), "").unwrap();
    first.resume();
    first.until_log("lost the Lease").await;
    assert!(directory(&new).join("new").exists());
    drop(second);
}

#[tokio::test]
async fn a_rolling_restart_under_load_loses_no_claim() {
    let mut first = Bindery::start(&["--orphan-grace=15s"]).await;
    let mut second = first.replica().await;
    first.split_reviews_with(&second, "second").await;
    let scene = Scene::of(&first.provisioner).await;
    let clients = [scene.client.clone(), Bed::get().admin_as("second").await];
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (stop, namespace, template) = (Arc::clone(&stop), scene.name.clone(), scene.claim("data"));
        async move {
            let mut created = 0;
            while !stop.load(Ordering::Relaxed) {
                let claims: Api<PersistentVolumeClaim> = Api::namespaced(clients[created % 2].clone(), &namespace);
                let mut claim = template.clone();
                claim["metadata"]["name"] = json!(format!("data-{created}"));
                claims
                    .create(&PostParams::default(), &from(claim))
                    .await
                    .expect("every request succeeds");
                created += 1;
            }
            created
        }
    });
    let count = async || scene.claims().list(&ListParams::default()).await.unwrap().items.len();
    for replica in [&mut first, &mut second] {
        replica.terminate();
        assert!(replica.until_exit().await.success());
        let before = count().await;
        eventually("some claims are created without a volume", async || {
            (count().await > before + 3).then_some(())
        })
        .await;
        replica.run().await;
    }
    stop.store(true, Ordering::Relaxed);
    let created = load.await.unwrap();
    for turn in 0..created {
        let (_, volume) = scene.until_bound(&format!("data-{turn}")).await;
        assert!(directory(&volume).is_dir());
    }
    eventually("each claim has a volume, and there is no other volume", async || {
        (scene.own_volumes().await.len() == created).then_some(())
    })
    .await;
    first.unregister().await;
}

//! Start, stop and crash of the process. Work that has begun is completed later.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, from};
use crate::support::wait::eventually;

/// Returns a class that refuses claims while the NFS server does not answer.
fn denying() -> Value {
    json!({"parameters": {"onStorageFailure": "deny"}})
}

#[tokio::test]
async fn sigterm_ends_the_process_with_success() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    scene.bound(scene.claim("data")).await;
    bindery.terminate();
    assert!(bindery.until_exit().await.success());
    assert!(bindery.log().contains("stopped"));
    bindery.unregister().await;
}

#[tokio::test]
async fn a_review_in_progress_is_answered_before_the_process_ends() {
    // An NFS server that never answers: the review takes until its deadline.
    let silent = TcpListener::bind("127.0.0.1:2049").unwrap();
    let mut bindery = Bindery::start(&["--deadline=3s"]).await;
    let parameters = json!({"server": "127.0.0.1", "onStorageFailure": "deny"});
    let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
    let create = tokio::spawn({
        let (claims, claim) = (scene.claims(), from(scene.claim("data")));
        async move { claims.create(&PostParams::default(), &claim).await }
    });
    let (_connection, _) = tokio::task::spawn_blocking(move || silent.accept().unwrap())
        .await
        .unwrap();
    bindery.terminate();
    let answer = create.await.unwrap().unwrap_err().to_string();
    assert!(
        answer.contains("denied the request") && answer.contains("127.0.0.1"),
        "{answer}"
    );
    assert!(bindery.until_exit().await.success());
    scene.assert_nothing_made().await;
    bindery.unregister().await;
}

#[tokio::test]
async fn claims_are_admitted_while_the_webhook_is_down() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    bindery.kill();
    let claim = scene.create(scene.claim("data")).await.unwrap();
    assert_eq!(claim.spec.unwrap().volume_name, None);
    bindery.unregister().await;
}

#[tokio::test]
async fn a_claim_deleted_while_bindery_is_down_is_cleaned_up_after_the_restart() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    bindery.kill();
    scene.delete("data").await;
    scene.until_released(&volume).await;
    assert!(directory(&volume).exists());
    bindery.run().await;
    scene.until_gone(&volume).await;
    assert!(!directory(&volume).exists());
    bindery.unregister().await;
}

#[tokio::test]
async fn a_volume_without_directory_gets_it_after_the_restart() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let claim = scene.create(scene.claim("data")).await.unwrap();
    bindery.kill();
    // This simulates that Bindery died after it created the volume and before it created the directory, and that the claim
    // was bound.
    let name = claim.spec.unwrap().volume_name.unwrap();
    let unready = json!({"metadata": {"annotations": {"bindery.dev/ready": null, "bindery.dev/directory-id": null}}});
    scene.patch_volume(&name, unready).await;
    let path = directory(&scene.volumes().get(&name).await.unwrap());
    std::fs::remove_dir_all(&path).unwrap();
    bindery.run().await;
    let (_, volume) = scene.until_bound("data").await;
    assert!(path.is_dir());
    assert!(annotation(&volume, "directory-id").is_some());
    bindery.unregister().await;
}

#[tokio::test]
async fn a_crash_during_a_burst_loses_no_claim_that_has_a_volume() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let creates: Vec<_> = (0..24)
        .map(|turn| {
            let (claims, claim) = (scene.claims(), from(scene.claim(&format!("data-{turn}"))));
            tokio::spawn(async move { claims.create(&PostParams::default(), &claim).await.unwrap() })
        })
        .collect();
    eventually("some claims have their volume", async || {
        let claims = scene.claims().list(&ListParams::default()).await.unwrap();
        let given = |claim: &PersistentVolumeClaim| claim.spec.as_ref().unwrap().volume_name.is_some();
        claims.items.iter().any(given).then_some(())
    })
    .await;
    bindery.kill();
    let mut given = Vec::new();
    for create in creates {
        let claim = create.await.unwrap();
        given.extend(claim.spec.unwrap().volume_name.and(claim.metadata.name));
    }
    assert!(!given.is_empty());
    bindery.run().await;
    for name in given {
        let (_, volume) = scene.until_bound(&name).await;
        assert!(directory(&volume).is_dir(), "{name}");
    }
    bindery.unregister().await;
}

#[tokio::test]
async fn a_review_ends_at_its_deadline_and_names_the_nfs_server_that_does_not_answer() {
    let server = TcpListener::bind("127.0.0.2:2049").unwrap();
    let bindery = Bindery::start(&["--nfs-server=127.0.0.2", "--deadline=1s"]).await;
    let scene = Scene::of_with(&bindery.provisioner, denying()).await;
    let began = Instant::now();
    let refused = scene.refused(scene.claim("data")).await;
    // The limit is far above the deadline of Bindery and far below the timeout of the API server (10 s).
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(
        refused.contains("127.0.0.2") && refused.contains("in time"),
        "{refused}"
    );
    scene.assert_nothing_made().await;
    drop(server);
    bindery.unregister().await;
}

#[tokio::test]
async fn a_refusal_names_the_unreachable_nfs_server() {
    let bindery = Bindery::start(&["--nfs-server=127.0.0.3"]).await;
    let scene = Scene::of_with(&bindery.provisioner, denying()).await;
    let refused = scene.refused(scene.claim("data")).await;
    assert!(
        refused.contains("127.0.0.3") && refused.contains("refused"),
        "{refused}"
    );
    scene.assert_nothing_made().await;
    bindery.unregister().await;
}

//! Several replicas: all answer, one leads, and another takes over.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::relay::{Fate, Relay};
use crate::support::scene::{Scene, directory, mark, volume_name};
use crate::support::wait::eventually;

async fn holder(bindery: &Bindery, scene: &Scene) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(scene.client.clone(), "bindery");
    leases.get_opt(&bindery.name).await.unwrap()?.spec?.holder_identity
}

#[tokio::test]
async fn another_replica_takes_over_at_once_when_the_leader_stops() {
    let mut first = Bindery::start(&[]).await;
    let scene = Scene::of(&first.provisioner).await;
    let leader = eventually("somebody leads", async || holder(&first, &scene).await).await;
    let second = first.replica().await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    first.terminate();
    assert!(first.ended().await.success());
    let began = std::time::Instant::now();
    let next = eventually("another leads", async || {
        holder(&first, &scene).await.filter(|next| *next != leader)
    })
    .await;
    // The duration of the Lease is 15 s.
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
    eventually("somebody leads", async || holder(&first, &scene).await).await;
    let second = first.replica().await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    first.kill();
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    drop(second);
    first.unregister().await;
}

#[tokio::test]
async fn two_replicas_that_admit_one_claim_at_once_end_with_one_volume() {
    let first = Bindery::start(&["--orphan-grace=4s"]).await;
    let second = first.replica().await;
    first.share_with(&second, "second").await;
    let scene = Scene::of(&first.provisioner).await;
    let clients = [scene.client.clone(), Bed::get().admin_called("second").await];
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
        assert!(replica.log().contains(" provisioned "), "each was asked");
    }
    eventually("five volumes and five directories are left", async || {
        (scene.own_volumes().await.len() == 5 && scene.own_directories().len() == 5).then_some(())
    })
    .await;
    first.unregister().await;
}

#[tokio::test]
async fn a_leader_that_was_paused_harms_nothing_when_it_goes_on() {
    let first = Bindery::start(&[]).await;
    let parameters = json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}", "onDelete": "delete"});
    let scene = Scene::of_with(&first.provisioner, json!({"parameters": parameters})).await;
    let leader = eventually("somebody leads", async || holder(&first, &scene).await).await;
    let (_, old) = scene.bound(scene.claim("data")).await;
    std::fs::write(directory(&old).join("old"), "").unwrap();
    let second = first.replica().await;
    // It has heard that the claim is gone, and stands somewhere in the middle of the cleanup.
    scene.delete("data").await;
    first.pause();
    eventually("another leads", async || {
        holder(&first, &scene).await.filter(|next| *next != leader)
    })
    .await;
    scene.until_gone(&old).await;
    // Without the one webhook that is known, the other replica catches up.
    first.unregister().await;
    scene.create(scene.claim("data")).await.unwrap();
    let (_, new) = scene.until_bound("data").await;
    std::fs::write(directory(&new).join("new"), "").unwrap();
    first.resume();
    first.until_log("leads no more").await;
    assert!(directory(&new).join("new").exists());
    drop(second);
}

/// A RENAME of a leader that is paused then reaches the server when another replica has finished the volume, and a later
/// one has its path, and the number of its directory.
async fn a_late_rename(on_delete: &str, pattern: &str, retention: &str, end: impl AsyncFnOnce(&mut Bindery)) {
    // One that had forgotten the leader by then would answer BADSESSION.
    let server = Ganesha::start_patient();
    let relay = Relay::to(&server);
    let nfs_server = format!("--nfs-server={}", relay.address());
    let mut first = Bindery::start(&[&nfs_server, retention]).await;
    let parameters = json!({
        "subDir": "${pvc.metadata.namespace}-${pvc.metadata.name}",
        "existingDirectory": "adopt",
        "onDelete": on_delete,
    });
    let scene = Scene::of_with(&first.provisioner, json!({"parameters": parameters})).await;
    let leader = eventually("somebody leads", async || holder(&first, &scene).await).await;
    let (_, old) = scene.bound(scene.claim("data")).await;
    let path = server.export_dir().join(mark(&old, "sub-dir").unwrap());
    let second = first.replica().await;

    relay.plan(pattern, 0, 1, Fate::Held);
    scene.delete("data").await;
    eventually("the RENAME is on its way", async || (relay.met() == 1).then_some(())).await;
    first.pause();
    // File systems give the number of a directory that is gone to the next one that is made, if nobody else is faster. So
    // that it is certain, the very directory comes back.
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    eventually("another leads", async || {
        holder(&first, &scene).await.filter(|next| *next != leader)
    })
    .await;
    scene.until_gone(&old).await;
    // Without the one webhook that is known, the other replica catches up.
    first.unregister().await;
    std::fs::rename(&aside, &path).unwrap();
    scene.create(scene.claim("data")).await.unwrap();
    let (_, new) = scene.until_bound("data").await;
    assert_eq!(volume_name(&old), volume_name(&new));
    assert_eq!(mark(&old, "directory-id"), mark(&new, "directory-id"));
    std::fs::write(path.join("new"), "precious").unwrap();

    relay.go_on();
    eventually("the RENAME has hit the later volume", async || {
        (!path.exists()).then_some(())
    })
    .await;
    end(&mut first).await;
    eventually("it is put back", async || path.join("new").exists().then_some(())).await;
    drop(second);
}

#[tokio::test]
async fn a_rename_that_comes_late_is_undone_by_the_leader_that_was_paused() {
    a_late_rename("delete", ".pvc-", "--retention-interval=1h", async |first| {
        first.resume()
    })
    .await;
}

#[tokio::test]
async fn a_rename_that_comes_late_is_undone_by_another_when_the_leader_that_was_paused_dies() {
    a_late_rename("archive", "archived-", "--retention-interval=200ms", async |first| {
        first.kill()
    })
    .await;
}

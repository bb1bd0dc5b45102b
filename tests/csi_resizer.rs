//! Expansion of volumes that a CSI driver mounts, beside csi-resizer of the driver.

use serde_json::{Value, json};

use crate::expansion::{request_size, until_size};
use crate::support::bindery::Bindery;
use crate::support::csi::{install, source};
use crate::support::driver::{ALONE, DRIVER, Resizer};
use crate::support::scene::{Scene, directory};
use crate::support::wait::eventually;

/// Returns the fields of a class whose volumes the driver mounts.
fn class() -> Value {
    json!({"parameters": {"volumeSource": "csi"}, "allowVolumeExpansion": true})
}

/// Waits until nothing reports an expansion in progress on a claim.
async fn until_settled(scene: &Scene, claim: &str) {
    eventually(&format!("claim {claim} has no condition"), async || {
        let status = scene.claims().get(claim).await.unwrap().status?;
        let left = status.allocated_resource_statuses.unwrap_or_default();
        (status.conditions.unwrap_or_default().is_empty() && left.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn both_may_expand_a_volume_and_it_ends_with_the_size_of_the_last_request() {
    let _alone = ALONE.lock().await;
    install(DRIVER).await;
    let resizer = Resizer::start();
    let scene = Scene::with_class(class()).await;
    let claims: Vec<String> = (0..6).map(|number| format!("data-{number}")).collect();
    let mut ids = Vec::new();
    for claim in &claims {
        let (_, volume) = scene.bound(scene.claim(claim)).await;
        std::fs::write(directory(&volume).join("file"), "content").unwrap();
        ids.push((source(&volume).volume_handle.clone(), volume));
    }
    let mut size = 1;
    let has_begun = |size| (2..=size).any(|size| ids.iter().any(|(id, _)| resizer.has_expanded(id, size << 30)));
    while size < 6 || !has_begun(size) {
        assert!(size < 50, "csi-resizer serves no request");
        size += 1;
        for claim in &claims {
            request_size(&scene, claim, &format!("{size}Gi")).await.unwrap();
        }
        for claim in &claims {
            until_size(&scene, claim, &format!("{size}Gi")).await;
        }
    }
    // What csi-resizer began is written now, or never.
    drop(resizer);
    for (claim, (_, volume)) in claims.iter().zip(&ids) {
        until_size(&scene, claim, &format!("{size}Gi")).await;
        until_settled(&scene, claim).await;
        let content = std::fs::read_to_string(directory(volume).join("file")).unwrap();
        assert_eq!(content, "content");
    }
}

#[tokio::test]
async fn a_size_that_csi_resizer_writes_too_late_does_not_stay() {
    let _alone = ALONE.lock().await;
    install(DRIVER).await;
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of_with(&bindery.provisioner, class()).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let id = volume.spec.unwrap().csi.unwrap().volume_handle;
    bindery.kill();
    let resizer = Resizer::start();
    resizer.hold();
    request_size(&scene, "data", "2Gi").await.unwrap();
    eventually("csi-resizer asks the driver for 2Gi", async || {
        resizer.has_expanded(&id, 2 << 30).then_some(())
    })
    .await;
    bindery.run().await;
    until_size(&scene, "data", "2Gi").await;
    request_size(&scene, "data", "3Gi").await.unwrap();
    until_size(&scene, "data", "3Gi").await;

    resizer.release();
    // It writes 2Gi to the volume, and then fails to write it to the claim, which was changed.
    let why = scene.event("data", "VolumeResizeFailed").await;
    assert!(why.contains("the object has been modified"), "{why}");
    until_size(&scene, "data", "3Gi").await;
    until_settled(&scene, "data").await;
    bindery.unregister().await;
}

//! A class of csi-driver-nfs beside a class of Bindery whose volumes the driver mounts. Neither touches the volumes of the
//! other one. The driver decides with the library of external-provisioner: see `tests/bed/csi-driver`.

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Resource;
use serde_json::{Value, json};

use crate::expansion::{request_size, until_size};
use crate::support::audit;
use crate::support::bed::Bed;
use crate::support::csi::{install, source};
use crate::support::driver::{ALONE, DRIVER, Provisioner, Resizer};
use crate::support::scene::{Scene, directory, volume_name};
use crate::support::wait::eventually;

/// Returns the volume of a claim, bound by whoever created it.
async fn volume_of(scene: &Scene, claim: &str) -> PersistentVolume {
    eventually(&format!("claim {claim} is bound"), async || {
        let claim = scene.claims().get(claim).await.unwrap();
        (claim.status?.phase? == "Bound").then_some(())?;
        scene.volumes().get(&claim.spec?.volume_name?).await.ok()
    })
    .await
}

/// Returns the id by which the driver knows a volume.
fn id(volume: &PersistentVolume) -> &str {
    &source(volume).volume_handle
}

/// Whether a program of the driver has written to an object.
fn is_written_by(program: &str, object: &impl Resource) -> bool {
    let mut writers = object.meta().managed_fields.iter().flatten();
    writers.any(|writer| writer.manager.as_deref() == Some(program))
}

/// How many times Bindery has written to a volume, or to an object of the scene's namespace.
fn writes_of_bindery(scene: &Scene, volume: &PersistentVolume) -> usize {
    let reads = ["get", "list", "watch"];
    let concerns = |call: &Value| {
        let object = &call["objectRef"];
        object["namespace"] == scene.name || object["name"] == volume_name(volume)
    };
    let calls = audit::calls();
    let writes = calls
        .iter()
        .filter(|call| !reads.iter().any(|read| call["verb"] == *read));
    writes.filter(|call| concerns(call)).count()
}

#[tokio::test]
async fn bindery_and_the_driver_leave_the_volumes_of_each_other_alone() {
    let _alone = ALONE.lock().await;
    install(DRIVER).await;
    let (provisioner, _resizer) = (Provisioner::start(), Resizer::start());
    let (server, share) = (&Bed::get().server, &Bed::get().share);
    let parameters = json!({"server": server, "share": share, "onDelete": "delete"});
    let theirs = Scene::of_with(DRIVER, json!({"parameters": parameters, "allowVolumeExpansion": true})).await;
    let parameters = json!({"volumeSource": "csi"});
    let ours = Scene::with_class(json!({"parameters": parameters, "allowVolumeExpansion": true})).await;
    theirs.create(theirs.claim("data")).await.unwrap();
    let their_volume = volume_of(&theirs, "data").await;
    let (_, our_volume) = ours.bound(ours.claim("data")).await;
    let their_place = Bed::get().export.join(volume_name(&their_volume));
    for place in [&their_place, &directory(&our_volume)] {
        std::fs::write(place.join("file"), "content").unwrap();
    }

    for scene in [&theirs, &ours] {
        request_size(scene, "data", "2Gi").await.unwrap();
        until_size(scene, "data", "2Gi").await;
    }
    let their_volume = volume_of(&theirs, "data").await;
    assert!(is_written_by("csi-driver", &their_volume) && is_written_by("csi-resizer", &their_volume));
    assert!(!is_written_by("csi-driver", &volume_of(&ours, "data").await));

    // The driver gets the events of our volume before those of its own.
    ours.delete("data").await;
    ours.until_gone(&our_volume).await;
    theirs.delete("data").await;
    theirs.until_gone(&their_volume).await;
    // It may also have deleted volumes that tests of other files left to it.
    let deleted = provisioner.deleted();
    assert!(deleted.contains(id(&their_volume)) && !deleted.contains(id(&our_volume)));
    assert_eq!(writes_of_bindery(&theirs, &their_volume), 0);
    assert_ne!(writes_of_bindery(&ours, &our_volume), 0);
    assert!(!their_place.exists());
    let kept = std::fs::read_to_string(ours.only_archive().join("file"));
    assert_eq!(kept.unwrap(), "content");
}

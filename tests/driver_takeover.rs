//! Volumes of csi-driver-nfs that Bindery takes over. The driver and its controller are played: the volumes are as the driver
//! writes them, and the Lease is as its controller renews it.

use std::fs::{create_dir, write};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::driver::{ALONE, DRIVER};
use crate::support::scene::{Scene, annotation, from};
use crate::support::wait::eventually;

/// A claim, and the volume that csi-driver-nfs has created for it.
struct OfDriver {
    scene: Scene,
    volume: String,
}

impl OfDriver {
    /// Creates the directory with a file, the volume and the claim, and waits until they are bound.
    async fn create(on_delete: &str) -> Self {
        let scene = Scene::of(DRIVER).await;
        let (server, share) = (&Bed::get().server, &Bed::get().share);
        let directory = format!("{}-data", scene.name);
        create_dir(Bed::get().export.join(&directory)).unwrap();
        write(Bed::get().export.join(&directory).join("file"), "content").unwrap();
        let volume = format!("pvc-{}", scene.name);
        scene
            .volumes_create(json!({
                "metadata": {
                    "name": volume,
                    "annotations": {"pv.kubernetes.io/provisioned-by": DRIVER},
                    "finalizers": ["external-provisioner.volume.kubernetes.io/finalizer"],
                },
                "spec": {
                    "accessModes": ["ReadWriteMany"],
                    "capacity": {"storage": "1Gi"},
                    "claimRef": {"namespace": scene.name, "name": "data"},
                    "csi": {
                        "driver": DRIVER,
                        "volumeHandle": format!("{server}#{}#{directory}#{volume}#{on_delete}", share.trim_matches('/')),
                        "volumeAttributes": {"server": server, "share": share, "subdir": directory},
                    },
                    "persistentVolumeReclaimPolicy": "Delete",
                    "storageClassName": scene.name,
                },
            }))
            .await;
        let named = json!({"spec": {"volumeName": volume}});
        scene.create(scene.claim_with("data", named)).await.unwrap();
        let claims: Api<PersistentVolumeClaim> = scene.claims();
        eventually("the claim is bound", async || {
            let phase = claims.get("data").await.unwrap().status?.phase?;
            (phase == "Bound").then_some(())
        })
        .await;
        Self { scene, volume }
    }

    async fn ask(&self) {
        let asked = json!({"metadata": {"annotations": {"bindery.dev/take-over": "true"}}});
        self.scene.patch_volume(&self.volume, asked).await;
    }

    async fn stored(&self) -> PersistentVolume {
        self.scene.volumes().get(&self.volume).await.unwrap()
    }

    /// Waits until the volume is taken over, and returns it.
    async fn until_taken(&self) -> PersistentVolume {
        eventually("the volume is taken over", async || {
            let volume = self.stored().await;
            annotation(&volume, "instance").is_some().then_some(volume)
        })
        .await
    }

    async fn delete_claim(&self) {
        self.scene.delete("data").await;
        self.scene.until_gone(&self.stored().await).await;
    }
}

/// The Lease of the driver's controller, in the namespace of a scene.
async fn hold_lease(scene: &Scene, holder: &str) -> Api<Lease> {
    let leases: Api<Lease> = Api::namespaced(scene.client.clone(), &scene.name);
    let lease = json!({
        "metadata": {"name": "nfs-csi-k8s-io"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": format!("{:.6}", Timestamp::now())},
    });
    leases.create(&PostParams::default(), &from(lease)).await.unwrap();
    leases
}

#[tokio::test]
async fn a_volume_is_taken_over_when_the_controller_of_the_driver_has_ended_and_keeps_its_source() {
    let _alone = ALONE.lock().await;
    let other = OfDriver::create("delete").await;
    let before = other.stored().await;
    let leases = hold_lease(&other.scene, "csi-nfs-controller-0").await;
    other.ask().await;
    let why = other.scene.event(&other.volume, "NotTakenOver").await;
    let namespace = &other.scene.name;
    assert!(
        why.starts_with("Bindery does not take this volume over while the controller of csi-driver-nfs runs")
            && why.ends_with("scale that Deployment to 0 replicas; the nodes do not need it"),
        "{why}"
    );
    assert_eq!(annotation(&other.stored().await, "instance"), None, "{namespace}");
    let released = Patch::Merge(json!({"spec": {"holderIdentity": ""}}));
    leases
        .patch("nfs-csi-k8s-io", &PatchParams::default(), &released)
        .await
        .unwrap();

    let taken = other.until_taken().await;
    assert_eq!(
        taken
            .metadata
            .finalizers
            .as_ref()
            .unwrap()
            .iter()
            .filter(|held| !held.contains("pv-protection"))
            .collect::<Vec<_>>(),
        ["bindery.dev/cleanup"]
    );
    assert_eq!(annotation(&taken, "on-delete"), Some("delete"));
    assert_eq!(
        taken.spec.as_ref().unwrap().csi,
        before.spec.unwrap().csi,
        "the nodes mount it as before"
    );
    other.delete_claim().await;
    eventually("the directory is removed", async || {
        other.scene.own_directories().is_empty().then_some(())
    })
    .await;
    leases.delete("nfs-csi-k8s-io", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_volume_that_nobody_names_is_left_to_the_driver_unless_a_flag_names_them_all() {
    let _alone = ALONE.lock().await;
    let left = OfDriver::create("archive").await;
    let named = OfDriver::create("archive").await;
    named.ask().await;
    named.until_taken().await;
    let stored = left.stored().await;
    assert_eq!(annotation(&stored, "instance"), None);
    named.delete_claim().await;
    named.scene.only_archive();
    left.scene.delete("data").await;
    left.scene.until_released(&stored).await;
    assert_eq!(left.scene.own_directories(), [format!("{}-data", left.scene.name)]);
}

#[tokio::test]
async fn a_volume_goes_back_to_the_driver_as_the_page_says() {
    let _alone = ALONE.lock().await;
    let other = OfDriver::create("delete").await;
    let before = other.stored().await;
    other.ask().await;
    other.until_taken().await;
    // The command of docs/migrate.md.
    let back: Value = json!({"metadata": {
        "finalizers": ["kubernetes.io/pv-protection"],
        "annotations": {
            "pv.kubernetes.io/provisioned-by": DRIVER, "bindery.dev/instance": null, "bindery.dev/take-over": null,
        },
    }});
    other.scene.patch_volume(&other.volume, back).await;
    let stored = other.stored().await;
    let by = |volume: &PersistentVolume| {
        volume.metadata.annotations.as_ref().unwrap()["pv.kubernetes.io/provisioned-by"].clone()
    };
    assert_eq!(by(&stored), by(&before));
    other.scene.delete("data").await;
    other.scene.until_released(&stored).await;
    assert_eq!(
        other.scene.own_directories(),
        [format!("{}-data", other.scene.name)],
        "the driver deletes it"
    );
}

#[tokio::test]
async fn a_flag_takes_over_all_volumes_of_the_driver() {
    let _alone = ALONE.lock().await;
    let other = OfDriver::create("retain").await;
    let _bindery = Bindery::start(&["--takeover", DRIVER]).await;
    let taken = other.until_taken().await;
    assert_eq!(annotation(&taken, "on-delete"), Some("retain"));
}

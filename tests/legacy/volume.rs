//! Provisioner name, class and volumes of nfs-subdir-external-provisioner, created without that program.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, from};
use crate::support::wait::eventually;

/// Returns a unique provisioner name, in the form that the chart of nfs-subdir-external-provisioner generates.
pub fn provisioner_name() -> String {
    let release = &Uuid::new_v4().simple().to_string()[..8];
    format!("cluster.local/{release}-nfs-subdir-external-provisioner")
}

pub async fn bindery(provisioner: &str, flags: &[&str]) -> Bindery {
    let named = format!("--provisioner-name={provisioner}");
    Bindery::start(&[&[named.as_str()], flags].concat()).await
}

/// A volume as nfs-subdir-external-provisioner creates it, bound to its claim, with a file in its directory.
pub struct LegacyVolume {
    pub name: String,
    /// The directory on this machine.
    pub directory: PathBuf,
}

impl LegacyVolume {
    /// Creates it while no Bindery runs. `sub_dir` is the result of the class's `pathPattern`.
    pub async fn make(scene: &Scene, claim: &str, sub_dir: Option<&str>) -> Self {
        let bed = Bed::get();
        let created = scene.create(scene.claim(claim)).await.expect("claim");
        let uid = created.metadata.uid.expect("a uid");
        let name = format!("pvc-{uid}");
        let standard = format!("{}-{claim}-{name}", scene.name);
        let directory = bed.export.join(sub_dir.unwrap_or(&standard));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("precious"), claim).unwrap();
        let volume = json!({
            "metadata": {
                "name": name,
                "annotations": {"pv.kubernetes.io/provisioned-by": scene.provisioner},
            },
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "capacity": {"storage": "1Gi"},
                "claimRef": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": scene.name, "name": claim, "uid": uid,
                    "resourceVersion": created.metadata.resource_version,
                },
                "nfs": {
                    "server": bed.server,
                    "path": format!("{}/{}", bed.share, sub_dir.unwrap_or(&standard)),
                },
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": scene.name,
                "volumeMode": "Filesystem",
            },
        });
        create_volume(scene, volume).await;
        eventually(&format!("claim {claim} is bound"), async || {
            let claim = scene.claims().get(claim).await.ok()?;
            (claim.status?.phase? == "Bound").then_some(())
        })
        .await;
        Self { name, directory }
    }

    pub async fn volume(&self, scene: &Scene) -> PersistentVolume {
        scene.volumes().get(&self.name).await.expect("the volume")
    }

    pub async fn until_taken_over(&self, scene: &Scene) -> PersistentVolume {
        eventually(&format!("volume {} is taken over", self.name), async || {
            let volume = self.volume(scene).await;
            annotation(&volume, "instance").is_some().then_some(volume)
        })
        .await
    }

    /// Deletes the claim, and waits until the volume is gone.
    pub async fn end(&self, scene: &Scene, claim: &str) {
        let volume = self.volume(scene).await;
        scene.delete(claim).await;
        scene.until_gone(&volume).await;
    }

    /// Returns the path of the only archive of the directory.
    pub fn archive(&self, sub_dir: &str) -> PathBuf {
        let begins = format!("archived-{}-2", sub_dir.replace('/', "-"));
        let entries = std::fs::read_dir(&Bed::get().export).unwrap();
        let mut archives: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&begins))
            .collect();
        assert_eq!(archives.len(), 1, "{archives:?}");
        assert!(!self.directory.exists());
        archives.remove(0)
    }
}

pub async fn create_volume(scene: &Scene, volume: Value) {
    let created = scene.volumes().create(&PostParams::default(), &from(volume)).await;
    created.expect("volume");
}

/// Creates a scene with a class of nfs-subdir-external-provisioner.
pub async fn legacy_scene(provisioner: &str, parameters: Value) -> Scene {
    let scene = Scene::of(provisioner).await;
    replace_class(&scene, parameters).await;
    scene
}

/// Deletes the class and creates it again with other parameters, because parameters cannot be changed.
pub async fn replace_class(scene: &Scene, parameters: Value) {
    delete_class(scene).await;
    scene.class(&scene.name, json!({"parameters": parameters})).await;
}

pub async fn delete_class(scene: &Scene) {
    let classes: Api<StorageClass> = Api::all(scene.client.clone());
    classes
        .delete(&scene.name, &DeleteParams::default())
        .await
        .expect("class deleted");
}

//! Bindery under the name of nfs-subdir-external-provisioner: its classes and its volumes.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, directory, from, mark};
use crate::support::wait::eventually;

/// A name such as the old program's chart makes: nobody else's in this bed.
fn old_name() -> String {
    let release = &Uuid::new_v4().simple().to_string()[..8];
    format!("cluster.local/{release}-nfs-subdir-external-provisioner")
}

async fn bindery(provisioner: &str, flags: &[&str]) -> Bindery {
    let named = format!("--provisioner-name={provisioner}");
    Bindery::start(&[&[named.as_str()], flags].concat()).await
}

/// A volume as the old program makes it, bound to its claim by the controller manager, with a file in its directory.
struct Old {
    name: String,
    /// The directory on this machine.
    directory: PathBuf,
}

impl Old {
    /// Nobody but the controller manager is there yet. `sub_dir` is what the class's `pathPattern` gave.
    async fn make(scene: &Scene, claim: &str, sub_dir: Option<&str>) -> Self {
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

    async fn volume(&self, scene: &Scene) -> PersistentVolume {
        scene.volumes().get(&self.name).await.expect("the volume")
    }

    async fn until_taken_over(&self, scene: &Scene) -> PersistentVolume {
        eventually(&format!("volume {} is taken over", self.name), async || {
            let volume = self.volume(scene).await;
            mark(&volume, "instance").is_some().then_some(volume)
        })
        .await
    }

    /// Deletes the claim, and waits until the volume is gone.
    async fn end(&self, scene: &Scene, claim: &str) {
        let volume = self.volume(scene).await;
        scene.delete(claim).await;
        scene.until_gone(&volume).await;
    }

    /// The one archive of the directory.
    fn archive(&self, sub_dir: &str) -> PathBuf {
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

async fn create_volume(scene: &Scene, volume: Value) {
    let created = scene.volumes().create(&PostParams::default(), &from(volume)).await;
    created.expect("volume");
}

/// A class of the old program, and its volume as the old program leaves it.
async fn old_scene(provisioner: &str, parameters: Value) -> Scene {
    let scene = Scene::of(provisioner).await;
    replace_class(&scene, parameters).await;
    scene
}

/// Parameters cannot be edited, but the class can be made anew.
async fn replace_class(scene: &Scene, parameters: Value) {
    delete_class(scene).await;
    scene.class(&scene.name, json!({"parameters": parameters})).await;
}

async fn delete_class(scene: &Scene) {
    let classes: Api<StorageClass> = Api::all(scene.client.clone());
    classes
        .delete(&scene.name, &DeleteParams::default())
        .await
        .expect("class deleted");
}

#[tokio::test]
async fn an_old_volume_gets_finalizer_and_policy_while_it_is_bound_and_is_archived_with_its_class_gone() {
    let provisioner = old_name();
    let scene = old_scene(&provisioner, json!({"archiveOnDelete": "true"})).await;
    let old = Old::make(&scene, "data", None).await;
    let bindery = bindery(&provisioner, &[]).await;
    let volume = old.until_taken_over(&scene).await;
    let finalizers = volume.metadata.finalizers.as_ref().unwrap();
    assert_eq!(finalizers, &["kubernetes.io/pv-protection", "bindery.dev/cleanup"]);
    assert_eq!(mark(&volume, "on-delete"), Some("archive"));
    assert_eq!(mark(&volume, "directory"), Some("adopted"));
    assert_eq!(directory(&volume), old.directory);
    assert_eq!(volume.status.as_ref().unwrap().phase.as_deref(), Some("Bound"));

    delete_class(&scene).await;
    old.end(&scene, "data").await;
    let archive = old.archive(mark(&volume, "sub-dir").unwrap());
    assert_eq!(std::fs::read_to_string(archive.join("precious")).unwrap(), "data");
    bindery.unregister().await;
}

#[tokio::test]
async fn delete_and_retain_mean_what_they_meant() {
    let provisioner = old_name();
    let deleting = old_scene(&provisioner, json!({"archiveOnDelete": "f"})).await;
    let retaining = old_scene(&provisioner, json!({"onDelete": "retain", "archiveOnDelete": "false"})).await;
    let (gone, kept) = (
        Old::make(&deleting, "data", None).await,
        Old::make(&retaining, "data", None).await,
    );
    let bindery = bindery(&provisioner, &[]).await;
    gone.until_taken_over(&deleting).await;
    kept.until_taken_over(&retaining).await;
    gone.end(&deleting, "data").await;
    assert_eq!(deleting.own_directories(), Vec::<String>::new());
    kept.end(&retaining, "data").await;
    assert!(kept.directory.join("precious").exists());
    bindery.unregister().await;
}

#[tokio::test]
async fn volumes_released_or_failed_while_nobody_was_there_are_cleaned_up_at_the_start() {
    let provisioner = old_name();
    let scene = old_scene(&provisioner, json!({"onDelete": "delete"})).await;
    let released = Old::make(&scene, "released", None).await;
    let failed = Old::make(&scene, "failed", None).await;
    let unclassed = old_scene(&provisioner, json!({"onDelete": "delete"})).await;
    let archived = Old::make(&unclassed, "data", None).await;
    delete_class(&unclassed).await;
    let mut volumes = Vec::new();
    for (scene, old, claim) in [
        (&scene, &released, "released"),
        (&scene, &failed, "failed"),
        (&unclassed, &archived, "data"),
    ] {
        let volume = old.volume(scene).await;
        scene.delete(claim).await;
        scene.until_released(&volume).await;
        volumes.push(volume);
    }
    let fail = Patch::Merge(json!({"status": {"phase": "Failed"}}));
    let patched = scene
        .volumes()
        .patch_status(&failed.name, &PatchParams::default(), &fail)
        .await;
    patched.expect("status patched");

    let bindery = bindery(&provisioner, &[]).await;
    for volume in &volumes {
        scene.until_gone(volume).await;
    }
    assert_eq!(scene.own_directories(), Vec::<String>::new());
    let sub_dir = format!("{}-data-{}", unclassed.name, archived.name);
    assert!(archived.archive(&sub_dir).join("precious").exists());
    bindery.unregister().await;
}

#[tokio::test]
async fn a_nested_directory_is_archived_in_spite_of_delete_unless_the_flag_says_otherwise() {
    let provisioner = old_name();
    let pattern = json!({"onDelete": "delete", "pathPattern": "${.PVC.namespace}/${.PVC.name}"});
    let scene = old_scene(&provisioner, pattern.clone()).await;
    let sub_dir = format!("{}/data", scene.name);
    let old = Old::make(&scene, "data", Some(&sub_dir)).await;
    let careful = bindery(&provisioner, &[]).await;
    let volume = old.until_taken_over(&scene).await;
    assert_eq!(mark(&volume, "on-delete"), Some("archive"));
    old.end(&scene, "data").await;
    assert!(old.archive(&sub_dir).join("precious").exists());
    careful.unregister().await;
    drop(careful);

    let provisioner = old_name();
    let scene = old_scene(&provisioner, pattern).await;
    let old = Old::make(&scene, "data", Some(&format!("{}/data", scene.name))).await;
    let bold = bindery(&provisioner, &["--takeover-delete-nested"]).await;
    old.until_taken_over(&scene).await;
    old.end(&scene, "data").await;
    assert!(!old.directory.exists());
    // The folder above was never the volume's.
    assert_eq!(scene.own_directories().concat(), scene.name);
    bold.unregister().await;
}

#[tokio::test]
async fn what_is_not_below_the_share_is_left_alone_and_told() {
    let provisioner = old_name();
    let scene = old_scene(&provisioner, json!({"onDelete": "delete"})).await;
    let volumes = ["/elsewhere/data", "/export"].map(|path| (format!("pvc-{}", Uuid::new_v4()), path));
    for (name, path) in &volumes {
        let volume = json!({
            "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": provisioner}},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "capacity": {"storage": "1Gi"},
                "claimRef": {"namespace": scene.name, "name": "long-gone", "uid": Uuid::new_v4().to_string()},
                "nfs": {"server": Bed::get().server, "path": path},
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": scene.name,
            },
        });
        create_volume(&scene, volume).await;
        scene.until_released(&scene.volumes().get(name).await.unwrap()).await;
    }
    let bindery = bindery(&provisioner, &[]).await;
    for (name, path) in &volumes {
        let server = &Bed::get().server;
        let told = scene.event(name, "NotTakenOver").await;
        let expected = format!(
            "not taken over, and nothing is done with its directory when its claim is gone: \
             {server}:{path} is not below {server}:/export"
        );
        assert!(told.starts_with(&expected), "{told}");
        let volume = scene.volumes().get(name).await.unwrap();
        assert_eq!(mark(&volume, "instance"), None);
        assert_eq!(volume.metadata.finalizers.unwrap(), ["kubernetes.io/pv-protection"]);
        assert_eq!(volume.metadata.deletion_timestamp, None);
    }
    bindery.unregister().await;
}

#[tokio::test]
async fn volumes_of_another_name_or_instance_and_unbound_ones_are_never_touched() {
    let (provisioner, another) = (old_name(), old_name());
    let scene = old_scene(&provisioner, json!({"onDelete": "delete"})).await;
    let foreign = old_scene(&another, json!({"onDelete": "delete"})).await;
    let anothers = Old::make(&foreign, "data", None).await;
    let other_instance = Old::make(&scene, "data", None).await;
    let theirs = json!({"metadata": {"annotations": {"bindery.dev/instance": "green"}}});
    scene.patch_volume(&other_instance.name, theirs).await;
    let passer_by = Old::make(&scene, "passer-by", None).await;
    // The last: the controller manager would give it to the next claim.
    let unbound = format!("pvc-{}", Uuid::new_v4());
    let by_hand = json!({
        "metadata": {"name": unbound, "annotations": {"pv.kubernetes.io/provisioned-by": provisioner}},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "1Gi"},
            "nfs": {"server": Bed::get().server, "path": "/export/by-hand"},
            "storageClassName": scene.name,
        },
    });
    create_volume(&scene, by_hand).await;
    let mut before = Vec::new();
    for name in [&anothers.name, &other_instance.name, &unbound] {
        before.push(scene.volumes().get(name).await.unwrap().metadata);
    }
    let bindery = bindery(&provisioner, &[]).await;
    // Its whole life shows that the loop has had its turn.
    passer_by.until_taken_over(&scene).await;
    passer_by.end(&scene, "passer-by").await;
    for metadata in before {
        let now = scene.volumes().get(metadata.name.as_ref().unwrap()).await.unwrap();
        assert_eq!(
            (now.metadata.annotations, now.metadata.finalizers),
            (metadata.annotations, metadata.finalizers)
        );
    }
    bindery.unregister().await;
}

#[tokio::test]
async fn a_volume_refused_for_its_class_is_taken_over_when_the_class_is_mended() {
    let provisioner = old_name();
    let scene = old_scene(&provisioner, json!({"onDelete": "delete", "uid": "root"})).await;
    let old = Old::make(&scene, "data", None).await;
    let bindery = bindery(&provisioner, &[]).await;
    let told = scene.event(&old.name, "NotTakenOver").await;
    assert!(told.contains("uid is \"root\""), "{told}");
    replace_class(&scene, json!({"onDelete": "delete"})).await;
    // Its next change brings it back.
    old.end(&scene, "data").await;
    assert!(!old.directory.exists());
    bindery.unregister().await;
}

#[tokio::test]
async fn old_classes_serve_new_claims() {
    let provisioner = old_name();
    let bindery = bindery(&provisioner, &[]).await;
    let pattern = "${.PVC.namespace}-${.PVC.labels.zone}";
    let parameters = json!({"archiveOnDelete": "F", "pathPattern": pattern, "color": "blue"});
    let scene = old_scene(&provisioner, parameters).await;

    let warnings = scene.create_with_warnings(scene.claim("data")).await;
    let missing = format!("label zone of the claim is not set; it stands for nothing in {pattern}");
    assert!(warnings.contains(&missing), "{warnings:?}");
    // What is true of every claim of the class is told on the class.
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let told = scene.event(&scene.name, "ClassWarnings").await;
    let unknown = format!("StorageClass {}: parameter color is not known:", scene.name);
    assert!(told.starts_with(&unknown), "{told}");
    let (_, volume) = scene.until_bound("data").await;
    assert_eq!(mark(&volume, "sub-dir"), Some(format!("{}-", scene.name).as_str()));
    assert_eq!(mark(&volume, "on-delete"), Some("delete"));

    let second = scene.refused(scene.claim("second")).await;
    assert!(second.contains("belongs to volume"), "{second}");
    let labelled = json!({"metadata": {"labels": {"zone": "a"}}});
    scene.bound(scene.claim_with("third", labelled)).await;
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    assert!(!directory(&volume).exists());
    bindery.unregister().await;
}

#[tokio::test]
async fn a_value_that_leads_out_of_the_share_is_refused_under_an_old_name_too() {
    let provisioner = old_name();
    let bindery = bindery(&provisioner, &[]).await;
    let scene = old_scene(
        &provisioner,
        json!({"pathPattern": "./${.PVC.annotations.nfs.io/storage-path}"}),
    )
    .await;
    // The annotation is missing: the share itself is what is left.
    let share = scene.refused(scene.claim("data")).await;
    assert!(
        share.contains("which would lead out of its place") || share.contains("empty segment"),
        "{share}"
    );
    let up = json!({"metadata": {"annotations": {"nfs.io/storage-path": "../etc"}}});
    let up = scene.refused(scene.claim_with("data", up)).await;
    assert!(
        up.contains("has the segment \"..\", which would lead out of its place"),
        "{up}"
    );
    scene.assert_nothing_made().await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_new_claim_does_not_get_the_directory_of_an_old_volume_taken_over_or_not() {
    let provisioner = old_name();
    let scene = old_scene(
        &provisioner,
        json!({"pathPattern": "${.PVC.namespace}/${.PVC.labels.app}"}),
    )
    .await;
    let sub_dir = format!("{}/db", scene.name);
    let old = Old::make(&scene, "data", Some(&sub_dir)).await;
    let refused = Old::make(&scene, "refused", Some(&format!("{}/other", scene.name))).await;
    let typo = json!({"metadata": {"annotations": {"bindery.dev/on-delete": "keep"}}});
    scene.patch_volume(&refused.name, typo).await;
    let bindery = bindery(&provisioner, &[]).await;
    old.until_taken_over(&scene).await;
    scene.event(&refused.name, "NotTakenOver").await;
    let other = json!({"metadata": {"labels": {"app": "other"}}});
    let told = scene.refused(scene.claim_with("second", other)).await;
    assert!(
        told.contains(&format!("overlaps with that of volume {}", refused.name)),
        "{told}"
    );
    let same = json!({"metadata": {"labels": {"app": "db"}}});
    let refused = scene.refused(scene.claim_with("second", same)).await;
    assert!(
        refused.contains(&format!("overlaps with directory {sub_dir} of volume {}", old.name)),
        "{refused}"
    );
    bindery.unregister().await;
}

#[tokio::test]
async fn a_directory_that_two_old_volumes_share_goes_with_the_last() {
    let provisioner = old_name();
    let scene = old_scene(&provisioner, json!({"pathPattern": "${.PVC.namespace}"})).await;
    let one = Old::make(&scene, "one", Some(&scene.name)).await;
    let two = Old::make(&scene, "two", Some(&scene.name)).await;
    let bindery = bindery(&provisioner, &[]).await;
    one.until_taken_over(&scene).await;
    two.until_taken_over(&scene).await;
    one.end(&scene, "one").await;
    assert!(two.directory.join("precious").exists());
    two.end(&scene, "two").await;
    assert!(two.archive(&scene.name).join("precious").exists());
    bindery.unregister().await;
}

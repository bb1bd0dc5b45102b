//! Volumes record the identity of their directory and file system. So Bindery detects that a directory is missing only
//! because a disk is not mounted.

use std::path::PathBuf;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, ResourceQuota};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::support::bindery::Bindery;
use crate::support::nfs::{Ganesha, new_fsid};
use crate::support::scene::{Scene, annotation, from, volume_name};
use crate::support::wait::eventually;

/// An NFS server whose export is a separate disk, and a Bindery that uses this server.
struct Disk {
    server: Ganesha,
    bindery: Bindery,
    scene: Scene,
}

impl Disk {
    async fn with(fsid: Option<String>) -> Self {
        Self::with_flags(fsid, &[]).await
    }

    async fn with_flags(fsid: Option<String>, flags: &[&str]) -> Self {
        let mut server = Ganesha::start_v3();
        server.kill();
        server.fsid = fsid;
        let disk = server.dir_of("disk");
        std::fs::create_dir(&disk).unwrap();
        server.mount(&disk);
        server.bind(&disk, &server.export_dir());
        server.restart();
        let address = format!("--nfs-server={}", server.address());
        let flags: Vec<&str> = flags.iter().copied().chain([address.as_str()]).collect();
        let bindery = Bindery::start(&flags).await;
        let parameters = json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}", "onDelete": "delete"});
        let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
        Self { server, bindery, scene }
    }

    fn place(&self, volume: &PersistentVolume) -> PathBuf {
        let export = self.server.through_proc(&self.server.export_dir());
        export.join(annotation(volume, "sub-dir").unwrap())
    }

    /// Unmounts the disk: the server now exports the empty mount point.
    fn unmount(&mut self) {
        self.server.kill();
        self.server.unmount(&self.server.export_dir());
        self.server.restart();
    }

    /// Mounts another disk, which is empty, in place of the right one. Its root has the same number.
    fn mount_another(&mut self) {
        self.server.kill();
        self.server.unmount(&self.server.export_dir());
        let other = self.server.dir_of("other");
        std::fs::create_dir(&other).unwrap();
        self.server.mount(&other);
        self.server.bind(&other, &self.server.export_dir());
        self.server.restart();
    }

    fn mount(&mut self) {
        self.server.kill();
        self.server.bind(&self.server.dir_of("disk"), &self.server.export_dir());
        self.server.restart();
    }

    /// Removes annotations, so that the volume looks as after an earlier version of Bindery or a takeover.
    async fn remove_annotations(&self, volume: &PersistentVolume, annotations: &[&str]) {
        // In one patch, as kubectl does: after the first of two, the cleanup may end.
        let none = annotations
            .iter()
            .map(|key| (format!("bindery.dev/{key}"), Value::Null));
        let none = Value::Object(none.collect());
        self.scene
            .patch_volume(volume_name(volume), json!({"metadata": {"annotations": none}}))
            .await;
    }

    /// Waits until the cleanup of a volume has failed for this reason.
    async fn cleanup_fails(&self, volume: &PersistentVolume, why: &str) {
        let message = self.scene.event(volume_name(volume), "CleanupFailed").await;
        assert!(message.contains(why), "{message}");
    }

    async fn is_gone_with_its_directory(&self, volume: &PersistentVolume) {
        let directory = self.place(volume);
        self.scene.until_gone(volume).await;
        eventually("the directory is gone", async || (!directory.exists()).then_some(())).await;
    }
}

const BOTH: [&str; 2] = ["directory-id", "share-id"];

#[tokio::test]
async fn a_volume_without_a_recorded_directory_id_gets_one_at_the_first_lookup() {
    let mut disk = Disk::with(None).await;
    let (_, volume) = disk.scene.bound(disk.scene.claim("data")).await;
    let before = BOTH.map(|key| annotation(&volume, key).map(str::to_owned));
    assert!(before.iter().all(Option::is_some), "{before:?}");
    disk.bindery.kill();
    disk.remove_annotations(&volume, &BOTH).await;
    disk.bindery.run().await;
    eventually("the volume has both annotations again", async || {
        let now = disk.scene.volumes().get(volume_name(&volume)).await.ok()?;
        (BOTH.map(|key| annotation(&now, key).map(str::to_owned)) == before).then_some(())
    })
    .await;
    disk.bindery.unregister().await;
}

#[tokio::test]
async fn cleanup_without_recorded_ids_waits_while_the_disk_is_not_mounted() {
    let mut disk = Disk::with(None).await;
    let (_, volume) = disk.scene.bound(disk.scene.claim("data")).await;
    std::fs::write(disk.place(&volume).join("precious"), "").unwrap();
    disk.bindery.kill();
    disk.remove_annotations(&volume, &BOTH).await;
    disk.unmount();
    disk.scene.delete("data").await;
    disk.bindery.run().await;
    disk.cleanup_fails(&volume, "the volume does not record which file system it was on")
        .await;
    disk.mount();
    disk.is_gone_with_its_directory(&volume).await;
    disk.bindery.unregister().await;
}

#[tokio::test]
async fn cleanup_waits_while_the_disk_is_not_mounted_even_with_a_fixed_fsid() {
    let mut disk = Disk::with(Some(new_fsid())).await;
    let (_, volume) = disk.scene.bound(disk.scene.claim("data")).await;
    disk.bindery.kill();
    disk.unmount();
    disk.scene.delete("data").await;
    disk.bindery.run().await;
    disk.cleanup_fails(&volume, "the root of the share is another directory")
        .await;
    disk.mount();
    disk.is_gone_with_its_directory(&volume).await;
    disk.bindery.unregister().await;
}

#[tokio::test]
async fn after_an_fsid_change_the_command_in_the_event_lets_cleanup_continue() {
    let mut disk = Disk::with(None).await;
    let (_, volume) = disk.scene.bound(disk.scene.claim("data")).await;
    disk.bindery.kill();
    disk.server.kill();
    disk.server.fsid = Some(new_fsid());
    disk.server.restart();
    disk.scene.delete("data").await;
    disk.bindery.run().await;
    let message = disk.scene.event(volume_name(&volume), "CleanupFailed").await;
    let cause = "the root of the share has the same file number as before and another file system id. Usually fsid= of the \
                 export was added, changed or removed.";
    assert!(message.contains(cause), "{message}");
    let way_out = format!(
        "kubectl annotate pv {} bindery.dev/directory-id- bindery.dev/share-id-",
        volume_name(&volume)
    );
    assert!(message.contains(&way_out), "{message}");
    disk.remove_annotations(&volume, &BOTH).await;
    disk.is_gone_with_its_directory(&volume).await;
    disk.bindery.unregister().await;
}

#[tokio::test]
async fn cleanup_waits_while_the_directories_of_all_other_volumes_are_missing_too() {
    let mut disk = Disk::with(Some(new_fsid())).await;
    let (_, volume) = disk.scene.bound(disk.scene.claim("data")).await;
    let (_, other) = disk.scene.bound(disk.scene.claim("other")).await;
    disk.bindery.kill();
    disk.mount_another();
    disk.scene.delete("data").await;
    disk.bindery.run().await;
    disk.cleanup_fails(
        &volume,
        "the directories of other volumes in use are missing there, too",
    )
    .await;
    disk.mount();
    disk.is_gone_with_its_directory(&volume).await;
    assert!(disk.place(&other).exists());
    disk.bindery.unregister().await;
}

/// A claim that is created while the wrong disk is mounted gets its directory there.
#[tokio::test]
async fn the_directory_of_a_newer_volume_does_not_prove_that_the_disk_is_the_same() {
    let mut disk = Disk::with(Some(new_fsid())).await;
    disk.scene.bound(disk.scene.claim("older")).await;
    let (_, volume) = disk.scene.bound(disk.scene.claim("data")).await;
    disk.bindery.kill();
    disk.mount_another();
    disk.bindery.run().await;
    // Times of objects have no fractions of a second: a volume of the same second counts as one that is not newer.
    let created = volume.metadata.creation_timestamp.as_ref().unwrap().0;
    eventually("the second in which the volume was created is over", async || {
        (Timestamp::now().as_second() > created.as_second()).then_some(())
    })
    .await;
    disk.scene.bound(disk.scene.claim("newer")).await;
    disk.scene.delete("data").await;
    disk.cleanup_fails(
        &volume,
        "the directories of other volumes in use are missing there, too",
    )
    .await;
    disk.mount();
    disk.is_gone_with_its_directory(&volume).await;
    disk.bindery.unregister().await;
}

#[tokio::test]
async fn an_unused_volume_stays_while_the_disk_with_its_directory_is_not_mounted() {
    let mut disk = Disk::with_flags(Some(new_fsid()), &["--orphan-grace=1s", "--binder=off"]).await;
    // The claim is refused after its review, so its volume stays without a claim.
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"persistentvolumeclaims": "0"}}});
    let quotas: Api<ResourceQuota> = Api::namespaced(disk.scene.client.clone(), &disk.scene.name);
    quotas.create(&PostParams::default(), &from(quota)).await.unwrap();
    eventually("the quota is in force", async || {
        let quota = quotas.get("none").await.ok()?;
        quota.status?.hard?.contains_key("persistentvolumeclaims").then_some(())
    })
    .await;
    let message = disk.scene.refused(disk.scene.claim("data")).await;
    assert!(message.contains("exceeded quota"), "{message}");
    let volume = disk
        .scene
        .own_volumes()
        .await
        .pop()
        .expect("the volume of the claim that was refused");
    disk.bindery.kill();
    let directory = disk.place(&volume);
    assert!(directory.exists());
    disk.unmount();
    disk.bindery.run().await;
    disk.cleanup_fails(&volume, "the root of the share is another directory")
        .await;
    disk.mount();
    disk.is_gone_with_its_directory(&volume).await;
    disk.bindery.unregister().await;
}

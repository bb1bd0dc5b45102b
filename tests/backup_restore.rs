//! Claims and volumes that a backup tool restores, in the same cluster and for another installation. See
//! docs/disaster-recovery.md.

use std::path::PathBuf;
use std::process::Command;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, from, volume_name};
use crate::support::wait::eventually;

const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const REASON: &str = "NotManaged";

/// A claim and its volume, as a backup tool stores them.
struct Backup {
    claim: Value,
    volume: Value,
}

impl Backup {
    /// Writes data into a new volume, exports claim and volume, and deletes both. The volume has the reclaim policy Retain,
    /// because backup tools do not restore a volume with the policy Delete.
    async fn of_lost(scene: &Scene, name: &str) -> (Self, PathBuf) {
        let (_, volume) = scene.bound(scene.claim(name)).await;
        let directory = directory(&volume);
        std::fs::write(directory.join("precious"), "data").unwrap();
        let retain = json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}});
        scene.patch_volume(volume_name(&volume), retain).await;
        let backup = Self {
            claim: json!(scene.claims().get(name).await.unwrap()),
            volume: json!(scene.volumes().get(volume_name(&volume)).await.unwrap()),
        };
        scene.delete(name).await;
        scene.until_released(&volume).await;
        scene.delete_volume(&volume).await;
        scene.until_gone(&volume).await;
        assert!(directory.join("precious").exists());
        (backup, directory)
    }

    /// Returns claim and volume as Velero creates them (pkg/restore/restore.go: `resetMetadataAndStatus`,
    /// `resetVolumeBindingInfo`): finalizers and annotations stay, except for the annotations that the controller manager sets
    /// when it binds.
    fn reset(&self) -> (Value, Value) {
        let (mut claim, mut volume) = (self.claim.clone(), self.volume.clone());
        for object in [&mut claim, &mut volume] {
            let meta = object["metadata"].as_object_mut().unwrap();
            for key in [
                "uid",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "managedFields",
            ] {
                meta.remove(key);
            }
            meta.entry("labels").or_insert_with(|| json!({}))["velero.io/restore-name"] = json!("restore");
            if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove("pv.kubernetes.io/bind-completed");
                annotations.remove("pv.kubernetes.io/bound-by-controller");
            }
            object.as_object_mut().unwrap().remove("status");
        }
        let reference = volume["spec"]["claimRef"].as_object_mut().unwrap();
        reference.remove("uid");
        reference.remove("resourceVersion");
        (claim, volume)
    }

    /// Restores the volume and then the claim, as Velero does.
    async fn restore(&self, scene: &Scene, change: impl FnOnce(&mut Value)) -> PersistentVolume {
        let (claim, mut volume) = self.reset();
        change(&mut volume);
        let volume: PersistentVolume = from(volume);
        let created = scene.volumes().create(&PostParams::default(), &volume).await;
        created.expect("volume");
        scene.create(claim).await.expect("claim");
        volume
    }
}

/// Waits until the controller manager has bound a claim to a volume.
async fn until_bound_to(scene: &Scene, name: &str, volume: &PersistentVolume) {
    eventually(&format!("claim {name} is bound to its restored volume"), async || {
        let claim: PersistentVolumeClaim = scene.claims().get(name).await.unwrap();
        let bound = claim.status?.phase? == "Bound";
        (bound && claim.spec?.volume_name.as_deref() == Some(volume_name(volume))).then_some(())
    })
    .await;
}

/// Returns whether the directory's only archive contains its data.
fn is_archived(directory: &std::path::Path) -> bool {
    let name = directory.file_name().unwrap().to_string_lossy().into_owned();
    let entries = std::fs::read_dir(directory.parent().unwrap()).unwrap();
    let mut archives = entries.map(|entry| entry.unwrap().path()).filter(|path| {
        let path = path.file_name().unwrap().to_string_lossy();
        path.starts_with(&format!("archived-{name}"))
    });
    archives.any(|archive| archive.join("precious").exists())
}

/// Waits until the volume is gone, and asserts that its directory is an archive.
async fn assert_archived(scene: &Scene, volume: &PersistentVolume, directory: &std::path::Path) {
    scene.until_gone(volume).await;
    assert!(!directory.exists() && is_archived(directory));
}

/// Runs a command from a message of Bindery.
pub fn run(command: &str) {
    let kubectl = format!(
        "'{}' --kubeconfig='{}' ",
        std::env::var("KUBECTL").expect("run `make test`"),
        Bed::get().kubeconfig.display()
    );
    let line = command.replacen("kubectl ", &kubectl, 1);
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Returns the two commands in an Event: the one that releases the volume, and the one that takes it over.
fn commands_in(note: &str) -> (&str, &str) {
    let let_go = note.split_once("keep the directory: ").expect(note).1;
    let (let_go, rest) = let_go.split_once(". To let this Bindery").expect(note);
    (let_go, rest.split_once("says: ").expect(note).1)
}

#[tokio::test]
async fn objects_restored_into_their_own_cluster_are_bound_again_and_cleaned_up_as_before() {
    let scene = Scene::new().await;
    let (backup, directory) = Backup::of_lost(&scene, "data").await;
    let volume = backup.restore(&scene, |_| ()).await;
    until_bound_to(&scene, "data", &volume).await;
    assert!(directory.join("precious").exists());

    scene.set_reclaim_delete(&volume).await;
    scene.delete("data").await;
    assert_archived(&scene, &volume, &directory).await;
}

/// Velero does so with a volume that has the reclaim policy Delete and no snapshot, or whose files it copies itself.
#[tokio::test]
async fn a_claim_that_is_restored_without_its_volume_gets_a_new_directory() {
    let scene = Scene::new().await;
    let (backup, directory_before) = Backup::of_lost(&scene, "data").await;
    let (mut claim, _) = backup.reset();
    claim["spec"].as_object_mut().unwrap().remove("volumeName");
    let annotations = &claim["metadata"]["annotations"];
    assert!(
        annotations["volume.kubernetes.io/storage-provisioner"].is_string(),
        "{annotations}"
    );
    let (_, volume) = scene.bound(claim).await;
    assert_ne!(directory(&volume), directory_before);
    assert_eq!(std::fs::read_dir(directory(&volume)).unwrap().count(), 0);
    assert!(directory_before.join("precious").exists());
}

#[tokio::test]
async fn a_restored_volume_without_provisioner_gets_an_event_and_both_its_commands_work() {
    let scene = Scene::new().await;
    let unmarked = |volume: &mut Value| {
        volume["metadata"]["annotations"]
            .as_object_mut()
            .unwrap()
            .remove(PROVISIONED_BY);
    };
    let (taken, directory) = Backup::of_lost(&scene, "taken").await;
    let taken = taken.restore(&scene, unmarked).await;
    until_bound_to(&scene, "taken", &taken).await;
    let note = scene.event(volume_name(&taken), REASON).await;
    assert!(
        note.starts_with(
            "No Bindery installation manages this volume: its annotations name no provisioner and \
        instance "
        ),
        "{note}"
    );
    run(commands_in(&note).1);
    scene.set_reclaim_delete(&taken).await;
    scene.delete("taken").await;
    assert_archived(&scene, &taken, &directory).await;

    let (kept, directory) = Backup::of_lost(&scene, "kept").await;
    let kept = kept.restore(&scene, unmarked).await;
    until_bound_to(&scene, "kept", &kept).await;
    scene.set_reclaim_delete(&kept).await;
    scene.delete("kept").await;
    scene.delete_volume(&kept).await;
    let note = scene.event(volume_name(&kept), REASON).await;
    run(commands_in(&note).0);
    scene.until_gone(&kept).await;
    assert!(directory.join("precious").exists());
}

#[tokio::test]
async fn a_released_volume_of_another_instance_gets_an_event_and_can_be_taken_over() {
    let mut old = Bindery::start(&[]).await;
    let scene = Scene::of(&old.provisioner).await;
    let (backup, directory) = Backup::of_lost(&scene, "data").await;
    old.kill();
    old.unregister().await;

    let provisioner = format!("--provisioner-name={}", old.provisioner);
    let new = Bindery::start(&[&provisioner, "--orphan-grace=1s"]).await;
    let volume = backup.restore(&scene, |_| ()).await;
    until_bound_to(&scene, "data", &volume).await;
    assert!(directory.join("precious").exists());
    let events: kube::Api<k8s_openapi::api::core::v1::Event> = kube::Api::all(scene.client.clone());
    let about = ListParams::default().fields(&format!("involvedObject.name={},reason={REASON}", volume_name(&volume)));

    scene.set_reclaim_delete(&volume).await;
    assert!(
        events.list(&about).await.unwrap().items.is_empty(),
        "a volume in use is reported"
    );
    scene.delete("data").await;
    let note = scene.event(volume_name(&volume), REASON).await;
    assert!(
        note.starts_with("Another Bindery installation created this volume"),
        "{note}"
    );
    assert!(note.contains(&format!("and instance {:?}", old.name)), "{note}");
    assert!(directory.join("precious").exists(), "another's data was touched");

    run(commands_in(&note).1);
    assert_archived(&scene, &volume, &directory).await;
    new.unregister().await;
}

#[tokio::test]
async fn restored_volumes_work_at_once_with_the_instance_of_the_lost_cluster() {
    let mut old = Bindery::start(&[]).await;
    let scene = Scene::of(&old.provisioner).await;
    let (backup, directory) = Backup::of_lost(&scene, "data").await;
    old.kill();
    let volume = backup.restore(&scene, |_| ()).await;
    assert_eq!(annotation(&volume, "instance"), Some(&*old.name));
    // A new installation, with the --instance of the lost one.
    old.run().await;
    until_bound_to(&scene, "data", &volume).await;
    scene.set_reclaim_delete(&volume).await;
    scene.delete("data").await;
    assert_archived(&scene, &volume, &directory).await;
    old.unregister().await;
}

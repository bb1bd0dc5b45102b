//! Removal of trees while something fails, from the deletion of the claim until all files are gone.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bindery::model::directory::Directory;
use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::{Value, json};

use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::relay::{Action, Relay};
use crate::support::scene::{Scene, annotation, volume_name};
use crate::support::wait::eventually;

const DIRECTORIES: usize = 400;
const FILES: usize = 100;

/// A test's own NFS server and Bindery, and a claim to delete.
struct Removal {
    server: Ganesha,
    bindery: Bindery,
    scene: Scene,
    volume: PersistentVolume,
}

impl Removal {
    async fn begin(flags: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        Self::begin_with(flags, prepare, json!({"onDelete": "delete"})).await
    }

    async fn begin_with(flags: &[&str], prepare: impl FnOnce(&Path), parameters: Value) -> Self {
        let server = Ganesha::start();
        prepare(&server.export_dir());
        let nfs_server = format!("--nfs-server={}", server.address());
        let bindery = Bindery::start(&[&[nfs_server.as_str()], flags].concat()).await;
        let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
        let (_, volume) = scene.bound(scene.claim("data")).await;
        Self {
            server,
            bindery,
            scene,
            volume,
        }
    }

    fn directory(&self) -> PathBuf {
        self.server
            .export_dir()
            .join(annotation(&self.volume, "sub-dir").unwrap())
    }

    /// Returns the path of the directory in the trash.
    fn in_trash(&self) -> PathBuf {
        let uid = self.volume.metadata.uid.as_ref().unwrap();
        let trash = Directory::in_trash(&self.bindery.name, volume_name(&self.volume), uid);
        self.server.export_dir().join(trash.as_str())
    }

    fn fill(&self) {
        for directory in 0..DIRECTORIES {
            let directory = self.directory().join(directory.to_string());
            fs::create_dir(&directory).unwrap();
            for file in 0..FILES {
                File::create(directory.join(file.to_string())).unwrap();
            }
        }
    }

    /// Waits until some of the files of [`Removal::fill`] are gone, and others are not.
    async fn until_half_gone(&self) {
        let trash = self.in_trash();
        let wait = move || {
            let left = || fs::read_dir(&trash).map_or(DIRECTORIES, Iterator::count);
            while left() == DIRECTORIES {
                std::thread::yield_now();
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(30), tokio::task::spawn_blocking(wait));
        waited.await.expect("the removal begins").unwrap();
    }

    fn left(&self) -> usize {
        fs::read_dir(self.in_trash()).map_or(0, Iterator::count)
    }

    async fn assert_ends(self) {
        self.scene.until_gone(&self.volume).await;
        eventually("the directory is gone", async || {
            (!self.in_trash().exists()).then_some(())
        })
        .await;
        assert!(!self.directory().exists());
        self.bindery.unregister().await;
    }
}

#[tokio::test]
async fn tree_removal_continues_after_the_nfs_server_died() {
    let mut removal = Removal::begin(&[], |_| ()).await;
    removal.fill();
    removal.scene.delete("data").await;
    removal.until_half_gone().await;
    removal.server.kill();
    assert!(removal.left() > 0, "the removal was complete before");
    removal.server.restart();
    removal.assert_ends().await;
}

#[tokio::test]
async fn tree_removal_continues_after_bindery_died() {
    let mut removal = Removal::begin(&[], |_| ()).await;
    removal.fill();
    removal.scene.delete("data").await;
    removal.until_half_gone().await;
    removal.bindery.kill();
    assert!(removal.left() > 0, "the removal was complete before");
    removal.bindery.run().await;
    removal.assert_ends().await;
}

#[tokio::test]
async fn a_tree_that_still_gets_new_files_is_removed_in_the_end() {
    let removal = Removal::begin(&[], |_| ()).await;
    // Many files, so that the removal takes some time.
    removal.fill();
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    // An NFS client has a handle of the directory, so it can write there after the move.
    let writer = std::thread::spawn({
        let (trash, stop, written) = (removal.in_trash(), stop.clone(), written.clone());
        move || {
            for number in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let _ = fs::create_dir(trash.join("d"));
                let _ = fs::create_dir(trash.join(number.to_string()));
                if File::create(trash.join(format!("d/{number}"))).is_ok() {
                    written.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    });
    removal.scene.delete("data").await;
    eventually("files are written into the trash", async || {
        (written.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    removal.assert_ends().await;
}

#[tokio::test]
async fn directories_without_permissions_are_removed_and_those_of_other_users_reported() {
    let own = |path: &Path| chown(path, Some(1000), Some(1000)).unwrap();
    let removal = Removal::begin(&["--nfs-uid=1000", "--nfs-gid=1000"], own).await;
    let directory = removal.directory();
    for mode in [0o000, 0o100, 0o400, 0o500] {
        let closed = directory.join(format!("mode-{mode:03o}"));
        fs::create_dir_all(closed.join("below")).unwrap();
        File::create(closed.join("below/file")).unwrap();
        own(&closed.join("below"));
        own(&closed);
        fs::set_permissions(closed.join("below"), fs::Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(closed, fs::Permissions::from_mode(mode)).unwrap();
    }
    let theirs = directory.join("theirs");
    fs::create_dir(&theirs).unwrap();
    File::create(theirs.join("file")).unwrap();
    removal.scene.delete("data").await;
    // The volume is gone, so the Event is on the class.
    removal.scene.until_gone(&removal.volume).await;
    let message = removal.scene.event(&removal.scene.name, "TrashNotEmptied").await;
    assert!(
        message.contains("in its directory \"theirs\", the server denies it to uid 1000"),
        "{message}"
    );
    assert!(message.contains("Bindery retries"), "{message}");
    own(&removal.in_trash().join("theirs"));
    removal.assert_ends().await;
}

#[tokio::test]
async fn claim_name_and_path_are_free_as_soon_as_the_directory_is_in_the_trash() {
    let own = |path: &Path| chown(path, Some(1000), Some(1000)).unwrap();
    let parameters = json!({"onDelete": "delete", "subDir": "${pvc.metadata.namespace}-${pvc.metadata.name}"});
    let mut removal = Removal::begin_with(&["--nfs-uid=1000", "--nfs-gid=1000"], own, parameters).await;
    let mut stays = Vec::new();
    for _ in 0..2 {
        let theirs = removal.directory().join("theirs");
        fs::create_dir(&theirs).unwrap();
        File::create(theirs.join("file")).unwrap();
        removal.scene.delete("data").await;
        removal.scene.until_gone(&removal.volume).await;
        assert!(removal.in_trash().join("theirs/file").exists(), "it cannot be removed");
        stays.push(removal.in_trash());
        let (_, again) = removal.scene.bound(removal.scene.claim("data")).await;
        assert_eq!(volume_name(&again), volume_name(&removal.volume));
        removal.volume = again;
    }
    eventually("the metric counts both directories in the trash", async || {
        let metrics = removal.bindery.metrics().await;
        metrics.contains("bindery_trash_directories 2").then_some(())
    })
    .await;
    for place in &stays {
        own(&place.join("theirs"));
    }
    for place in &stays {
        eventually("the directory is gone", async || (!place.exists()).then_some(())).await;
    }
    eventually("nothing is in the trash", async || {
        let metrics = removal.bindery.metrics().await;
        (metrics.contains("bindery_trash_directories 0") && metrics.contains("bindery_trash_removed_total 2"))
            .then_some(())
    })
    .await;
    assert!(removal.directory().exists(), "the directory of the new claim");
    removal.bindery.unregister().await;
}

#[tokio::test]
async fn sixteen_slow_removals_do_not_delay_an_archive_on_the_same_server() {
    let server = Ganesha::start_with_usual_lease();
    let relay = Relay::to(&server);
    let nfs_server = format!("--nfs-server={}", relay.address());
    let bindery = Bindery::start(&[&nfs_server]).await;
    let parameters = json!({"onDelete": "delete", "claimOverrides": "onDelete"});
    let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
    let mut volumes = Vec::new();
    for tree in 0..16 {
        let name = format!("tree-{tree}");
        let (_, volume) = scene.bound(scene.claim(&name)).await;
        let directory = server.export_dir().join(annotation(&volume, "sub-dir").unwrap());
        File::create(directory.join("takes-long")).unwrap();
        volumes.push((name, volume));
    }
    let archived = json!({"metadata": {"annotations": {"bindery.dev/on-delete": "archive"}}});
    let (_, archived) = scene.bound(scene.claim_with("archived", archived)).await;
    // Hold every call that removes such a file.
    relay.plan("takes-long", 0, 16, Action::Hold);
    for (name, _) in &volumes {
        scene.delete(name).await;
    }
    eventually("some trees are being removed", async || {
        (relay.matched() > 0).then_some(())
    })
    .await;
    scene.delete("archived").await;
    scene.until_gone(&archived).await;
    for (_, volume) in &volumes {
        scene.until_gone(volume).await;
    }
    let trash = server.export_dir().join(".bindery-trash");
    let left = || fs::read_dir(&trash).map_or(0, Iterator::count);
    assert_eq!(left(), 16);
    relay.stop_holding();
    eventually("the trash is empty", async || (left() == 0).then_some(())).await;
    bindery.unregister().await;
}

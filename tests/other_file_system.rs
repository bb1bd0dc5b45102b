//! Directories on another file system than the root of their share. A directory cannot be renamed from one file system to
//! another, so trash and archives are in the parent of the directory.

use std::path::{Path, PathBuf};

use bindery::model::directory::Directory;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::bindery::Bindery;
use crate::support::nfs::{Ganesha, new_fsid};
use crate::support::scene::{Scene, annotation, volume_name};
use crate::support::wait::eventually;

/// An NFS server with another file system below its export, and a Bindery that puts all claims there.
struct Disk {
    server: Ganesha,
    bindery: Bindery,
    scene: Scene,
}

impl Disk {
    async fn with(version: &str) -> Self {
        let mut server = Ganesha::start_v3();
        let disk = server.export_dir().join("disk");
        std::fs::create_dir(&disk).unwrap();
        server.kill();
        server.mount(&disk);
        server.restart();
        let flags = [
            &format!("--nfs-server={}", server.address()),
            "--retention-interval=200ms",
        ];
        let bindery = Bindery::start(&flags).await;
        let parameters = json!({
            "subDir": "disk/${pvc.metadata.namespace}/${pvc.metadata.name}",
            "nfsVersion": version,
            "claimOverrides": "onDelete,archiveRetention",
        });
        let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
        Self { server, bindery, scene }
    }

    /// Returns the names in a directory of the share, as the server sees them.
    fn names(&self, below: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.place(below));
        let mut names: Vec<String> = entries
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn place(&self, below: &str) -> PathBuf {
        self.server.through_proc(&self.server.export_dir()).join(below)
    }

    fn beside(&self) -> String {
        format!("disk/{}", self.scene.name)
    }

    fn claim(&self, name: &str, annotations: &Value) -> Value {
        self.scene
            .claim_with(name, json!({"metadata": {"annotations": annotations}}))
    }

    /// Asserts that Bindery has created nothing in the root of the share.
    fn assert_nothing_in_the_share(&self) {
        assert_eq!(self.names(""), [".bindery-elsewhere", ".bindery-trash", "disk"]);
        assert_eq!(self.names(".bindery-trash"), Vec::<String>::new());
    }
}

fn fill(directory: &Path) {
    std::fs::create_dir_all(directory.join("a/b")).unwrap();
    std::fs::write(directory.join("a/b/precious"), "data").unwrap();
}

async fn assert_trash_and_archives_on_the_same_file_system(version: &str) {
    let disk = Disk::with(version).await;
    let scene = &disk.scene;
    let kept = json!({"bindery.dev/on-delete": "archive", "bindery.dev/archive-retention": "30d"});
    let brief = json!({"bindery.dev/on-delete": "archive", "bindery.dev/archive-retention": "1s"});
    let deleted = json!({"bindery.dev/on-delete": "delete"});
    for (name, annotations) in [("kept", &kept), ("brief", &brief), ("deleted", &deleted)] {
        let (_, volume) = scene.bound(disk.claim(name, annotations)).await;
        fill(&disk.place(annotation(&volume, "sub-dir").unwrap()));
        scene.delete(name).await;
        scene.until_gone(&volume).await;
    }
    let beside = disk.beside();
    // A crash would leave these directories in the trash.
    let left = format!("{beside}/.bindery-trash/{}.pvc-gone", disk.bindery.name);
    let others = format!("{beside}/.bindery-trash/other.pvc-gone");
    for place in [&left, &others] {
        fill(&disk.place(place));
    }
    eventually("one archive is left and one directory in the trash", async || {
        (disk.names(&beside).len() == 2 && disk.names(&format!("{beside}/.bindery-trash")).len() == 1).then_some(())
    })
    .await;
    assert!(disk.place(&others).join("a/b/precious").exists());
    let archive = disk.names(&beside).pop().unwrap();
    let starts = format!("archived-disk-{}-kept-", scene.name);
    assert!(archive.starts_with(&starts) && archive.contains("-until-"), "{archive}");
    assert!(disk.place(&beside).join(archive).join("a/b/precious").exists());
    disk.assert_nothing_in_the_share();
    disk.bindery.unregister().await;
}

#[tokio::test]
async fn nfsv4_trash_and_archives_are_on_the_file_system_of_the_directory() {
    assert_trash_and_archives_on_the_same_file_system("4").await;
}

#[tokio::test]
async fn nfsv3_trash_and_archives_are_on_the_file_system_of_the_directory() {
    assert_trash_and_archives_on_the_same_file_system("3").await;
}

#[tokio::test]
async fn after_a_crash_cleanup_continues_on_another_file_system() {
    let mut disk = Disk::with("4").await;
    let (trash, archived) = (
        json!({"bindery.dev/on-delete": "delete"}),
        json!({"bindery.dev/on-delete": "archive"}),
    );
    let mut volumes = Vec::new();
    for (name, annotations) in [("trash", &trash), ("archived", &archived)] {
        let (_, volume) = disk.scene.bound(disk.claim(name, annotations)).await;
        fill(&disk.place(annotation(&volume, "sub-dir").unwrap()));
        volumes.push(volume);
    }
    disk.bindery.kill();
    // One volume has no recorded ids, as after an earlier version of Bindery. The other volume has them.
    let beside = disk.place(&disk.beside());
    let instance = &disk.bindery.name;
    std::fs::create_dir(beside.join(".bindery-trash")).unwrap();
    let in_trash = beside.join(format!(".bindery-trash/{instance}.{}", volume_name(&volumes[0])));
    std::fs::rename(beside.join("trash"), &in_trash).unwrap();
    let tag = Directory::archive_tag(instance, volume_name(&volumes[1]));
    let archive = Directory::parse("archived")
        .unwrap()
        .archive(Timestamp::now(), &tag, None, None);
    std::fs::rename(beside.join("archived"), beside.join(archive.as_str())).unwrap();
    let recorded = json!({"bindery.dev/moved-to": format!("{}/{archive}", disk.beside())});
    let recorded = json!({"metadata": {"annotations": recorded}});
    disk.scene.patch_volume(volume_name(&volumes[1]), recorded).await;
    for name in ["trash", "archived"] {
        disk.scene.delete(name).await;
    }
    disk.bindery.run().await;
    for volume in &volumes {
        disk.scene.until_gone(volume).await;
    }
    eventually("nothing is in the trash", async || {
        let left = disk.names(&format!("{}/.bindery-trash", disk.beside()));
        left.is_empty().then_some(())
    })
    .await;
    assert!(beside.join(archive.as_str()).join("a/b/precious").exists());
    let message = disk.scene.event(volume_name(&volumes[1]), "DirectoryArchived").await;
    assert!(
        message.contains(&format!(
            "is archived as {}/{archive}; its object is Archive ",
            disk.beside()
        )),
        "{message}"
    );
    disk.bindery.unregister().await;
}

/// Below an export with `fsid=`, the numbers of two file systems can be equal, as those of btrfs subvolumes below every
/// export of Linux.
#[tokio::test]
async fn a_directory_with_the_numbers_of_another_volumes_directory_is_removed_from_the_trash() {
    let mut server = Ganesha::start_v3();
    server.kill();
    server.fsid = Some(new_fsid());
    for name in ["gone", "kept"] {
        let disk = server.export_dir().join(name);
        std::fs::create_dir(&disk).unwrap();
        server.mount(&disk);
    }
    server.restart();
    let flags = [
        &format!("--nfs-server={}", server.address()),
        "--retention-interval=200ms",
    ];
    let bindery = Bindery::start(&flags).await;
    let parameters = json!({"subDir": "${pvc.metadata.name}/data", "onDelete": "delete"});
    let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
    let disk = Disk { server, bindery, scene };
    let (_, gone) = disk.scene.bound(disk.scene.claim("gone")).await;
    let (_, kept) = disk.scene.bound(disk.scene.claim("kept")).await;
    assert_eq!(annotation(&gone, "directory-id"), annotation(&kept, "directory-id"));
    for name in ["gone/data", "kept/data"] {
        fill(&disk.place(name));
    }
    disk.scene.delete("gone").await;
    disk.scene.until_gone(&gone).await;
    eventually("the trash is empty", async || {
        let left = disk.names("gone/.bindery-trash");
        left.is_empty().then_some(())
    })
    .await;
    assert_eq!(disk.names("gone"), [".bindery-trash"]);
    assert!(disk.place("kept/data/a/b/precious").exists());
    disk.bindery.unregister().await;
}

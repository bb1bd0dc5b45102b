//! Claims on a mounted share.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{chmod, chown_to};
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::bindfs::Bindfs;
use crate::support::mount::Mount;
use crate::support::scene::{Scene, annotation, volume_name};
use crate::support::wait::eventually;

/// The uid of Bindery.
const BINDERY: u32 = 65532;

#[tokio::test]
async fn claims_are_served_through_the_mount_and_their_volumes_name_the_server() {
    let name = format!("mounted-{}", &Uuid::new_v4().simple().to_string()[..8]);
    let export = Bed::get().export.join(&name);
    fs::create_dir(&export).unwrap();
    chown_to(&export, BINDERY);
    // Other users cannot read the folder of the bed.
    let public = tempfile::tempdir().unwrap();
    chmod(public.path(), 0o755);
    let mount = Mount::bind(&export, public.path());
    let path = mount.path().to_owned();
    let (server, share) = (&Bed::get().server, format!("{}/{name}", Bed::get().share));
    let flag = format!("--mounted={server}:{share}={}", path.display());
    let bindery = Bindery::start(&[&flag]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let class = |on_delete| json!({"parameters": {"server": server, "share": share, "onDelete": on_delete}});
    scene.class(&format!("{}-delete", scene.name), class("delete")).await;
    scene.class(&format!("{}-archive", scene.name), class("archive")).await;
    let claim = |name: &str, kind: &str| {
        let class = format!("{}-{kind}", scene.name);
        scene.claim_with(name, json!({"spec": {"storageClassName": class}}))
    };

    let (_, deleted) = scene.bound(claim("deleted", "delete")).await;
    let (_, archived) = scene.bound(claim("archived", "archive")).await;
    let place = |volume| path.join(annotation(volume, "sub-dir").expect("a sub-dir"));
    let nfs = deleted.spec.as_ref().unwrap().nfs.clone().unwrap();
    let at = format!("{share}/{}", annotation(&deleted, "sub-dir").unwrap());
    assert_eq!((&nfs.server, nfs.path), (server, at));
    // If Bindery connected to the server directly, it would be root: the owner shows that it used the mount.
    let metadata = fs::metadata(export.join(annotation(&deleted, "sub-dir").unwrap())).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o777, BINDERY));

    // Directories with modes that keep their owner, who is not root, from reading them.
    for bits in [0o000, 0o100, 0o300, 0o400, 0o500, 0o600] {
        let closed = place(&deleted).join(format!("mode-{bits:03o}"));
        fs::create_dir_all(closed.join("below")).unwrap();
        fs::write(closed.join("below/file"), "").unwrap();
        for path in [closed.join("below/file"), closed.join("below"), closed.clone()] {
            chown_to(&path, BINDERY);
        }
        chmod(&closed.join("below"), bits);
        chmod(&closed, bits);
    }
    fs::write(place(&archived).join("file"), "kept").unwrap();

    scene.delete("deleted").await;
    scene.delete("archived").await;
    scene.until_gone(&deleted).await;
    scene.until_gone(&archived).await;
    eventually("the trash is empty", async || {
        let left = fs::read_dir(path.join(".bindery-trash")).map_or(0, Iterator::count);
        (left == 0).then_some(())
    })
    .await;
    let mut left: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    left.sort();
    let [trash, archive] = &left[..] else {
        panic!("{left:?}");
    };
    assert!(trash.ends_with(".bindery-trash"));
    assert_eq!(fs::read_to_string(archive.join("file")).unwrap(), "kept");
    assert!(archive.to_str().unwrap().contains(volume_name(&archived)));

    drop(mount);
    let class = format!("{}-delete", scene.name);
    let late = scene.claim_with("late", json!({"spec": {"storageClassName": class}}));
    let warnings = scene.create_with_warnings(late).await;
    let message = format!("nothing is mounted at {}", path.display());
    assert!(
        warnings.iter().any(|warning| warning.contains(&message)),
        "{warnings:?}"
    );
    let _mount = Mount::bind(&export, &path);
    let (_, late) = scene.until_bound("late").await;
    assert!(place(&late).is_dir());
    bindery.unregister().await;
}

#[tokio::test]
async fn a_file_system_that_keeps_its_modes_serves_claims_with_a_warning() {
    let public = tempfile::tempdir().unwrap();
    chmod(public.path(), 0o755);
    let behind = tempfile::tempdir().unwrap();
    chown_to(behind.path(), BINDERY);
    let _shown = Bindfs::mount("--chmod-deny", behind.path(), public.path(), Vec::new());
    let flag = format!("--mounted=nas:/export={}", public.path().display());
    let bindery = Bindery::start(&[&flag]).await;
    let class = |more: Value| {
        let mut parameters = json!({"server": "nas", "share": "/export", "onDelete": "delete"});
        json_patch::merge(&mut parameters, &more);
        json!({"parameters": parameters})
    };
    let scene = Scene::of_with(&bindery.provisioner, class(json!({"mountPermissions": "2770"}))).await;
    let other = format!("{}-other", scene.name);
    scene.class(&other, class(json!({"mountPermissions": "0"}))).await;

    let warnings = scene.create_with_warnings(scene.claim("data")).await;
    let (_, volume) = scene.until_bound("data").await;
    let directory = annotation(&volume, "sub-dir").unwrap();
    let mode = fs::metadata(behind.path().join(directory)).unwrap().mode() & 0o7777;
    assert_eq!(mode, 0o770);
    assert_eq!(
        warnings,
        [format!(
            "directory {directory} has mode {mode:04o}: the server does not set or keep mode 2770; an administrator can \
             create a class with a mode that it keeps, or with mountPermissions 0, which leaves the mode to the server"
        )]
    );
    let silent = scene.claim_with("silent", json!({"spec": {"storageClassName": other}}));
    assert_eq!(scene.create_with_warnings(silent).await, Vec::<String>::new());
    scene.until_bound("silent").await;

    scene.delete("data").await;
    scene.until_gone(&volume).await;
    assert!(!behind.path().join(directory).exists());
    bindery.unregister().await;
}

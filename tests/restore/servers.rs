//! Restore on each kind of server, and with servers that do not answer.

use std::path::Path;

use bindery::model::archive::{Archive, ArchivePhase};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{claim_of, read, until_phase, write};
use crate::support::archives::place;
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::directories::{chmod, chown_to};
use crate::support::mount::Mount;
use crate::support::nfs::Ganesha;
use crate::support::scene::{Scene, annotation, volume_name};
use crate::support::wait::eventually;

/// Archives a claim of this scene and restores it. The export is at this path.
async fn there_and_back(scene: &Scene, export: &Path) {
    let archive = archived_at(scene, export).await;
    let (_, volume) = scene.bound(claim_of(scene, "again", &archive.name_any())).await;
    assert_eq!(read(&at(export, &volume)).as_deref(), Some("data"));
    assert!(!export.join(place(&archive)).exists());
    until_phase(scene, &archive, ArchivePhase::Restored).await;
}

pub(super) fn at(export: &Path, volume: &PersistentVolume) -> std::path::PathBuf {
    export.join(annotation(volume, "sub-dir").unwrap())
}

pub(super) async fn archived_at(scene: &Scene, export: &Path) -> Archive {
    let (_, volume) = scene.bound(scene.claim("data")).await;
    write(&at(export, &volume), "data");
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    scene.until_archived("data").await
}

pub(super) async fn on(bindery: &Bindery, server: &Ganesha, more: &Value) -> Scene {
    let mut parameters = json!({"server": server.address().to_string(), "nfsVersion": server.version().as_str()});
    json_patch::merge(&mut parameters, more);
    Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await
}

#[tokio::test]
async fn archives_are_restored_with_version_4_1_and_3() {
    let bindery = Bindery::start(&[]).await;
    for server in [Ganesha::start_v4_1(), Ganesha::start_v3()] {
        let scene = on(
            &bindery,
            &server,
            &json!({"restoreAttributes": "class", "mountPermissions": "0750"}),
        )
        .await;
        there_and_back(&scene, &server.export_dir()).await;
        let (_, volume) = scene.until_bound("again").await;
        assert_eq!(
            crate::support::directories::mode_of(&at(&server.export_dir(), &volume)),
            0o750
        );
    }
    bindery.unregister().await;
}

#[tokio::test]
async fn archives_are_restored_on_a_mounted_share() {
    let name = format!("mounted-{}", &Uuid::new_v4().simple().to_string()[..8]);
    let export = Bed::get().export.join(&name);
    std::fs::create_dir(&export).unwrap();
    chown_to(&export, 65532);
    let public = tempfile::tempdir().unwrap();
    chmod(public.path(), 0o755);
    let mount = Mount::bind(&export, public.path());
    let (server, share) = (&Bed::get().server, format!("{}/{name}", Bed::get().share));
    let bindery = Bindery::start(&[&format!("--mounted={server}:{share}={}", mount.path().display())]).await;
    let parameters = json!({"share": share, "subDir": "a/${pvc.metadata.namespace}/${pvc.metadata.name}"});
    let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
    there_and_back(&scene, &export).await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_class_of_another_nfs_version_restores_the_archive() {
    let server = Ganesha::start_v3();
    let bindery = Bindery::start(&[]).await;
    let scene = on(&bindery, &server, &json!({})).await;
    let archive = archived_at(&scene, &server.export_dir()).await;
    let v4 = format!("{}-v4", scene.name);
    let parameters = json!({"server": server.address().to_string(), "nfsVersion": "4"});
    scene.class(&v4, json!({"parameters": parameters})).await;
    let mut claim = claim_of(&scene, "again", &archive.name_any());
    claim["spec"]["storageClassName"] = json!(v4);
    let (_, volume) = scene.bound(claim).await;
    assert_eq!(read(&at(&server.export_dir(), &volume)).as_deref(), Some("data"));
    assert_eq!(annotation(&volume, "nfs-version"), Some("4"));
    scene.delete("again").await;
    scene.until_gone(&volume).await;
    let again = scene.until_archived("again").await;
    assert_eq!(read(&server.export_dir().join(place(&again))).as_deref(), Some("data"));
    bindery.unregister().await;
}

/// If two names differ only in the case of letters, the numbers say whether they are one directory. Here, a bind mount makes
/// them one. The archive was made with another NFS version than the new volume has.
#[tokio::test]
async fn an_archive_of_another_nfs_version_that_another_volume_has_is_not_restored() {
    let mut server = Ganesha::start_v3();
    let bindery = Bindery::start(&[]).await;
    let scene = on(&bindery, &server, &json!({})).await;
    let (_, data) = scene.bound(scene.claim("data")).await;
    let (first, second) = (format!("{}-first", scene.name), format!("{}-second", scene.name));
    for (class, path) in [(&first, "x/again"), (&second, "X/Again")] {
        let parameters = json!({
            "server": server.address().to_string(), "nfsVersion": "4", "subDir": path, "existingDirectory": "adopt",
        });
        scene.class(class, json!({"parameters": parameters})).await;
    }
    let mounted = server.export_dir().join("x/again");
    std::fs::create_dir_all(&mounted).unwrap();
    server.kill();
    server.bind(&at(&server.export_dir(), &data), &mounted);
    server.restart();
    let of_class = |mut claim: Value, class: &str| {
        claim["spec"]["storageClassName"] = json!(class);
        claim
    };
    let (_, other) = scene.bound(of_class(scene.claim("other"), &first)).await;
    scene.delete("data").await;
    scene.until_gone(&data).await;
    let archive = scene.until_archived("data").await;
    let again = claim_of(&scene, "again", &archive.name_any());
    let message = scene.refused(of_class(again, &second)).await;
    assert!(message.contains(volume_name(&other)), "{message}");
    assert!(server.export_dir().join(place(&archive)).exists());
    bindery.unregister().await;
}

#[tokio::test]
async fn an_archive_is_not_moved_to_another_file_system() {
    let mut server = Ganesha::start_v3();
    server.kill();
    let disk = server.export_dir().join("disk");
    std::fs::create_dir_all(&disk).unwrap();
    server.mount(&disk);
    server.restart();
    let bindery = Bindery::start(&[]).await;
    let scene = on(&bindery, &server, &json!({})).await;
    let archive = archived_at(&scene, &server.export_dir()).await;
    let other = format!("{}-disk", scene.name);
    let parameters = json!({
        "server": server.address().to_string(), "nfsVersion": "3", "subDir": "disk/${pvc.metadata.name}",
        "existingDirectory": "deny",
    });
    scene.class(&other, json!({"parameters": parameters})).await;
    let mut claim = claim_of(&scene, "again", &archive.name_any());
    claim["spec"]["storageClassName"] = json!(other);
    let message = scene.refused(claim).await;
    let expected = format!(
        "the directory {} of Archive {} cannot be moved to disk/again of share {}:/export, which is on another file system; \
         choose a class whose directories are on the file system of the archive",
        place(&archive),
        archive.name_any(),
        server.address()
    );
    assert!(message.ends_with(&expected), "{message}");
    assert_eq!(
        read(&server.export_dir().join(place(&archive))).as_deref(),
        Some("data")
    );
    bindery.unregister().await;
}

#[tokio::test]
async fn a_claim_waits_for_a_server_that_is_down_or_hangs() {
    let mut server = Ganesha::start();
    let bindery = Bindery::start(&["--deadline=2s", "--orphan-grace=4s"]).await;
    let scene = on(&bindery, &server, &json!({})).await;
    let archive = archived_at(&scene, &server.export_dir()).await;
    server.kill();
    let warnings = scene.create_with_warnings(claim_of(&scene, "again", "data")).await;
    assert!(
        warnings[0].starts_with("the volume is not provisioned yet"),
        "{warnings:?}"
    );
    assert_eq!(
        read(&server.export_dir().join(place(&archive))).as_deref(),
        Some("data")
    );
    server.restart();
    let (_, volume) = scene.until_bound("again").await;
    assert_eq!(read(&at(&server.export_dir(), &volume)).as_deref(), Some("data"));
    scene.delete("again").await;
    scene.until_gone(&volume).await;
    let archive = scene.until_archived("again").await;

    server.freeze();
    scene
        .create(claim_of(&scene, "third", &archive.name_any()))
        .await
        .unwrap();
    server.thaw();
    let (_, volume) = scene.until_bound("third").await;
    assert_eq!(read(&at(&server.export_dir(), &volume)).as_deref(), Some("data"));
    bindery.unregister().await;
}

#[tokio::test]
async fn with_two_replicas_two_claims_do_not_get_one_archive() {
    let first = Bindery::start(&[]).await;
    let scene = Scene::of(&first.provisioner).await;
    let second = first.replica().await;
    let user = format!("other-{}", scene.name);
    first.split_reviews_with(&second, &user).await;
    let theirs = Scene {
        client: Bed::get().admin_as(&user).await,
        name: scene.name.clone(),
        provisioner: scene.provisioner.clone(),
    };
    for turn in 0..5 {
        let name = format!("data-{turn}");
        let archive = super::archived(&scene, &name).await;
        let archive_name = archive.name_any();
        let (one, other) = tokio::join!(
            scene.create(claim_of(&scene, &format!("one-{turn}"), &archive_name)),
            theirs.create(claim_of(&scene, &format!("other-{turn}"), &archive_name)),
        );
        let winners: Vec<_> = [one, other].into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "turn {turn}");
        let (_, volume) = scene.until_bound(&winners[0].name_any()).await;
        assert_eq!(
            read(&crate::support::scene::directory(&volume)).as_deref(),
            Some(&*name)
        );
        eventually("the archive is restored", async || {
            let all = scene.own_archives().await;
            let is_it = |one: &&Archive| one.uid() == archive.uid();
            let phase = all.iter().find(is_it)?.status.as_ref()?.phase;
            (phase == ArchivePhase::Restored).then_some(())
        })
        .await;
    }
    drop(second);
    first.unregister().await;
}

//! Restore is a claim: a claim that names an archive gets its directory.

#[cfg(feature = "failpoints")]
mod crashes;
mod late;
mod refusals;
mod rights;
mod servers;
mod undone;
mod waiting;

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use bindery::model::archive::{Archive, ArchivePhase};
use futures::future::join_all;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::expansion::{request_size, until_size};
use crate::support::archives::{phase, place};
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, from, volume_name};
use crate::support::wait::eventually;

/// Returns the fields of a claim that names an archive, or a claim whose newest archive is meant.
fn source(name: &str) -> Value {
    json!({"spec": {"dataSourceRef": {"apiGroup": "bindery.dev", "kind": "Archive", "name": name}}})
}

/// Returns a claim that names an archive.
fn claim_of(scene: &Scene, name: &str, archive: &str) -> Value {
    scene.claim_with(name, source(archive))
}

/// Writes a file with this text.
fn write(directory: &Path, text: &str) {
    std::fs::write(directory.join("precious"), text).unwrap();
}

/// Returns the text of that file; `None` if it is gone.
fn read(directory: &Path) -> Option<String> {
    std::fs::read_to_string(directory.join("precious")).ok()
}

/// Creates a claim with a file, deletes it, and returns its archive.
async fn archived(scene: &Scene, name: &str) -> Archive {
    archived_with(scene, scene.claim(name), name).await
}

/// Does the same with another claim, and with this text in the file.
async fn archived_with(scene: &Scene, claim: Value, text: &str) -> Archive {
    let name = claim["metadata"]["name"].as_str().unwrap().to_owned();
    let (_, volume) = scene.bound(claim).await;
    write(&directory(&volume), text);
    let uid = volume.metadata.uid.clone();
    scene.delete(&name).await;
    scene.until_gone(&volume).await;
    scene
        .until_archive(&format!("claim {name} has an Archive"), |archive| {
            archive.spec.volume_uid == uid && phase(archive) == Some(ArchivePhase::Available)
        })
        .await
}

/// Returns the directory of an archive on this machine.
fn directory_of(archive: &Archive) -> std::path::PathBuf {
    Bed::get().export.join(place(archive))
}

/// Waits until the object of an archive has this phase.
async fn until_phase(scene: &Scene, archive: &Archive, wanted: ArchivePhase) -> Archive {
    scene
        .until_archive(&format!("the Archive is {wanted:?}"), |one| {
            one.uid() == archive.uid() && phase(one) == Some(wanted)
        })
        .await
}

/// Waits until the archive has its directory again, under the name that it had, and is `Available`.
async fn until_put_back(scene: &Scene, archive: &Archive, text: &str) {
    let now = until_phase(scene, archive, ArchivePhase::Available).await;
    assert_eq!(place(&now), place(archive));
    assert_eq!(read(&directory_of(archive)).as_deref(), Some(text));
    let directories = scene.own_directories();
    assert!(
        directories.iter().all(|name| name.starts_with("archived-")),
        "{directories:?}"
    );
}

/// Returns a condition of an archive.
fn restored_condition(archive: &Archive) -> (String, String) {
    let conditions = &archive.status.as_ref().unwrap().conditions;
    let [condition] = &conditions[..] else {
        panic!("{conditions:?}")
    };
    assert_eq!(condition.type_, "Restored");
    (condition.status.clone(), condition.message.clone())
}

#[tokio::test]
async fn a_claim_gets_the_directory_of_the_archive_that_it_names() {
    let scene = Scene::new().await;
    let archive = archived(&scene, "data").await;
    let name = archive.name_any();
    let inode = std::fs::metadata(directory_of(&archive)).unwrap().ino();

    let created = scene.create(claim_of(&scene, "again", &name)).await.unwrap();
    // The request has brought the volume and the files.
    let volume = created.spec.unwrap().volume_name.expect("a volume");
    let volume = scene.volumes().get(&volume).await.unwrap();
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
    assert_eq!(std::fs::metadata(directory(&volume)).unwrap().ino(), inode);
    assert!(!directory_of(&archive).exists());

    let (_, volume) = scene.until_bound("again").await;
    let restored_from = format!("{}/{name}", scene.name);
    assert_eq!(annotation(&volume, "restored-from"), Some(&*restored_from));
    assert_eq!(annotation(&volume, "directory"), Some("adopted"));
    assert_eq!(annotation(&volume, "directory-id"), Some(&*archive.spec.directory_id));
    let restored = until_phase(&scene, &archive, ArchivePhase::Restored).await;
    let expected = format!(
        "the directory is that of claim again (PersistentVolume {})",
        volume_name(&volume)
    );
    assert_eq!(restored_condition(&restored), ("True".to_owned(), expected));
    let restore = restored.status.clone().unwrap().restore.unwrap();
    assert_eq!(
        json!(restore),
        json!({
            "claimName": "again",
            "volumeName": volume_name(&volume),
            "directory": annotation(&volume, "sub-dir"),
        })
    );

    // The data is that of the claim, so nothing happens to it if the Archive is deleted.
    scene.delete_archive(&restored).await;
    scene.until_archive_gone(&restored).await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));

    // The claim is a claim like any other.
    write(&directory(&volume), "changed");
    scene.delete("again").await;
    scene.until_gone(&volume).await;
    let again = scene.until_archived("again").await;
    assert_eq!(read(&directory_of(&again)).as_deref(), Some("changed"));
    let (_, third) = scene.bound(claim_of(&scene, "third", &again.name_any())).await;
    assert_eq!(read(&directory(&third)).as_deref(), Some("changed"));
}

#[tokio::test]
async fn the_name_of_a_claim_means_its_newest_archive() {
    let scene = Scene::new().await;
    let mut archives = Vec::new();
    for text in ["first", "second"] {
        if let Some(before) = archives.last() {
            let before: &Archive = before;
            let next = before.spec.archived_at.0.as_second();
            let later = async || (jiff::Timestamp::now().as_second() > next).then_some(());
            eventually("the next second", later).await;
        }
        archives.push(archived_with(&scene, scene.claim("data"), text).await);
    }
    let newest = archives[1].name_any();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let _ = scene
        .claims()
        .create(&dry, &from(claim_of(&scene, "data", "data")))
        .await
        .unwrap();
    assert!(directory_of(&archives[1]).exists(), "a dry run changes nothing");
    let warnings = scene.create_with_warnings(claim_of(&scene, "data", "data")).await;
    assert_eq!(
        warnings,
        [format!("this claim gets Archive {newest}, the newest of claim data")]
    );
    let (_, volume) = scene.until_bound("data").await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("second"));
    until_phase(&scene, &archives[1], ArchivePhase::Restored).await;
    let (_, volume) = scene.bound(claim_of(&scene, "older", "data")).await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("first"));
}

#[tokio::test]
async fn a_dry_run_says_which_archive_and_which_directory() {
    let scene = Scene::new().await;
    let archive = archived(&scene, "data").await;
    let name = archive.name_any();
    let mut kubectl = std::process::Command::new(std::env::var("KUBECTL").expect("run `make test`"));
    let mut apply = kubectl
        .args(["apply", "--dry-run=server", "-f", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let manifest = claim_of(&scene, "again", "data").to_string();
    std::io::Write::write_all(&mut apply.stdin.take().unwrap(), manifest.as_bytes()).unwrap();
    let output = apply.wait_with_output().unwrap();
    let warnings = String::from_utf8(output.stderr).unwrap();
    let volume = bindery::model::archive::restored_volume(archive.spec.key().unwrap());
    let expected = format!(
        "Warning: without dry run, this claim gets Archive {name}, the newest of claim data: directory {} of share \
         {}:{} is moved to {}-again-{volume}\n",
        place(&archive),
        Bed::get().server,
        Bed::get().share,
        scene.name
    );
    assert_eq!((warnings, output.status.success()), (expected, true));
    assert_eq!(until_phase(&scene, &archive, ArchivePhase::Available).await, archive);
    assert!(scene.own_volumes().await.is_empty());
}

#[tokio::test]
async fn of_two_claims_at_once_one_gets_the_archive() {
    let scene = Scene::new().await;
    let archive = archived(&scene, "data").await;
    let name = archive.name_any();
    let names: Vec<String> = (0..6).map(|number| format!("again-{number}")).collect();
    let created = join_all(names.iter().map(|claim| scene.create(claim_of(&scene, claim, &name)))).await;
    let (winners, losers): (Vec<_>, Vec<_>) = names.iter().zip(created).partition(|(_, created)| created.is_ok());
    let [(winner, _)] = &winners[..] else {
        panic!("{winners:?}")
    };
    for (_, refused) in losers {
        let Err(kube::Error::Api(status)) = refused else {
            panic!()
        };
        assert!(
            status
                .message
                .contains(&format!("Archive {name} is being restored to claim"))
                || status
                    .message
                    .contains(&format!("Archive {name} was restored to claim"))
                || status.message.contains("already exists, so the directory"),
            "{}",
            status.message
        );
        assert!(
            !status.message.contains("already exists, so the directory"),
            "{}",
            status.message
        );
    }
    let (_, volume) = scene.until_bound(winner).await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
    assert_eq!(scene.own_volumes().await.len(), 1);
    until_phase(&scene, &archive, ArchivePhase::Restored).await;
    let message = scene.refused(claim_of(&scene, "late", &name)).await;
    let expected = format!(
        "Archive {name} was restored to claim {}/{winner} (PersistentVolume {})",
        scene.name,
        volume_name(&volume)
    );
    assert!(message.contains(&expected), "{message}");
}

/// Changes mode, owner and group of a directory on this machine.
fn set_attributes(directory: &Path, mode: u32, owner: u32) {
    chown(directory, Some(owner), Some(owner)).unwrap();
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn attributes(volume: &PersistentVolume) -> (u32, u32, u32) {
    let found = std::fs::metadata(directory(volume)).unwrap();
    (found.mode() & 0o7777, found.uid(), found.gid())
}

#[tokio::test]
async fn mode_and_owner_stay_unless_the_class_says_otherwise() {
    let scene = Scene::new().await;
    let of_class = format!("{}-class", scene.name);
    let parameters = json!({"mountPermissions": "0750", "uid": "1007", "gid": "1008", "restoreAttributes": "class"});
    scene.class(&of_class, json!({"parameters": parameters})).await;
    for name in ["kept", "set"] {
        let archive = archived(&scene, name).await;
        set_attributes(&directory_of(&archive), 0o2711, 1234);
    }
    let (_, volume) = scene.bound(claim_of(&scene, "kept", "kept")).await;
    assert_eq!(attributes(&volume), (0o2711, 1234, 1234));
    let mut claim = claim_of(&scene, "set", "set");
    claim["spec"]["storageClassName"] = json!(of_class);
    let (_, volume) = scene.bound(claim).await;
    assert_eq!(attributes(&volume), (0o750, 1007, 1008));
    assert_eq!(annotation(&volume, "directory"), Some("new"));
    assert_eq!(read(&directory(&volume)).as_deref(), Some("set"));
}

#[tokio::test]
async fn a_larger_claim_gets_the_archive_and_can_grow() {
    let scene = Scene::with_class(json!({"allowVolumeExpansion": true})).await;
    let archive = archived(&scene, "data").await;
    let mut claim = claim_of(&scene, "again", &archive.name_any());
    claim["spec"]["resources"]["requests"]["storage"] = json!("2Gi");
    let (_, volume) = scene.bound(claim).await;
    let capacity = volume.spec.as_ref().unwrap().capacity.clone().unwrap();
    assert_eq!(capacity["storage"].0, "2Gi");
    request_size(&scene, "again", "3Gi").await.unwrap();
    until_size(&scene, "again", "3Gi").await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
}

#[tokio::test]
async fn an_archive_returns_to_a_layout_without_the_name_of_the_volume() {
    let parameters = json!({"subDir": "${pvc.metadata.namespace}/of/${pvc.metadata.name}"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    let archive = archived(&scene, "data").await;
    let (_, volume) = scene.bound(claim_of(&scene, "data", &archive.name_any())).await;
    let path = format!("{}/of/data", scene.name);
    assert_eq!(annotation(&volume, "sub-dir"), Some(&*path));
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
    // A directory that exists is not replaced, even if it is empty.
    let other = archived(&scene, "other").await;
    let taken = Bed::get().export.join(format!("{}/of/taken", scene.name));
    std::fs::create_dir(&taken).unwrap();
    let message = scene.refused(claim_of(&scene, "taken", &other.name_any())).await;
    let share = format!("{}:{}", Bed::get().server, Bed::get().share);
    let expected = format!(
        "directory {}/of/taken of share {share} already exists, so the directory {} of Archive {} cannot be moved there; \
         give the claim another name, or move that directory away",
        scene.name,
        place(&other),
        other.name_any()
    );
    assert!(message.ends_with(&expected), "{message}");
    assert_eq!(read(&directory_of(&other)).as_deref(), Some("other"));
    assert!(taken.exists());
}

#[tokio::test]
async fn an_archive_keeps_the_group_that_only_its_volume_had() {
    let first = 100_000 + u32::from_be_bytes(*uuid::Uuid::new_v4().as_bytes().first_chunk().unwrap()) % 1_000_000_000;
    let parameters = json!({"gid": "auto", "gidRange": format!("{first}-{}", first + 9)});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let group = annotation(&volume, "gid").unwrap().to_owned();
    write(&directory(&volume), "data");
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    let archive = scene.until_archived("data").await;
    let (_, volume) = scene.bound(claim_of(&scene, "again", &archive.name_any())).await;
    assert_eq!(annotation(&volume, "gid"), Some(&*group));
    let pods = &volume.annotations()["pv.beta.kubernetes.io/gid"];
    assert_eq!(*pods, group, "pods get the group");
    assert_eq!(attributes(&volume).2.to_string(), group);
    scene.delete("again").await;
    scene.until_gone(&volume).await;
    let again = scene.until_archived("again").await;
    assert_eq!(again.spec.gid.unwrap().to_string(), group);
}

#[tokio::test]
async fn an_archive_that_was_renamed_on_the_share_is_restored_before_its_object_follows() {
    let bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let archive = archived(&scene, "data").await;
    let renamed = Bed::get()
        .export
        .join(format!("{}-until-29991231T235959Z", place(&archive)));
    std::fs::rename(directory_of(&archive), &renamed).unwrap();
    let (_, volume) = scene.bound(claim_of(&scene, "again", &archive.name_any())).await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
    assert!(!renamed.exists());
    until_phase(&scene, &archive, ArchivePhase::Restored).await;
    bindery.unregister().await;
}

#[tokio::test]
async fn the_object_of_an_archive_that_a_claim_has_ends_with_its_namespace() {
    let scene = Scene::new().await;
    let archive = archived(&scene, "data").await;
    let (_, volume) = scene.bound(claim_of(&scene, "again", &archive.name_any())).await;
    until_phase(&scene, &archive, ArchivePhase::Restored).await;
    scene.delete_namespace(&scene.name).await;
    scene.until_gone(&volume).await;
    let again = scene.until_archived("again").await;
    assert_eq!(again.namespace().as_deref(), Some("bindery"));
    assert_eq!(read(&directory_of(&again)).as_deref(), Some("data"));
    let all = scene.own_archives().await;
    assert!(all.iter().all(|one| one.spec.key() != archive.spec.key()), "{all:#?}");
}

#[tokio::test]
async fn a_claim_with_an_archive_does_not_get_another_volume() {
    let scene = Scene::new().await;
    let archive = archived(&scene, "data").await;
    // Kubernetes would bind the claim to this volume.
    let by_hand = format!("{}-by-hand", scene.name);
    scene
        .volumes_create(json!({
            "metadata": {"name": by_hand},
            "spec": {
                "storageClassName": scene.name,
                "accessModes": ["ReadWriteMany"],
                "capacity": {"storage": "1Gi"},
                "nfs": {"server": Bed::get().server, "path": "/elsewhere"},
            },
        }))
        .await;
    let (_, volume) = scene.bound(claim_of(&scene, "again", &archive.name_any())).await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
    scene
        .volumes()
        .delete(&by_hand, &DeleteParams::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_claim_that_the_webhook_did_not_see_gets_its_archive_later() {
    let mut bindery = Bindery::start(&["--retention-interval=500ms"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let archive = archived(&scene, "data").await;
    bindery.kill();
    scene.create(claim_of(&scene, "again", "data")).await.unwrap();
    scene.create(claim_of(&scene, "unknown", "nothing")).await.unwrap();
    bindery.run().await;
    let (_, volume) = scene.until_bound("again").await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
    until_phase(&scene, &archive, ArchivePhase::Restored).await;
    let message = scene.event("unknown", "ProvisioningRefused").await;
    let expected = format!(
        "namespace {} has no Archive nothing, and no archive of a claim nothing",
        scene.name
    );
    assert_eq!(message, expected);
    assert_eq!(scene.own_volumes().await.len(), 1, "no empty volume");
    bindery.unregister().await;
}

#[tokio::test]
async fn with_after_create_the_volume_is_restored_after_the_request() {
    let scene = Scene::with_class(json!({"parameters": {"provision": "afterCreate"}})).await;
    archived(&scene, "data").await;
    let created = scene.create(claim_of(&scene, "again", "data")).await.unwrap();
    assert_eq!(created.spec.unwrap().volume_name, None);
    let (_, volume) = scene.until_bound("again").await;
    assert_eq!(read(&directory(&volume)).as_deref(), Some("data"));
    let message = scene.refused(claim_of(&scene, "unknown", "nothing")).await;
    assert!(message.contains("has no Archive nothing"), "{message}");
}

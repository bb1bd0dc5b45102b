//! Layouts that administrators choose with a directory template.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::scene::{Scene, annotation, directory, volume_name};
use crate::support::wait::eventually;

pub const DENIED: &str = "admission webhook \"claims.bindery.dev\" denied the request: ";

pub async fn scene(parameters: Value) -> Scene {
    Scene::with_class(json!({"parameters": parameters})).await
}

/// Returns the path of a folder in the export that only this scene uses.
pub fn place(scene: &Scene, path: &str) -> std::path::PathBuf {
    Bed::get().export.join(&scene.name).join(path)
}

#[tokio::test]
async fn both_template_syntaxes_put_claims_into_a_folder_of_their_namespace() {
    for template in [
        json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.labels['app']}/${pvc.metadata.name}"}),
        json!({"pathPattern": "${.PVC.namespace}/${.PVC.labels.app}/${.PVC.name}"}),
    ] {
        let scene = scene(template).await;
        let labelled = json!({"metadata": {"labels": {"app": "db"}}});
        let (_, volume) = scene.bound(scene.claim_with("data", labelled)).await;
        assert_eq!(
            annotation(&volume, "sub-dir"),
            Some(format!("{}/db/data", scene.name).as_str())
        );
        assert_eq!(std::fs::metadata(directory(&volume)).unwrap().mode() & 0o7777, 0o777);
        for parent in ["", "db"] {
            let found = std::fs::metadata(place(&scene, parent)).unwrap();
            assert_eq!((found.mode() & 0o7777, found.uid()), (0o755, 0), "parent {parent:?}");
        }
    }
}

#[tokio::test]
async fn a_claim_without_a_label_that_the_template_uses_is_refused() {
    let scene = scene(json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.labels['app']}"})).await;
    assert_eq!(
        scene.refused(scene.claim("data")).await,
        format!(
            "{DENIED}${{pvc.metadata.namespace}}/${{pvc.metadata.labels['app']}} (subDir of StorageClass {}) gives no \
            valid directory for this claim: label app of the claim is needed for the directory and is not set; set it",
            scene.name
        )
    );
    scene.assert_nothing_made().await;
}

#[tokio::test]
async fn annotations_cannot_lead_out_of_the_share() {
    let template = "${.PVC.namespace}/${.PVC.annotations.nfs.io/storage-path}";
    let scene = scene(json!({"pathPattern": template})).await;
    for path in [
        "../../etc",
        "/../etc",
        "a//b",
        ".",
        "",
        "a/../b",
        ".bindery-trash/x",
        " a",
    ] {
        let annotated = json!({"metadata": {"annotations": {"nfs.io/storage-path": path}}});
        let refused = scene.refused(scene.claim_with("data", annotated)).await;
        assert!(
            refused.starts_with(&format!("{DENIED}{template} (pathPattern of StorageClass ")),
            "{path:?}: {refused}"
        );
    }
    scene.assert_nothing_made().await;
}

#[tokio::test]
async fn a_directory_is_archived_and_the_next_claim_starts_empty() {
    let scene = scene(json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"})).await;
    let (_, first) = scene.bound(scene.claim("data")).await;
    std::fs::write(directory(&first).join("old"), "").unwrap();
    scene.delete("data").await;
    scene.until_gone(&first).await;
    let (_, second) = scene.bound(scene.claim("data")).await;
    assert_eq!(volume_name(&first), volume_name(&second), "one directory, one name");
    assert!(!directory(&second).join("old").exists());
    let archives = std::fs::read_dir(&Bed::get().export).unwrap();
    let prefix = format!("archived-{}-data-", scene.name);
    let archive = archives
        .map(|entry| entry.unwrap())
        .find(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    assert!(archive.expect("an archive").path().join("old").exists());
}

#[tokio::test]
async fn a_second_claim_for_a_directory_is_refused_with_the_name_of_the_first() {
    let scene = scene(json!({"subDir": "${pvc.metadata.namespace}/shared"})).await;
    let (_, volume) = scene.bound(scene.claim("first")).await;
    assert_eq!(
        scene.refused(scene.claim("second")).await,
        format!(
            "{DENIED}directory {0}/shared of share {1}:/export belongs to volume {2}, which claim {0}/first uses; choose \
             another directory for this claim",
            scene.name,
            Bed::get().server,
            volume_name(&volume),
        )
    );
    assert_eq!(scene.own_volumes().await, [volume]);
}

#[tokio::test]
async fn parallel_claims_for_one_directory_get_one_volume() {
    let scene = scene(json!({"subDir": "${pvc.metadata.namespace}/shared"})).await;
    let creates = (0..8).map(|turn| scene.create(scene.claim(&format!("data-{turn}"))));
    let results = futures::future::join_all(creates).await;
    let won: Vec<_> = results.iter().flatten().collect();
    assert_eq!(won.len(), 1, "{results:?}");
    let (_, volume) = scene.until_bound(won[0].metadata.name.as_deref().unwrap()).await;
    assert_eq!(scene.own_volumes().await, [volume]);
    for lost in results.iter().filter_map(|result| result.as_ref().err()) {
        assert!(lost.to_string().contains("belongs to volume"), "{lost}");
    }
}

#[tokio::test]
async fn a_retained_volume_blocks_its_directory_and_the_refusal_says_how_to_free_it() {
    let fields =
        json!({"parameters": {"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"}, "reclaimPolicy": "Retain"});
    let scene = Scene::with_class(fields).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let name = volume_name(&volume);
    std::fs::write(directory(&volume).join("precious"), "").unwrap();
    scene.delete("data").await;
    let refused = eventually("the claim is refused for a Released volume", async || {
        let refused = scene.refused(scene.claim("data")).await;
        refused.contains("which is Released").then_some(refused)
    })
    .await;
    assert!(refused.contains(&format!("kubectl delete pv {name}")), "{refused}");

    // When the volume is deleted, the next claim adopts the directory with its data: only this claim can have its path.
    scene.volumes().delete(name, &DeleteParams::default()).await.unwrap();
    scene.until_gone(&volume).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    assert_eq!(annotation(&volume, "directory"), Some("adopted"));
    assert!(directory(&volume).join("precious").exists());
}

#[tokio::test]
async fn an_adopted_directory_keeps_mode_and_owner_and_a_warning_says_so() {
    let scene = scene(json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}", "uid": "1000"})).await;
    std::fs::create_dir_all(place(&scene, "data")).unwrap();
    std::fs::set_permissions(place(&scene, "data"), std::fs::Permissions::from_mode(0o750)).unwrap();
    let warning = format!(
        "directory {}/data already existed: it keeps its mode 0750 and its owner 0:0",
        scene.name
    );
    assert_eq!(scene.create_with_warnings(scene.claim("data")).await, [warning]);
    let (_, volume) = scene.until_bound("data").await;
    assert_eq!(annotation(&volume, "directory"), Some("adopted"));
    let found = std::fs::metadata(directory(&volume)).unwrap();
    assert_eq!((found.mode() & 0o7777, found.uid()), (0o750, 0));
}

#[tokio::test]
async fn an_adopted_directory_with_another_owner_gives_a_warning() {
    let scene =
        scene(json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}", "uid": "1000", "gid": "0"})).await;
    for (name, owner) in [("data", 0), ("same", 1000)] {
        std::fs::create_dir_all(place(&scene, name)).unwrap();
        std::fs::set_permissions(place(&scene, name), std::fs::Permissions::from_mode(0o777)).unwrap();
        chown(place(&scene, name), Some(owner), Some(0)).unwrap();
    }
    let warning = format!(
        "directory {}/data already existed: it keeps its mode 0777 and its owner 0:0",
        scene.name
    );
    assert_eq!(scene.create_with_warnings(scene.claim("data")).await, [warning]);
    assert_eq!(
        scene.create_with_warnings(scene.claim("same")).await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_directory_that_may_belong_to_another_claim_is_not_adopted() {
    let scene = scene(json!({"subDir": "x-${pvc.metadata.namespace}/${pvc.metadata.name}"})).await;
    let there = Bed::get().export.join(format!("x-{}", scene.name)).join("data");
    std::fs::create_dir_all(&there).unwrap();
    assert_eq!(
        scene.refused(scene.claim("data")).await,
        format!(
            "{DENIED}directory x-{}/data of share {}:/export already exists and may hold data, and existingDirectory \
            is deny for this claim (bindery explain shows why); move the directory away, give the claim another name, or \
            ask an administrator to delete the StorageClass and create it again with existingDirectory: adopt",
            scene.name,
            Bed::get().server,
        )
    );
    assert_eq!(scene.own_volumes().await, []);
    assert!(there.exists());
}

#[tokio::test]
async fn a_symlink_or_file_in_the_path_refuses_the_claim() {
    let scene = scene(json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}/deep"})).await;
    let elsewhere = Bed::get().export.join(format!("elsewhere-{}", scene.name));
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::create_dir(place(&scene, "")).unwrap();
    symlink(&elsewhere, place(&scene, "link")).unwrap();
    std::fs::write(place(&scene, "file"), "").unwrap();
    for name in ["link", "file"] {
        let refused = scene.refused(scene.claim(name)).await;
        assert!(
            refused.starts_with(DENIED) && refused.contains("is a file or a symbolic link; links are never followed"),
            "{refused}"
        );
    }
    assert_eq!(scene.own_volumes().await, []);
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[tokio::test]
async fn a_claim_created_again_gets_its_new_size_and_policy() {
    let template = "${pvc.metadata.namespace}/${pvc.metadata.name}";
    let scene = scene(json!({"subDir": template, "onDelete": "delete", "claimOverrides": "onDelete"})).await;
    // The quota of the API server refuses the first attempt after Bindery has admitted it.
    scene.set_quota("requests.storage", "0").await;
    let refused = scene.refused(scene.claim("data")).await;
    assert!(
        refused.contains("exceeded quota") && refused.contains("requests.storage=1Gi"),
        "{refused}"
    );
    let left = scene.own_volumes().await;
    assert_eq!(left.len(), 1, "the volume waits for a claim of that name");
    let retain = json!({
        "metadata": {"annotations": {"bindery.dev/on-delete": "retain"}},
        "spec": {"resources": {"requests": {"storage": "2Gi"}}},
    });
    scene.create_without_quota(scene.claim_with("data", retain)).await;
    let (_, volume) = scene.until_bound("data").await;
    assert_eq!(annotation(&volume, "on-delete"), Some("retain"));
    assert_eq!(volume.spec.clone().unwrap().capacity.unwrap()["storage"].0, "2Gi");
    assert_eq!(volume.metadata.uid, left[0].metadata.uid, "it is the same volume");
}

#[tokio::test]
async fn text_that_looks_like_a_token_is_reported_on_the_class_and_refuses_its_claims() {
    let scene = scene(json!({"subDir": "{{ .PVC.namespace }}/data"})).await;
    let mistake = "subDir is \"{{ .PVC.namespace }}/data\": character 1: {{ .PVC.namespace }} is not a value but text, the \
                   same for every claim; did you mean ${pvc.metadata.namespace}?; to write it as text, put a backslash \
                   before each special character, such as \\{";
    let event = scene.event(&scene.name, "ClassHasMistakes").await;
    assert!(event.contains(mistake), "{event}");
    let refused = scene.refused(scene.claim("data")).await;
    assert!(refused.contains(mistake), "{refused}");
}

#[tokio::test]
async fn different_nfs_versions_of_pods_and_bindery_are_an_event_on_the_class() {
    let scene = Scene::with_class(json!({"mountOptions": ["hard", "nfsvers=3"]})).await;
    let event = scene.event(&scene.name, "ClassWarnings").await;
    assert!(
        event.contains("mountOptions has nfsvers=3, so pods use NFSv3, but Bindery uses NFSv4"),
        "{event}"
    );
    let on_the_claim = json!({"metadata": {"annotations": {"volume.beta.kubernetes.io/mount-options": "hard"}}});
    let warnings = scene.create_with_warnings(scene.claim_with("data", on_the_claim)).await;
    assert_eq!(
        warnings,
        [format!(
            "volume.beta.kubernetes.io/mount-options on the claim is ignored: mount options are in the field mountOptions \
             of StorageClass {}",
            scene.name
        )]
    );
}

#[tokio::test]
async fn a_name_that_begins_like_an_archive_is_a_directory_like_any_other() {
    let parameters = json!({"subDir": "${pvc.metadata.name}-${pvc.metadata.namespace}", "archiveRetention": "1d"});
    let scene = scene(parameters).await;
    let (_, volume) = scene.bound(scene.claim("archived-mails")).await;
    std::fs::write(directory(&volume).join("precious"), "").unwrap();
    scene.delete("archived-mails").await;
    scene.until_gone(&volume).await;
    let prefix = format!("archived-archived-mails-{}-", scene.name);
    let names = std::fs::read_dir(&Bed::get().export).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let archive = names.find(|name| name.starts_with(&prefix)).expect("an archive");
    assert!(Bed::get().export.join(archive).join("precious").exists());
}

#[tokio::test]
async fn names_that_differ_in_their_unicode_form_only_are_one_directory() {
    let parameters = json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.annotations['example.com/path']}"});
    let scene = scene(parameters).await;
    let at = |claim: &str, path: &str| {
        scene.claim_with(claim, json!({"metadata": {"annotations": {"example.com/path": path}}}))
    };
    scene.bound(at("one", "/caf\u{e9}/")).await;
    assert!(place(&scene, "caf\u{e9}").is_dir());
    let refused = scene.refused(at("two", "cafe\u{301}")).await;
    assert!(
        refused.contains(&format!("which claim {}/one uses", scene.name)),
        "{refused}"
    );
    let refused = scene.refused(at("three", "./x")).await;
    let expected = "annotation example.com/path of the claim is \"./x\", which has the segment \".\", which means the \
                    directory itself; leave it out; correct the annotation";
    assert!(refused.contains(expected), "{refused}");
}

//! The volume of a claim has everything that Kubernetes expects of a provisioned volume, and its directory exists.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use futures::future::join_all;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::knfsd::inode;
use crate::support::scene::{Scene, annotation, directory, volume_name};
use crate::support::wait::eventually;

#[tokio::test]
async fn the_directory_exists_when_the_create_request_returns() {
    let scene = Scene::new().await;
    let claim = scene.create(scene.claim("data")).await.unwrap();
    let name = claim.spec.unwrap().volume_name.expect("spec.volumeName");
    let volume = scene.volumes().get(&name).await.unwrap();
    let found = std::fs::metadata(directory(&volume)).unwrap();
    assert!(found.is_dir());
    assert_eq!(found.permissions().mode() & 0o7777, 0o777);
}

#[tokio::test]
async fn claims_with_every_nfs_access_mode_are_bound() {
    let scene = Scene::new().await;
    for (turn, modes) in [
        json!(["ReadWriteOnce"]),
        json!(["ReadOnlyMany"]),
        json!(["ReadWriteMany"]),
        json!(["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"]),
    ]
    .into_iter()
    .enumerate()
    {
        let claim = scene.claim_with(&format!("data-{turn}"), json!({"spec": {"accessModes": modes}}));
        let (claim, volume) = scene.bound(claim).await;
        assert_eq!(json!(volume.spec.unwrap().access_modes), modes);
        assert_eq!(json!(claim.status.unwrap().access_modes), modes);
    }
}

/// Checks what the upstream end-to-end test `checkProvisioning` checks, and Bindery's own annotations.
#[tokio::test]
async fn the_volume_matches_its_class_and_claim() {
    let scene = Scene::with_class(json!({
        "parameters": {"onDelete": "delete"},
        "mountOptions": ["nfsvers=4.1", "hard"],
        "reclaimPolicy": "Delete",
    }))
    .await;
    let claim = scene.claim_with(
        "data",
        json!({"spec": {"resources": {"requests": {"storage": "1536Mi"}}}}),
    );
    let (claim, volume) = scene.bound(claim).await;

    let bed = Bed::get();
    let name = volume_name(&volume).to_owned();
    let sub_dir = format!("{}-data-{name}", scene.name);
    assert_eq!(annotation(&volume, "sub-dir"), Some(sub_dir.as_str()));
    assert_eq!(annotation(&volume, "share"), Some(bed.share.as_str()));
    assert_eq!(annotation(&volume, "directory"), Some("new"));
    assert_eq!(annotation(&volume, "on-delete"), Some("delete"));
    assert_eq!(annotation(&volume, "mount-permissions"), Some("0777"));
    assert!(annotation(&volume, "instance").is_some());
    let inode = inode(&directory(&volume));
    assert!(
        annotation(&volume, "directory-id")
            .unwrap()
            .ends_with(&format!(":{inode:x}"))
    );

    let annotations = volume.metadata.annotations.as_ref().unwrap();
    assert_eq!(annotations["pv.kubernetes.io/provisioned-by"], bed.provisioner);
    let finalizers = volume.metadata.finalizers.as_ref().unwrap();
    assert!(finalizers.contains(&"bindery.dev/cleanup".to_owned()));

    let spec = volume.spec.unwrap();
    assert_eq!(spec.capacity.unwrap()["storage"].0, "1536Mi");
    assert_eq!(spec.persistent_volume_reclaim_policy.as_deref(), Some("Delete"));
    assert_eq!(spec.mount_options.unwrap(), ["nfsvers=4.1", "hard"]);
    assert_eq!(spec.storage_class_name.as_deref(), Some(scene.name.as_str()));
    assert_eq!(spec.volume_mode.as_deref(), Some("Filesystem"));
    assert_eq!(spec.claim_ref.unwrap().uid, claim.metadata.uid);
    let nfs = spec.nfs.unwrap();
    assert_eq!(
        (nfs.server, nfs.path),
        (bed.server.clone(), format!("{}/{sub_dir}", bed.share))
    );
    let status = claim.status.unwrap();
    assert_eq!(status.capacity.unwrap()["storage"].0, "1536Mi");
}

#[tokio::test]
async fn a_class_can_set_server_and_share() {
    let bed = Bed::get();
    let scene = Scene::with_class(json!({"parameters": {"server": bed.server, "share": "/squashed/../nowhere"}})).await;
    let refused = scene.refused(scene.claim("data")).await;
    assert_eq!(
        refused,
        format!(
            "admission webhook \"claims.bindery.dev\" denied the request: StorageClass {}: \
             share \"/squashed/../nowhere\" has the segment \"..\", which means the directory above; write the path without \
             it; an administrator must delete the class and create it again, because class parameters cannot be edited",
            scene.name
        )
    );
    let scene = Scene::with_class(json!({"parameters": {"server": bed.server, "share": "//export/"}})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    assert_eq!(annotation(&volume, "share"), Some("/export"));
}

#[tokio::test]
async fn on_delete_of_the_namespace_is_recorded_on_the_volume() {
    let scene = Scene::with_namespace(json!({"bindery.dev/on-delete": "retain"})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    assert_eq!(annotation(&volume, "on-delete"), Some("retain"));

    let scene = Scene::with_namespace(json!({"bindery.dev/archive-on-delete": "false"})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    assert_eq!(annotation(&volume, "on-delete"), Some("delete"));
}

#[tokio::test]
async fn settings_on_a_volume_do_not_change_with_its_namespace() {
    let scene = Scene::with_namespace(json!({"bindery.dev/on-delete": "delete"})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let annotated = json!({"metadata": {"annotations": {"bindery.dev/on-delete": "retain"}}});
    let namespaces: Api<Namespace> = Api::all(scene.client.clone());
    let (parameters, patch) = (PatchParams::default(), Patch::Merge(annotated));
    namespaces.patch(&scene.name, &parameters, &patch).await.unwrap();
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    assert!(!directory(&volume).exists(), "deleted, as was said when it was made");
}

#[tokio::test]
async fn mode_and_owner_are_exactly_what_the_class_says() {
    let parameters = json!({"mountPermissions": "2750", "uid": "1000", "gid": "2000"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let found = std::fs::metadata(directory(&volume)).unwrap();
    assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o2750, 1000, 2000));
    assert_eq!(
        (annotation(&volume, "uid"), annotation(&volume, "gid")),
        (Some("1000"), Some("2000"))
    );
}

#[tokio::test]
async fn a_claim_can_override_what_its_class_allows_and_gets_warnings_for_the_rest() {
    let scene = Scene::with_class(json!({"parameters": {"claimOverrides": "mountPermissions"}})).await;
    let annotations = json!({"bindery.dev/mount-permissions": "0700", "bindery.dev/on-delete": "retain"});
    let claim = scene.claim_with("data", json!({"metadata": {"annotations": annotations}}));
    let warning = format!(
        "bindery.dev/on-delete on the claim is ignored: StorageClass {} does not list onDelete in claimOverrides; \
        remove it, or ask an administrator to allow it",
        scene.name
    );
    assert_eq!(scene.create_with_warnings(claim).await, [warning]);
    let (_, volume) = scene.until_bound("data").await;
    assert_eq!(std::fs::metadata(directory(&volume)).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(annotation(&volume, "on-delete"), Some("archive"));
}

#[tokio::test]
async fn parallel_requests_for_one_claim_leave_one_volume() {
    let bindery = Bindery::start(&["--orphan-grace=4s"]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let created = join_all((0..10).map(|_| scene.create(scene.claim("data")))).await;
    assert_eq!(created.iter().filter(|claim| claim.is_ok()).count(), 1, "{created:?}");
    let (_, volume) = scene.until_bound("data").await;
    eventually("only the claim's volume and directory are left", async || {
        (scene.own_volumes().await.len() == 1 && scene.own_directories().len() == 1).then_some(())
    })
    .await;
    assert!(directory(&volume).is_dir());
    bindery.unregister().await;
}

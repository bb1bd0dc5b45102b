//! Volumes that nodes mount natively, with keys that may do nothing else.

use std::fs;
use std::io::ErrorKind;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::{Claims, WAYS, Way};
use crate::support::ceph::set_attribute;
use crate::support::ceph::{self, SHARES, on_this_machine};
use crate::support::csi::source;
use crate::support::scene::{annotation, from, volume_name};

#[tokio::test]
#[ignore = "make test-ceph runs it with a Ceph cluster"]
async fn a_node_mounts_the_directory_of_a_claim_and_bindery_archives_or_deletes_it() {
    for way in WAYS {
        let parameters = json!({
            "subDir": "teams/${pvc.metadata.namespace}/${pvc.metadata.name}",
            "claimOverrides": "onDelete",
        });
        let claims = Claims::with(way, parameters).await;
        let scene = &claims.scene;
        for (name, on_delete) in [("kept", "archive"), ("thrown-away", "delete")] {
            let annotations = json!({"bindery.dev/on-delete": on_delete});
            let claim = scene.claim_with(name, json!({"metadata": {"annotations": annotations}}));
            let (_, volume) = scene.bound(claim).await;
            let root_path = format!("{}/teams/{}/{name}", claims.root, scene.name);
            let csi = source(&volume);
            assert_eq!(csi.volume_attributes.as_ref().unwrap()["rootPath"], root_path);
            assert_eq!(csi.volume_handle, volume_name(&volume));

            let node = claims.mount_on_node(&volume).await.expect("the node mounts the volume");
            fs::create_dir(node.path().join("below")).unwrap();
            fs::write(node.path().join("below/file"), name).unwrap();
            drop(node);
            // Another node sees what the first one has written.
            let node = claims.mount_on_node(&volume).await.expect("another node mounts it");
            assert_eq!(fs::read_to_string(node.path().join("below/file")).unwrap(), name);
            drop(node);

            scene.delete(name).await;
            scene.until_gone(&volume).await;
            assert!(
                !on_this_machine(&root_path).exists(),
                "{way:?}: {root_path} is still there"
            );
            if on_delete == "archive" {
                let archive = claims.below(&scene.until_archived(name).await.spec.directory);
                assert_eq!(fs::read_to_string(archive.join("below/file")).unwrap(), name);
            }
        }
        claims.bindery.unregister().await;
    }
}

#[tokio::test]
#[ignore = "make test-ceph runs it with a Ceph cluster"]
async fn the_keys_of_bindery_and_of_the_nodes_reach_only_the_share_and_only_binderys_sets_quotas() {
    let claims = Claims::with(Way::Mount, json!({})).await;
    let (_, volume) = claims.scene.bound(claims.scene.claim("data")).await;
    fs::create_dir_all(on_this_machine("/kubernetes/others")).unwrap();
    for user in ["client.bindery", "client.nodes"] {
        for path in ["/", "/kubernetes", "/kubernetes/others"] {
            let Err(refused) = ceph::mount(user, path) else {
                panic!("{user} can mount {path}");
            };
            assert!(refused.contains("Operation not permitted"), "{refused}");
        }
    }
    let node = claims.mount_on_node(&volume).await.unwrap();
    let below = node.path().join("below");
    fs::create_dir(&below).unwrap();
    for (name, value) in [("ceph.quota.max_bytes", "1048576"), ("ceph.dir.layout.pool", "data")] {
        let refused = set_attribute(&below, name, value).unwrap_err();
        assert!(refused.contains("Permission denied"), "{refused}");
    }
    let share = ceph::mount("client.bindery", SHARES).unwrap();
    for mount in [&node, &share] {
        let refused = fs::create_dir(mount.path().join(".snap/monday")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{refused}");
    }
    let directory = claims.root.strip_prefix(SHARES).unwrap().trim_start_matches('/');
    let directory = share
        .path()
        .join(directory)
        .join(annotation(&volume, "sub-dir").unwrap());
    assert_eq!(
        set_attribute(&directory.join("below"), "ceph.quota.max_bytes", "8388608"),
        Ok(())
    );
    claims.bindery.unregister().await;
}

#[tokio::test]
#[ignore = "make test-ceph runs it with a Ceph cluster"]
async fn a_namespace_with_a_key_of_its_own_reaches_only_its_own_volumes() {
    let subdirectory = "${pvc.metadata.namespace}/${pvc.metadata.name}";
    let claims = Claims::with(Way::Nfs, json!({"subDir": subdirectory})).await;
    let scene = &claims.scene;
    let (_, others) = scene.bound(scene.claim("data")).await;

    let team = format!("{}-team", scene.name);
    scene.namespace(&team, json!({})).await;
    // The key can be made before the directory exists.
    let path = format!("{}/{team}", claims.root);
    ceph::authorize(&team, &path);
    claims.secret(&team, &team).await;
    let mut claim = scene.claim("data");
    claim["metadata"]["namespace"] = json!(team);
    let all: Api<PersistentVolumeClaim> = Api::namespaced(scene.client.clone(), &team);
    let created = all.create(&PostParams::default(), &from(claim)).await.unwrap();
    let own = scene
        .volumes()
        .get(&created.spec.unwrap().volume_name.unwrap())
        .await
        .unwrap();

    let node = claims.mount_on_node(&own).await.expect("the node mounts the volume");
    fs::write(node.path().join("file"), "content").unwrap();
    let attributes = source(&others).volume_attributes.as_ref();
    let Err(refused) = ceph::mount(&format!("client.{team}"), &attributes.unwrap()["rootPath"]) else {
        panic!("the key of one namespace mounts the volume of another one");
    };
    assert!(refused.contains("Operation not permitted"), "{refused}");
    claims.bindery.unregister().await;
}

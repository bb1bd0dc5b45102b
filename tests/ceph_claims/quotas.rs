//! Quotas of `CephFS`, which an administrator sets on directories. Some clients do not move a directory out of a parent with a
//! quota. A mount of a directory with a quota shows the quota as its size.

use std::fs;
use std::path::Path;

use bindery::storage::Storage;
use kube::api::{Patch, PatchParams};
use rustix::fs::{getxattr, statvfs};
use serde_json::json;

use super::{Claims, WAYS, Way, place};
use crate::expansion::{request_size, until_size};
use crate::support::ceph::set_attribute;
use crate::support::csi::install;
use crate::support::directories::long_deadline;
use crate::support::kind::Kind;
use crate::support::scene::{annotation, volume_name};
use crate::support::wait::eventually;

#[tokio::test]
#[ignore = "make test-ceph runs it with a Ceph cluster"]
async fn a_volume_below_a_directory_with_a_quota_is_archived_and_deleted() {
    for way in WAYS {
        let subdirectory = "${pvc.metadata.namespace}/${pvc.metadata.name}";
        let parameters = json!({"subDir": subdirectory, "claimOverrides": "onDelete"});
        let claims = Claims::with(way, parameters).await;
        let scene = &claims.scene;
        for (name, on_delete) in [("kept", "archive"), ("thrown-away", "delete")] {
            let annotations = json!({"bindery.dev/on-delete": on_delete});
            let claim = scene.claim_with(name, json!({"metadata": {"annotations": annotations}}));
            let (_, volume) = scene.bound(claim).await;
            let directory = place(&volume);
            fs::write(directory.join("file"), vec![1; 1 << 20]).unwrap();
            // The namespace has 16 MB, and the volume 8 MB of them.
            set_attribute(directory.parent().unwrap(), "ceph.quota.max_bytes", "16777216").unwrap();
            set_attribute(&directory, "ceph.quota.max_bytes", "8388608").unwrap();
            scene.delete(name).await;
            scene.until_gone(&volume).await;
            assert!(!directory.exists(), "{way:?}");
            if on_delete == "archive" {
                let archive = claims.below(&scene.until_archived(name).await.spec.directory);
                assert_eq!(fs::metadata(archive.join("file")).unwrap().len(), 1 << 20);
            }
        }
        claims.bindery.unregister().await;
    }
}

#[tokio::test]
#[ignore = "make test-ceph runs it with a Ceph cluster"]
async fn a_node_sees_the_quota_of_a_directory_as_the_size_of_the_volume() {
    let claims = Claims::with(Way::Nfs, json!({})).await;
    let (_, volume) = claims.scene.bound(claims.scene.claim("data")).await;
    set_attribute(&place(&volume), "ceph.quota.max_bytes", "67108864").unwrap();
    let node = claims.mount_on_node(&volume).await.unwrap();
    let size = statvfs(node.path()).unwrap();
    assert_eq!(size.f_blocks * size.f_frsize, 67_108_864);
    let error = (0..100).find_map(|number| {
        let content = vec![1; 4 << 20];
        let written = fs::write(node.path().join(number.to_string()), content);
        written
            .and_then(|()| fs::File::open(node.path()).and_then(|directory| directory.sync_all()))
            .err()
    });
    let error = error.expect("more than the quota could be written");
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::DQUOT.raw_os_error()));
    claims.bindery.unregister().await;
}

#[tokio::test]
#[ignore = "make test-ceph runs it with a Ceph cluster"]
async fn a_class_limits_the_directory_of_a_claim_and_a_larger_request_raises_the_limit() {
    let claims = Claims::with(Way::Mount, json!({})).await;
    let scene = &claims.scene;
    let class = format!("{}-limited", scene.name);
    let parameters = json!({"server": "nas", "share": "/export", "sizeLimit": "set"});
    let fields = json!({"parameters": parameters, "allowVolumeExpansion": true});
    scene.class(&class, fields).await;
    let claim = scene.claim_with("data", json!({"spec": {"storageClassName": class}}));
    let (_, volume) = scene.bound(claim).await;
    let directory = claims.below(annotation(&volume, "sub-dir").unwrap());
    assert_eq!(limit(&directory), "1073741824");
    request_size(scene, "data", "2Gi").await.unwrap();
    until_size(scene, "data", "2Gi").await;
    assert_eq!(limit(&directory), "2147483648");
    claims.bindery.unregister().await;
}

/// csi-resizer writes the sizes as here, and Bindery has nothing left to write but the limit.
#[tokio::test]
#[ignore = "make test-ceph runs it with a Ceph cluster"]
async fn a_limit_is_raised_after_csi_resizer_has_written_the_size() {
    install("nfs.csi.k8s.io").await;
    let mut claims = Claims::with(Way::Mount, json!({})).await;
    let class = format!("{}-limited", claims.scene.name);
    let parameters = json!({"server": "nas", "share": "/export", "sizeLimit": "set", "volumeSource": "csi"});
    let fields = json!({"parameters": parameters, "allowVolumeExpansion": true});
    claims.scene.class(&class, fields).await;
    let claim = json!({"spec": {"storageClassName": class}});
    let claim = claims.scene.claim_with("data", claim);
    let (_, volume) = claims.scene.bound(claim).await;
    let directory = claims.below(annotation(&volume, "sub-dir").unwrap());
    claims.bindery.kill();
    let scene = &claims.scene;
    request_size(scene, "data", "2Gi").await.unwrap();
    let size = json!({"storage": "2Gi"});
    scene
        .patch_volume(volume_name(&volume), json!({"spec": {"capacity": size}}))
        .await;
    let status = Patch::Merge(json!({"status": {"capacity": size, "allocatedResources": size}}));
    let (api, parameters) = (scene.claims(), PatchParams::default());
    api.patch_status("data", &parameters, &status).await.unwrap();
    assert_eq!(limit(&directory), "1073741824");
    claims.bindery.run().await;
    eventually("the limit is raised", async || {
        (limit(&directory) == "2147483648").then_some(())
    })
    .await;
    claims.bindery.unregister().await;
}

/// Returns the attribute of a directory with its limit.
fn limit(directory: &Path) -> String {
    let mut value = [0; 32];
    let length = getxattr(directory, "ceph.quota.max_bytes", &mut value).unwrap();
    String::from_utf8_lossy(&value[..length]).into_owned()
}

/// Without a quota, the size is that of the whole file system. The cluster of these tests does not know it: it has no manager.
#[tokio::test]
#[ignore = "make test-ceph runs it with a Ceph cluster"]
async fn the_space_of_a_share_with_a_quota_is_that_of_the_quota() {
    for kind in [Kind::Ceph, Kind::CephMinor1, Kind::CephV3, Kind::CephMounted] {
        let (server, client) = kind.start();
        set_attribute(&server.export_dir(), "ceph.quota.max_bytes", "67108864").unwrap();
        let share = server.share("/export");
        // The server learns of the quota when it next asks Ceph.
        eventually("the space is that of the quota", async || {
            let space = client.space(&share, None, long_deadline()).await.ok()??;
            ((space.total, space.available) == (67_108_864, 67_108_864)).then_some(())
        })
        .await;
    }
}

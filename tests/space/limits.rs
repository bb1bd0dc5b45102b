//! Claims that do not fit into the free space, or whose directory has no limit, are refused if their class says so.

#[cfg(feature = "failpoints")]
use bindery::failpoints::Point;
use serde_json::json;

use super::{until_measured, until_metric};
use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::scene::Scene;
#[cfg(feature = "failpoints")]
use crate::support::scene::{annotation, volume_name};
use crate::support::wait::eventually;

/// Returns the text after the beginning of each refusal.
fn reason(message: &str) -> &str {
    let (_, reason) = message.split_once("denied the request: ").expect("a refusal");
    reason
}

#[tokio::test]
async fn a_claim_larger_than_the_free_space_is_refused_if_its_class_requires_that() {
    let server = Ganesha::start_on_disk();
    let parameters = |free_space: &str| {
        let server = server.address().to_string();
        json!({"parameters": {"server": server, "share": "/export", "freeSpace": free_space}})
    };
    let scene = Scene::with_class(parameters("require")).await;
    let of_size = |name: &str, size: &str| {
        scene.claim_with(name, json!({"spec": {"resources": {"requests": {"storage": size}}}}))
    };
    let message = scene.refused(of_size("large", "1Ti")).await;
    let reason = reason(&message);
    let share = format!("{}:/export", server.address());
    assert!(
        reason.starts_with("the claim requests 1Ti, and of ")
            && reason.contains(&format!(" in share {share} only "))
            && reason.ends_with(&format!(
                " are free (StorageClass {} has freeSpace: require); request less, free space on the server, or choose \
                 another StorageClass",
                scene.name
            )),
        "{reason}"
    );
    scene.assert_nothing_made().await;
    scene.bound(of_size("small", "1Mi")).await;
    scene
        .class(&format!("{}-ignore", scene.name), parameters("ignore"))
        .await;
    let mut claim = of_size("ignored", "1Ti");
    claim["spec"]["storageClassName"] = json!(format!("{}-ignore", scene.name));
    scene.bound(claim).await;
}

#[tokio::test]
async fn a_claim_provisioned_later_is_refused_at_once_if_it_is_too_large() {
    let server = Ganesha::start_on_disk();
    let class = json!({"parameters": {
        "server": server.address().to_string(), "share": "/export", "freeSpace": "require", "provision": "afterCreate",
    }});
    let scene = Scene::with_class(class).await;
    let large = json!({"spec": {"resources": {"requests": {"storage": "1Ti"}}}});
    let message = scene.refused(scene.claim_with("large", large)).await;
    assert!(
        reason(&message).starts_with("the claim requests 1Ti, and of "),
        "{message}"
    );
    let small = json!({"spec": {"resources": {"requests": {"storage": "1Mi"}}}});
    scene.bound(scene.claim_with("small", small)).await;
}

#[tokio::test]
async fn a_directory_without_a_limit_is_removed_again_if_its_class_requires_one() {
    let scene = Scene::with_class(json!({"parameters": {"sizeLimit": "require"}})).await;
    let message = scene.refused(scene.claim("data")).await;
    let reason = reason(&message);
    let (directory, rest) = reason
        .strip_prefix("directory ")
        .and_then(|rest| rest.split_once(" of share "))
        .expect("the directory");
    assert!(
        directory.starts_with(&format!("{}-data-pvc-", scene.name)),
        "{directory}"
    );
    assert_eq!(
        rest,
        format!(
            "{}:{} has no size limit of its own on the server, and StorageClass {} has sizeLimit: require; let an \
             administrator set up a quota there that every new directory gets (a project quota, a qtree), or choose another \
             StorageClass",
            Bed::get().server,
            Bed::get().share,
            scene.name
        )
    );
    eventually("nothing is left", async || {
        (scene.own_volumes().await.is_empty() && scene.own_directories().is_empty()).then_some(())
    })
    .await;
}

/// Bindery dies after it has created the volume, and Kubernetes binds the claim to the volume.
#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_directory_without_a_limit_is_not_accepted_after_a_crash() {
    let mut bindery = Bindery::start(&[]).await;
    let class = json!({"parameters": {"sizeLimit": "require"}});
    let scene = Scene::of_with(&bindery.provisioner, class).await;
    bindery.kill();
    bindery.run_until_crash(Point::VolumeCreated).await;
    scene.create(scene.claim("data")).await.unwrap();
    bindery.until_exit().await;
    let volume = eventually("Kubernetes has bound the volume", async || {
        let [volume] = &scene.own_volumes().await[..] else {
            return None;
        };
        let is_bound = volume.status.as_ref()?.phase.as_deref() == Some("Bound");
        is_bound.then(|| volume.clone())
    })
    .await;
    bindery.run().await;
    let refused = scene.event("data", "ProvisioningRefused").await;
    let why = " has no size limit of its own on the server, and StorageClass ";
    assert!(refused.starts_with("directory ") && refused.contains(why), "{refused}");
    let failed = scene.event(volume_name(&volume), "ProvisioningFailed").await;
    assert!(
        failed.starts_with("the claim has the volume already, and directory ") && failed.contains(why),
        "{failed}"
    );
    let now = scene.volumes().get(volume_name(&volume)).await.unwrap();
    assert_eq!(annotation(&now, "ready"), None);
    bindery.unregister().await;
}

#[tokio::test]
async fn a_directory_that_is_smaller_than_its_share_is_accepted_and_its_limit_is_shown() {
    // To a client, a small file system in the share looks like a directory with a quota.
    let mut server = Ganesha::start_v3();
    let disk = server.export_dir().join("disk");
    std::fs::create_dir(&disk).unwrap();
    server.kill();
    server.mount(&disk);
    server.restart();
    let bindery = Bindery::start(&["--usage-interval=200ms"]).await;
    let scene = Scene::of_with(
        &bindery.provisioner,
        json!({"parameters": {
            "server": server.address().to_string(),
            "share": "/export",
            "subDir": "disk/${pvc.metadata.namespace}/${pvc.metadata.name}",
            "sizeLimit": "require",
        }}),
    )
    .await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    until_measured(&scene, &volume, |usage| usage.limit == Some(64 << 20)).await;
    let line = format!(
        "bindery_volume_limit_bytes{{namespace=\"{0}\",persistentvolumeclaim=\"data\",storageclass=\"{0}\"}} ",
        scene.name
    );
    assert_eq!(until_metric(&bindery, &line).await, 64 << 20);
    bindery.unregister().await;
}

#[tokio::test]
async fn a_limit_can_be_set_on_a_mount_of_cephfs_only() {
    let scene = Scene::with_class(json!({"parameters": {"sizeLimit": "set"}})).await;
    let message = scene.refused(scene.claim("data")).await;
    let reason = reason(&message);
    assert!(reason.starts_with("cannot limit the size of directory "), "{reason}");
    assert!(
        reason.ends_with(
            ": Bindery can set limits only on CephFS that is mounted in its pod (--mounted). Use a StorageClass with \
             sizeLimit: ignore, or sizeLimit: require if the server itself limits directories."
        ),
        "{reason}"
    );
    eventually("nothing is left", async || {
        (scene.own_volumes().await.is_empty() && scene.own_directories().is_empty()).then_some(())
    })
    .await;
}

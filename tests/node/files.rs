//! Users, groups and files in a volume, as containers see them.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::{Value, json};

use crate::node::Pod;
use crate::support::bed::Bed;
use crate::support::scene::{Scene, annotation, directory};

/// Returns the fields of a pod whose container runs as this user, with a group of the same number.
fn user(uid: u32) -> Value {
    json!({"securityContext": {"runAsUser": uid, "runAsGroup": uid, "runAsNonRoot": true}})
}

#[tokio::test]
async fn the_user_of_the_class_writes_and_reads_and_another_user_cannot() {
    let parameters = json!({"mountPermissions": "0700", "uid": "1000"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let owner = Pod::start(&scene, "owner", "data", user(1000)).await;
    let other = Pod::start(&scene, "other", "data", user(1001)).await;
    assert_eq!(
        owner.run("echo hello >/data/greeting; cat /data/greeting; stat -c 'owner %u' /data/greeting"),
        "hello\nowner 1000"
    );
    let error = other.try_run("cat /data/greeting").unwrap_err();
    assert!(
        error.contains("can't open '/data/greeting': Permission denied"),
        "{error}"
    );
    let file = directory(&volume).join("greeting").metadata().unwrap();
    assert_eq!(file.uid(), 1000);
    owner.end().await;
    other.end().await;
}

#[tokio::test]
async fn every_user_is_in_the_group_of_the_class() {
    let parameters = json!({"mountPermissions": "2770", "uid": "1000", "gid": "2000"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let pod = Pod::start(&scene, "user", "data", user(1001)).await;
    assert_eq!(
        pod.run("id -G; echo hello >/data/greeting; cat /data/greeting; stat -c '%u:%g' /data/greeting"),
        "1001 2000\nhello\n1001:2000"
    );
    let file = directory(&volume).join("greeting").metadata().unwrap();
    assert_eq!((file.uid(), file.gid()), (1001, 2000));
    pod.end().await;
}

#[tokio::test]
async fn only_pods_of_the_volume_are_in_the_group_that_gid_auto_gave_it() {
    let parameters = json!({"gid": "auto", "gidRange": "51000-51009"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    scene.bound(scene.claim("other")).await;
    let group = directory(&volume).metadata().unwrap().gid();
    assert!((51000..=51009).contains(&group), "{group}");
    let pod = Pod::start(&scene, "user", "data", user(1000)).await;
    assert_eq!(
        pod.run("id -G; echo secret >/data/file; stat -c '%u:%g' /data/file"),
        format!("1000 {group}\n1000:{group}")
    );

    // A pod of another claim, which also mounts the whole share.
    let mut fields = user(1000);
    let bed = Bed::get();
    fields["volumes"] = json!([
        {"name": "data", "persistentVolumeClaim": {"claimName": "other"}},
        {"name": "share", "nfs": {"server": bed.server, "path": bed.share}},
    ]);
    fields["containers"] = json!([{
        "name": "main",
        "image": "bindery.test/busybox:1",
        "command": ["sh", "-c", crate::node::IDLE],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "share", "mountPath": "/share"}],
    }]);
    let stranger = Pod::start(&scene, "stranger", "other", fields).await;
    let path = format!("/share/{}/file", annotation(&volume, "sub-dir").unwrap());
    let error = stranger.try_run(&format!("cat {path}")).unwrap_err();
    assert!(error.contains("Permission denied"), "{error}");
    pod.end().await;
    stranger.end().await;
}

#[tokio::test]
async fn fs_group_changes_no_file_and_gives_the_container_the_group() {
    let parameters = json!({"mountPermissions": "2770", "gid": "2000"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let directory = directory(&volume);
    std::fs::write(directory.join("old"), "").unwrap();
    let mut fields = user(1000);
    fields["securityContext"]["fsGroup"] = json!(3000);
    let pod = Pod::start(&scene, "user", "data", fields).await;
    // The container is in both groups. Files get the group of the directory.
    let groups = pod.run("id -G | tr ' ' '\\n' | sort");
    assert_eq!(groups, "1000\n2000\n3000");
    assert_eq!(pod.run("touch /data/new; stat -c '%u:%g' /data/new"), "1000:2000");
    let status = directory.metadata().unwrap();
    assert_eq!((status.gid(), status.permissions().mode() & 0o7777), (2000, 0o2770));
    assert_ne!(directory.join("old").metadata().unwrap().gid(), 3000);
    pod.end().await;
}

#[tokio::test]
async fn fs_group_does_not_make_a_directory_writable() {
    let parameters = json!({"mountPermissions": "0770"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    scene.bound(scene.claim("data")).await;
    let mut fields = user(1000);
    fields["securityContext"]["fsGroup"] = json!(3000);
    let pod = Pod::start(&scene, "user", "data", fields).await;
    let error = pod.try_run("touch /data/file").unwrap_err();
    assert!(error.contains("Permission denied"), "{error}");
    pod.end().await;
}

#[tokio::test]
async fn two_pods_on_one_claim_see_the_files_of_each_other() {
    let scene = Scene::new().await;
    scene.bound(scene.claim("data")).await;
    let one = Pod::start(&scene, "one", "data", user(1000)).await;
    let two = Pod::start(&scene, "two", "data", user(2000)).await;
    one.run("echo 'from one' >/data/one");
    assert_eq!(two.run("cat /data/one; echo 'from two' >/data/two"), "from one");
    one.end().await;
    assert_eq!(two.run("cat /data/one /data/two"), "from one\nfrom two");
    two.end().await;
}

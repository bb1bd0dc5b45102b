//! Mounts of a volume: options, paths inside a volume, statistics.

use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::{Value, json};

use crate::node::{LATE, Pod, in_guest};
use crate::support::scene::{Scene, directory};
use crate::support::wait::eventually_within;

#[tokio::test]
async fn the_kubelet_mounts_with_the_options_of_the_class() {
    let options = json!(["nfsvers=4.1", "noatime", "hard", "timeo=123"]);
    let scene = Scene::with_class(json!({"mountOptions": options})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let nfs = volume.spec.unwrap().nfs.unwrap();
    let pod = Pod::start(&scene, "user", "data", json!({})).await;
    let mounted = pod.run("grep ' /data ' /proc/mounts");
    let mut fields = mounted.split(' ');
    assert_eq!(
        fields.next(),
        Some(format!("{}:{}", nfs.server, nfs.path).as_str()),
        "{mounted}"
    );
    assert_eq!(
        (fields.next(), fields.next()),
        (Some("/data"), Some("nfs4")),
        "{mounted}"
    );
    let options: Vec<_> = fields.next().unwrap().split(',').collect();
    for option in ["rw", "noatime", "vers=4.1", "hard", "timeo=123"] {
        assert!(options.contains(&option), "{option}: {mounted}");
    }
    pod.end().await;
}

#[tokio::test]
async fn without_mount_options_the_mount_is_hard_with_the_newest_version() {
    let scene = Scene::new().await;
    scene.bound(scene.claim("data")).await;
    let pod = Pod::start(&scene, "user", "data", json!({})).await;
    let mounted = pod.run("grep ' /data ' /proc/mounts");
    assert!(mounted.contains("vers=4.2,") && mounted.contains(",hard,"), "{mounted}");
    pod.end().await;
}

/// Returns the fields of a pod that mounts a path inside its claim, as this user.
fn sub_path(path: &str, uid: u32) -> Value {
    json!({
        "securityContext": {"runAsUser": uid, "runAsGroup": uid},
        "containers": [{
            "name": "main",
            "image": "bindery.test/busybox:1",
            "command": ["sh", "-c", crate::node::IDLE],
            "volumeMounts": [{"name": "data", "mountPath": "/data", "subPath": path}],
        }],
    })
}

#[tokio::test]
async fn a_sub_path_is_created_by_the_kubelet_with_the_mode_of_the_volume() {
    let scene = Scene::with_class(json!({"parameters": {"mountPermissions": "0777"}})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let pod = Pod::start(&scene, "user", "data", sub_path("a/b", 1000)).await;
    assert_eq!(
        pod.run("stat -c '%a %u:%g' /data; echo hello >/data/file; cat /data/file"),
        "777 0:0\nhello"
    );
    let inside = std::fs::read_to_string(directory(&volume).join("a/b/file")).unwrap();
    assert_eq!(inside, "hello\n");
    pod.end().await;
}

#[tokio::test]
async fn a_sub_path_belongs_to_root_so_it_needs_a_group() {
    let parameters = json!({"mountPermissions": "0700", "uid": "1000"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    scene.bound(scene.claim("data")).await;
    let pod = Pod::start(&scene, "user", "data", sub_path("inside", 1000)).await;
    let error = pod.try_run("touch /data/file").unwrap_err();
    assert!(error.contains("Permission denied"), "{error}");
    pod.end().await;

    let parameters = json!({"mountPermissions": "2770", "uid": "1000", "gid": "2000"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    scene.bound(scene.claim("data")).await;
    let pod = Pod::start(&scene, "user", "data", sub_path("inside", 1000)).await;
    assert_eq!(
        pod.run("stat -c '%a %u:%g' /data; touch /data/file; ls /data"),
        "2770 0:2000\nfile"
    );
    pod.end().await;
}

/// Returns what the kubelet answers at its port for statistics.
fn kubelet_says(path: &str) -> String {
    in_guest(&format!(
        "exec 3<>/dev/tcp/127.0.0.1/10255; printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3; sed '1,/^\\r$/d' <&3; echo"
    ))
}

/// Returns the statistics of a claim from the kubelet's summary.
fn statistics(scene: &Scene, claim: &str) -> Option<Value> {
    let summary: Value = serde_json::from_str(&kubelet_says("/stats/summary")).ok()?;
    let reference = json!({"name": claim, "namespace": scene.name});
    let pods = summary["pods"].as_array()?;
    let mut volumes = pods.iter().filter_map(|pod| pod["volume"].as_array()).flatten();
    volumes.find(|volume| volume["pvcRef"] == reference).cloned()
}

/// Asserts that the kubelet reports the size of the server's file system for the claim `data`, which a pod uses.
pub async fn assert_statistics(scene: &Scene, volume: &PersistentVolume) {
    let reported = eventually_within(LATE, "the kubelet has statistics of the volume", async || {
        statistics(scene, "data").filter(|volume| volume["capacityBytes"].is_number())
    })
    .await;
    // The claim requests 1 GiB. The node's NFS client counts in blocks of 1 MiB.
    let server = rustix::fs::statvfs(&directory(volume)).unwrap();
    let capacity = reported["capacityBytes"].as_u64().unwrap();
    assert!(
        capacity.abs_diff(server.f_blocks * server.f_frsize) < 1 << 20,
        "{reported}"
    );

    let metrics = kubelet_says("/metrics");
    let claim = format!("{{namespace=\"{}\",persistentvolumeclaim=\"data\"}}", scene.name);
    for metric in [
        "capacity_bytes",
        "used_bytes",
        "available_bytes",
        "inodes",
        "inodes_used",
    ] {
        let line = format!("kubelet_volume_stats_{metric}{claim}");
        assert!(metrics.contains(&line), "{line}");
    }
}

#[tokio::test]
async fn the_kubelet_reports_the_size_of_the_file_system_of_the_server() {
    let scene = Scene::new().await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let pod = Pod::start(&scene, "user", "data", json!({})).await;
    assert_statistics(&scene, &volume).await;
    pod.end().await;
}

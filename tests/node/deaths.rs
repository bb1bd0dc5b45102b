//! Bindery, an NFS server or the kubelet ends while a pod writes. The pod continues, and no write is lost or fails.

use serde_json::json;

use crate::node::{LATE, Pod, in_guest, kubelet, name};
use crate::support::bindery::Bindery;
use crate::support::nfs::Ganesha;
use crate::support::scene::{Scene, annotation, directory};
use crate::support::wait::eventually_within;
use crate::writer::{self, Writer};

#[tokio::test]
async fn pods_run_and_start_while_bindery_is_dead() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let writer = Writer::start(&scene, "data", directory(&volume)).await;
    bindery.kill();
    writer.until_more(3).await;
    let reader = Pod::start(&scene, "reader", "data", json!({})).await;
    assert_eq!(reader.run("head -n 2 /data/numbers"), "1\n2");
    bindery.run().await;
    writer.until_more(3).await;
    writer.assert_complete().await;
    reader.end().await;
    writer.end().await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_pod_waits_for_a_dead_nfs_server_and_continues() {
    let mut server = Ganesha::start();
    let bindery = Bindery::start(&[&format!("--nfs-server={}", server.address())]).await;
    // With these options the kernel says after some seconds that the server does not respond.
    let options = json!(["nfsvers=4.2", "timeo=20", "retrans=1"]);
    let scene = Scene::of_with(&bindery.provisioner, json!({"mountOptions": options})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let place = server.export_dir().join(annotation(&volume, "sub-dir").unwrap());
    let writer = Writer::start(&scene, "data", place).await;
    server.kill();
    let message = format!("nfs: server {} not responding, still trying", server.address());
    eventually_within(
        LATE,
        "the node's kernel says that the server does not respond",
        async || in_guest("dmesg").contains(&message).then_some(()),
    )
    .await;
    server.restart();
    writer.until_more(3).await;
    writer.assert_complete().await;
    writer.end().await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_pod_continues_after_a_restart_of_the_kernel_nfs_server() {
    let parameters = json!({"server": name(), "share": "/srv/ext4/share"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let place = format!("/srv/ext4/share/{}", annotation(&volume, "sub-dir").unwrap());
    let numbers = || writer::parse(&in_guest(&format!("cat {place}/numbers 2>/dev/null || true")));
    let pod = Pod::with_script(&scene, "writer", "data", writer::SCRIPT).await;
    let until_more = async || {
        let before = numbers().len();
        eventually_within(LATE, "the pod has written three more numbers", async || {
            (numbers().len() >= before + 3).then_some(())
        })
        .await;
    };
    until_more().await;
    in_guest("knfsd restart");
    until_more().await;
    writer::assert_consecutive(&numbers());
    assert_eq!(pod.restarts().await, 0);
    pod.end().await;
}

#[tokio::test]
async fn a_pod_does_not_need_the_kubelet_and_a_new_kubelet_unmounts_its_volume() {
    let scene = Scene::new().await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let writer = Writer::start(&scene, "data", directory(&volume)).await;
    kubelet("kill");
    writer.until_more(3).await;
    kubelet("start");
    eventually_within(LATE, "the new kubelet serves the pod", async || {
        writer.pod().try_run("true").ok()
    })
    .await;
    writer.until_more(3).await;
    writer.assert_complete().await;
    writer.end().await;
    let mounts = in_guest("cat /proc/mounts");
    assert!(!mounts.contains(annotation(&volume, "sub-dir").unwrap()), "{mounts}");
}

//! The NFS client of the Linux kernel, in a virtual machine, mounts a volume of Bindery as a pod would.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::scene::{Scene, directory};

#[tokio::test]
async fn a_pods_user_can_write_and_read_in_its_volume() {
    let parameters = json!({"mountPermissions": "2770", "uid": "1000", "gid": "2000"});
    let scene = Scene::with_class(json!({"parameters": parameters})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let nfs = volume.spec.as_ref().unwrap().nfs.clone().unwrap();
    let script = "set -e
        stat -c 'mode %a of %u:%g' $MNT
        echo 'from the pod' | as 1000:1000 tee $MNT/greeting
        as 1000:1000 cat $MNT/greeting
        stat -c 'owner %u:%g' $MNT/greeting
        as 1001:1001 cat $MNT/greeting 2>/dev/null || echo 'nobody else'";
    let output = tokio::task::spawn_blocking(move || {
        let mut machine = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/kernel-client"))
            .args([&nfs.server, &nfs.path, "4.1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        machine.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        machine.wait_with_output().unwrap()
    })
    .await
    .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert_eq!(
        text,
        "mode 2770 of 1000:2000\nfrom the pod\nfrom the pod\nowner 1000:2000\nnobody else\n"
    );
    let file = std::fs::metadata(directory(&volume).join("greeting")).unwrap();
    assert_eq!((file.uid(), file.permissions().mode() & 0o170_000), (1000, 0o100_000));
}

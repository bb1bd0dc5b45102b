//! The hook of `helm uninstall` with `uninstall.letGo`, run with the permissions that the chart gives it.

use serde_json::json;

use super::installed::Release;
use super::uninstall::{finalizers, of_this_installation};
use super::{CHART, check_success, kubectl};
use crate::support::scene::{directory, volume_name};

#[tokio::test]
async fn helm_uninstall_releases_volumes_if_let_go_is_set() {
    let mut release = Release::install().await;
    let name = release.scene.name.clone();
    release.serve().await;
    let (_, volume) = release.scene.bound(release.scene.claim("data")).await;
    std::fs::write(directory(&volume).join("file"), "kept").unwrap();
    let hooks = release.set_let_go();
    release.stop().await;
    let never = copy_without_claim(&volume, &format!("t-{name}-never"));
    release.scene.volumes_create(never.clone()).await;
    release.helm(&["uninstall", &name]);
    // In this bed the Job's pod does not run. The test runs its command.
    let output = check_success("uninstall", release.run_hook(&hooks, "uninstall"));
    let spec = volume.spec.clone().unwrap().nfs.unwrap();
    let expected = format!(
        "webhook configuration {name}: does not exist\nvolume {}: finalizer removed; its data stays at {}:{}\nvolume \
         t-{name}-never: deleted, because no claim ever used it; an empty directory may remain at {}:{}\nvolumes done: 2, \
         skipped: 0\n",
        volume_name(&volume),
        spec.server,
        spec.path,
        spec.server,
        spec.path
    );
    assert_eq!(of_this_installation(&output), expected);

    let free = release.scene.volumes().get(volume_name(&volume)).await.unwrap();
    assert_eq!(finalizers(&free), ["kubernetes.io/pv-protection"]);
    release.scene.delete("data").await;
    release.scene.until_released(&volume).await;
    kubectl(&["delete", "pv", volume_name(&volume), "--timeout=60s"], "");
    let kept = std::fs::read_to_string(directory(&volume).join("file"));
    assert_eq!(kept.unwrap(), "kept");
}

/// Returns a copy of a volume in the state in which an interrupted review leaves it. Its claim was never created.
fn copy_without_claim(volume: &k8s_openapi::api::core::v1::PersistentVolume, name: &str) -> serde_json::Value {
    let mut never = json!(volume);
    let mut annotations = volume.metadata.annotations.clone().unwrap();
    annotations.retain(|key, _| key != "bindery.dev/ready" && !key.starts_with("pv.kubernetes.io/bound"));
    never["metadata"] = json!({"name": name, "annotations": annotations, "finalizers": ["bindery.dev/cleanup"]});
    let namespace = &volume.spec.as_ref().unwrap().claim_ref.as_ref().unwrap().namespace;
    never["spec"]["claimRef"] = json!({"namespace": namespace, "name": "never"});
    never["status"] = json!(null);
    never
}

#[tokio::test]
async fn a_release_without_a_lease_can_be_uninstalled() {
    let release = Release::install().await;
    let name = release.scene.name.clone();
    let set = [
        "upgrade",
        &name,
        CHART,
        "--reuse-values",
        "--set",
        "uninstall.letGo=true",
    ];
    release.helm(&set);
    let output = check_success("uninstall", release.run_hook(&release.hooks(), "uninstall"));
    assert_eq!(
        of_this_installation(&output),
        format!(
            "Lease {name}/{name}: does not exist; no volume has Bindery's finalizer\nwebhook configuration {name}: \
             deleted\nvolumes done: 0, skipped: 0\n"
        )
    );
}

#[tokio::test]
async fn released_volumes_are_left_unchanged_until_the_finalizer_is_added_again() {
    let mut release = Release::install().await;
    let name = release.scene.name.clone();
    release.serve().await;
    let (_, free) = release.scene.bound(release.scene.claim("free")).await;
    let (_, back) = release.scene.bound(release.scene.claim("back")).await;
    let hooks = release.set_let_go();
    release.stop().await;
    check_success("uninstall", release.run_hook(&hooks, "uninstall"));

    // The command in docs/uninstall.md.
    let patch = json!([
        {"op": "add", "path": "/metadata/finalizers/-", "value": "bindery.dev/cleanup"},
        {"op": "replace", "path": "/spec/persistentVolumeReclaimPolicy", "value": "Delete"},
    ]);
    kubectl(
        &[
            "patch",
            "pv",
            volume_name(&back),
            "--type=json",
            "-p",
            &patch.to_string(),
        ],
        "",
    );
    release.scene.delete("free").await;
    release.scene.delete("back").await;
    release.helm(&["uninstall", &name, "--no-hooks", "--wait"]);
    release.install_again();
    release.serve().await;
    release.scene.until_gone(&back).await;
    assert!(!directory(&back).exists());
    release.scene.until_released(&free).await;
    assert!(directory(&free).is_dir());
}

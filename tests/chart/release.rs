//! helm install, test, upgrade and uninstall on the real API server.

use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::installed::Release;
use super::{CHART, check_success, helm, kubectl};
use crate::support::scene::{annotation, directory, volume_name};
use crate::support::wait::eventually;

/// Returns whether kubectl finds an object.
fn exists(kind: &str, name: &str) -> bool {
    !kubectl(&["get", kind, name, "--ignore-not-found", "-o", "name"], "").is_empty()
}

#[tokio::test]
async fn a_helm_release_serves_claims_with_its_own_permissions() {
    let mut release = Release::install().await;
    let name = release.scene.name.clone();

    let unasked = release.check();
    let output = String::from_utf8(unasked.stdout).unwrap();
    assert_eq!(unasked.status.code(), Some(1));
    assert!(
        output.starts_with(&format!(
            "class {name}: the API server admits claims without asking Bindery. "
        )),
        "{output}"
    );

    release.serve().await;
    let (_, volume) = release.scene.bound(release.scene.claim("data")).await;
    assert_eq!(
        (annotation(&volume, "on-delete"), annotation(&volume, "instance")),
        (Some("delete"), Some(&*name))
    );
    release.scene.delete("data").await;
    release.scene.until_gone(&volume).await;
    assert!(!directory(&volume).exists());
}

#[tokio::test]
async fn the_packaged_chart_installs_the_released_image() {
    let folder = TempDir::new().unwrap();
    let package = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/release"))
        .args(["chart", "registry.example.com/somebody/bindery"])
        .arg(folder.path())
        .output();
    let package = check_success("the package", package.unwrap());

    let mut release = Release::install_from(package.trim()).await;
    let name = release.scene.name.clone();
    let path = "-o=jsonpath={.spec.template.spec.containers[0].image}";
    let image = kubectl(&["get", "deployment", &name, "-n", &name, path], "");
    assert_eq!(
        image,
        concat!("registry.example.com/somebody/bindery:", env!("CARGO_PKG_VERSION"))
    );
    release.serve().await;
    release.scene.bound(release.scene.claim("data")).await;
}

#[tokio::test]
async fn helm_test_reports_what_a_claim_of_each_class_gets() {
    let mut release = Release::install().await;
    let name = release.scene.name.clone();
    release.serve().await;
    // Helm creates the Job and waits for its end. The bed only simulates the pod.
    let output = release.helm(&["test", &name]);
    assert!(output.contains("Succeeded"), "{output}");
    let output = check_success("the check", release.run_hook(&release.hooks(), "test"));
    let servers = "NFS servers were not asked: `bindery check --server HOST --share PATH` does that";
    assert_eq!(output, format!("class {name}: ok\n{servers}\n"));

    // The output if the webhook does not answer.
    let mistaken = |flags: &[&str], message: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_bindery"))
            .arg("check")
            .args(flags)
            .output();
        let output = output.unwrap();
        assert_eq!(
            (String::from_utf8(output.stdout).unwrap(), output.status.code()),
            (format!("{message}\n"), Some(1))
        );
    };
    mistaken(&["missing"], "class missing: this StorageClass does not exist");
    mistaken(
        &[&name],
        &format!(
            "class {name}: its provisioner is bindery.dev/{name}, not bindery.dev/nfs, so Bindery does not serve it; name \
             another StorageClass, or another provisioner with --provisioner-name"
        ),
    );
    let off = crate::support::scene::Scene::with_namespace(json!({"bindery.dev/enabled": "false"}))
        .await
        .name;
    mistaken(
        &["--namespace", &off, &name],
        &format!(
            "namespace {off} has the annotation bindery.dev/enabled: \"false\", so Bindery serves no claims there; name \
             another with --namespace"
        ),
    );

    // The schema cannot detect that this class is invalid.
    let class = json!([{"name": name, "parameters": {"archiveRetention": "a month"}}]);
    kubectl(&["delete", "storageclass", &name], "");
    let class = format!("classes={class}");
    release.helm(&["upgrade", &name, CHART, "--reuse-values", "--set-json", &class]);
    let why = format!(
        "class {name}: a claim would be refused: StorageClass {name}: archiveRetention is \"a month\": write a \
        duration such as 30d, 12h or 2w, at most 36500d, or forever; an administrator must delete the class and create \
        it again, because class parameters cannot be edited\n"
    );
    eventually("Bindery knows the class as it is now", async || {
        let check = release.run_hook(&release.hooks(), "test");
        let output = String::from_utf8(check.stdout).unwrap();
        (output == why && check.status.code() == Some(1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_helm_upgrade_changes_neither_volumes_nor_certificate() {
    let mut release = Release::install().await;
    let name = release.scene.name.clone();
    release.serve().await;
    let (_, volume) = release.scene.bound(release.scene.claim("data")).await;
    let trusted = || {
        let path = "-o=jsonpath={.webhooks[0].clientConfig.caBundle}";
        kubectl(&["get", "mutatingwebhookconfiguration", &name, path], "")
    };
    let before = trusted();
    assert!(!before.is_empty());

    let ha = format!("{CHART}/values-ha.yaml");
    release.helm(&[
        "upgrade",
        &name,
        CHART,
        "--reuse-values",
        "--values",
        &ha,
        "--set",
        "webhook.timeoutSeconds=15",
    ]);
    assert_eq!(trusted(), before);
    let replicas = kubectl(
        &["get", "deployment", &name, "-n", &name, "-o=jsonpath={.spec.replicas}"],
        "",
    );
    assert_eq!(replicas, "3");
    let (_, another) = release.scene.bound(release.scene.claim("more")).await;
    let now = release.scene.volumes().get(volume_name(&volume)).await.unwrap();
    assert_eq!(now.spec, volume.spec);
    assert!(directory(&volume).is_dir() && directory(&another).is_dir());
}

#[tokio::test]
async fn helm_uninstall_keeps_all_volumes_and_a_new_install_manages_them() {
    let mut release = Release::install().await;
    let name = release.scene.name.clone();
    release.serve().await;
    let (_, volume) = release.scene.bound(release.scene.claim("data")).await;
    let (_, other) = release.scene.bound(release.scene.claim("other")).await;
    std::fs::write(directory(&volume).join("file"), "kept").unwrap();
    release.stop().await;
    release.helm(&["uninstall", &name, "--wait"]);
    for kind in [
        "storageclass",
        "mutatingwebhookconfiguration",
        "clusterrole",
        "flowschema",
    ] {
        assert!(!exists(kind, &name), "{kind}");
    }

    release.scene.delete("data").await;
    release.scene.until_released(&volume).await;
    let bound = release.scene.claims().get("other").await.unwrap();
    assert_eq!(bound.status.unwrap().phase.as_deref(), Some("Bound"));
    assert_eq!(
        std::fs::read_to_string(directory(&volume).join("file")).unwrap(),
        "kept"
    );

    release.install_again();
    release.serve().await;
    release.scene.until_gone(&volume).await;
    assert!(!directory(&volume).exists());
    assert!(directory(&other).is_dir());
}

#[tokio::test]
async fn a_second_release_for_the_same_volumes_is_refused_with_advice() {
    let release = Release::install().await;
    let name = release.scene.name.clone();
    let second = |set: &str| {
        helm(&[
            "install",
            "second",
            CHART,
            "--dry-run=server",
            "--namespace=bindery",
            "--set",
            &format!("classes[0].name=second-{name},{set}"),
        ])
    };
    let refused = second(&format!("provisionerName={}", release.scene.provisioner));
    let output = String::from_utf8(refused.stderr).unwrap();
    assert!(
        output.contains(&format!(
            "release {name} in namespace {name} already serves provisioner bindery.dev/{name} (StorageClass {name}). Two \
             releases of one provisioner would undo each other's work: set provisionerName to another name, or set instance \
             to an id that only this release has"
        )),
        "{output}"
    );
    check_success(
        "another provisioner",
        second(&format!("provisionerName=example.com/{name}")),
    );
    let own = format!("provisionerName={},instance=second", release.scene.provisioner);
    check_success("another instance", second(&own));
}

//! `bindery explain`: its output matches what the webhook does.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::scene::{Scene, annotation, from, volume_name};
use crate::support::wait::eventually;

const DENIED: &str = "admission webhook \"claims.bindery.dev\" denied the request: ";

/// Runs `bindery explain` as the cluster's administrator, with the flags of the bed's Bindery.
fn explain(arguments: &[&str], input: &str) -> Output {
    let bed = Bed::get();
    let mut child = Command::new(env!("CARGO_BIN_EXE_bindery"))
        .arg("explain")
        .args(arguments)
        .args(["--nfs-server", &bed.server, "--nfs-share", &bed.share])
        .args(["--provisioner-name", &bed.provisioner])
        .env("KUBECONFIG", &bed.kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bindery starts");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.as_bytes()).expect("its input");
    drop(stdin);
    child.wait_with_output().expect("bindery ends")
}

/// Returns the exit status and the printed lines, with single spaces.
pub fn explained(arguments: &[&str], input: &str) -> (Option<i32>, Vec<String>) {
    let output = explain(arguments, input);
    let text = String::from_utf8(if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    });
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    (output.status.code(), text.expect("text").lines().map(squeeze).collect())
}

fn has(lines: &[String], line: &str) {
    assert!(
        lines.iter().any(|printed| printed == line),
        "{line:?} is missing: {lines:#?}"
    );
}

#[tokio::test]
async fn explain_says_which_archive_a_claim_gets() {
    let scene = Scene::new().await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    let archive = scene.until_archived("data").await;
    let source =
        |name: &str| json!({"spec": {"dataSourceRef": {"apiGroup": "bindery.dev", "kind": "Archive", "name": name}}});
    let claim = scene.claim_with("again", source("data"));
    let (status, lines) = explained(&["-f", "-"], &claim.to_string());
    let (_, volume) = scene.bound(claim).await;
    assert_eq!(status, Some(0));
    let gets = format!(
        "it gets Archive {}: directory {} of the share is moved to the directory above",
        archive.metadata.name.as_deref().unwrap(),
        archive.spec.directory
    );
    assert!(lines.iter().any(|line| line.contains(&gets)), "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.contains(volume_name(&volume))),
        "{lines:#?}"
    );
    let (status, lines) = explained(&["-n", &scene.name, "again"], "");
    assert_eq!(status, Some(0));
    let name = archive.metadata.name.as_deref().unwrap();
    has(&lines, &format!("restored from Archive {name}"));
    assert!(!lines.iter().any(|line| line.starts_with("a new claim")), "{lines:#?}");
    let (status, lines) = explained(&["-f", "-"], &scene.claim_with("third", source("x")).to_string());
    assert_eq!(status, Some(1));
    let none = format!("namespace {} has no Archive x, and no archive of a claim x", scene.name);
    assert!(lines.iter().any(|line| line.contains(&none)), "{lines:#?}");
}

#[tokio::test]
async fn explain_predicts_volume_and_directory_of_a_claim_in_a_file() {
    let layout = json!({"parameters": {"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"}});
    let scene = Scene::with_class(layout).await;
    let mut claim = scene.claim("data");
    claim["metadata"]["annotations"] = json!({"bindery.dev/uid": "0"});
    // The file also contains other objects.
    let file = format!("kind: ConfigMap\nmetadata: {{name: x}}\n---\n{claim}\n");
    let (status, lines) = explained(&["-f", "-"], &file);
    let (_, volume) = scene.bound(claim).await;

    let (bed, name) = (Bed::get(), &scene.name);
    assert_eq!(
        (status, lines[0].as_str()),
        (Some(0), format!("claim {name}/data, StorageClass {name}").as_str())
    );
    has(&lines, &format!("server {} --nfs-server", bed.server));
    has(&lines, "subDir ${pvc.metadata.namespace}/${pvc.metadata.name} class");
    has(&lines, "onDelete archive default");
    let path = volume.spec.as_ref().unwrap().nfs.as_ref().unwrap().path.clone();
    has(&lines, &format!("directory {}:{path}", bed.server));
    has(&lines, &format!("provisioned as volume {}", volume_name(&volume)));
    has(
        &lines,
        &format!(
            "warning bindery.dev/uid on the claim is ignored: StorageClass {name} does not list uid in claimOverrides; \
            remove it, or ask an administrator to allow it"
        ),
    );
}

#[tokio::test]
async fn explain_shows_recorded_and_current_settings_of_a_bound_claim() {
    let scene = Scene::new().await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    let namespaces: Api<Namespace> = Api::all(scene.client.clone());
    let annotated = json!({"metadata": {"annotations": {"bindery.dev/on-delete": "retain"}}});
    let patch = Patch::Merge(annotated);
    namespaces
        .patch(&scene.name, &PatchParams::default(), &patch)
        .await
        .unwrap();

    let (status, lines) = explained(&["-n", &scene.name, "data"], "");
    assert_eq!(status, Some(0));
    has(
        &lines,
        "onDelete archive volume annotation bindery.dev/on-delete retain (namespace annotation bindery.dev/on-delete)",
    );
    let differ = lines.iter().filter(|line| line.ends_with(')')).count();
    assert_eq!(differ, 1, "nothing else differs: {lines:#?}");
    let directory = format!(
        "directory {}:{}/{}",
        Bed::get().server,
        Bed::get().share,
        annotation(&volume, "sub-dir").unwrap()
    );
    has(&lines, &directory);
    let holds = "the settings on the volume apply, even if StorageClass or namespace have changed";
    has(&lines, &format!("has volume {}; {holds}", volume_name(&volume)));

    let (status, lines) = explained(&["-n", &scene.name], "");
    assert_eq!((status, lines.len()), (Some(0), 2), "a line a claim: {lines:#?}");
    assert!(lines[1].contains(volume_name(&volume)), "{lines:#?}");
}

#[tokio::test]
async fn explain_prints_the_refusal_of_the_webhook() {
    let scene = Scene::with_class(json!({"parameters": {"subDir": "${pvc.metadata.namespace}/shared"}})).await;
    scene.bound(scene.claim("first")).await;
    let refused = [
        scene.claim_with("block", json!({"spec": {"volumeMode": "Block"}})),
        scene.claim_with(
            "typo",
            json!({"metadata": {"annotations": {"bindery.dev/on-delet": "retain"}}}),
        ),
        scene.claim("second"),
    ];
    for claim in refused {
        let output = explain(&["-f", "-", "-o", "json"], &claim.to_string());
        let explanations: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let sentence = scene.refused(claim).await;
        assert_eq!(output.status.code(), Some(1), "{sentence}");
        let expected = json!({"is": "refused", "why": sentence.strip_prefix(DENIED).unwrap()});
        assert_eq!(explanations[0]["outcome"], expected);
    }
}

#[tokio::test]
async fn explain_names_a_missing_object() {
    let scene = Scene::new().await;
    let name = &scene.name;
    let no_claim =
        format!("bindery explain: claim data does not exist in namespace {name}; to explain a new claim, use --file");
    assert_eq!(explained(&["-n", name, "data"], ""), (Some(2), vec![no_claim]));
    let no_namespace = "bindery explain: namespace nowhere does not exist".to_owned();
    assert_eq!(explained(&["-n", "nowhere", "data"], ""), (Some(2), vec![no_namespace]));
    let claim = scene.claim_with("data", json!({"spec": {"storageClassName": "nothing"}}));
    let (status, lines) = explained(&["-f", "-"], &claim.to_string());
    assert_eq!(status, Some(0), "the webhook admits it");
    has(&lines, "not served there is no StorageClass nothing");
}

#[tokio::test]
async fn explain_tells_a_user_without_permissions_which_role_to_use() {
    let scene = Scene::new().await;
    let file = kubeconfig_of(&scene, "nobody").await;
    let path = file.path().to_str().unwrap();
    let (status, lines) = explained(
        &["-n", &scene.name, "data", "--instance", "x", "--kubeconfig", path],
        "",
    );
    assert_eq!(status, Some(2));
    assert!(
        lines[0].starts_with(&format!(
            "bindery explain: namespace {} could not be read: ",
            scene.name
        )) && lines[0]
            .ends_with("use a kubeconfig whose user may get and list claims, volumes, StorageClasses and namespaces"),
        "{lines:#?}"
    );
}

#[tokio::test]
async fn explain_takes_a_driver_to_be_installed_that_the_user_may_not_read() {
    crate::support::csi::install("nfs.csi.k8s.io").await;
    let scene = Scene::with_class(json!({"parameters": {"volumeSource": "csi"}})).await;
    let file = kubeconfig_of(&scene, "tenant").await;
    let name = &scene.name;
    let role = json!({"metadata": {"name": name}, "rules": [
        {"apiGroups": [""], "resources": ["namespaces", "persistentvolumeclaims", "persistentvolumes"], "verbs": ["get", "list"]},
        {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["get", "list"]},
        {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["mutatingwebhookconfigurations"], "verbs": ["get"]},
    ]});
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": name}],
    });
    let roles: Api<ClusterRole> = Api::all(scene.client.clone());
    let bindings: Api<ClusterRoleBinding> = Api::all(scene.client.clone());
    roles.create(&PostParams::default(), &from(role)).await.unwrap();
    bindings.create(&PostParams::default(), &from(binding)).await.unwrap();
    let path = file.path().to_str().unwrap();
    let claim = scene.claim("data").to_string();
    let lines = eventually("the user has the rights", async || {
        let (status, lines) = explained(&["-f", "-", "--instance", "x", "--kubeconfig", path], &claim);
        (status == Some(0)).then_some(lines)
    })
    .await;
    bindings.delete(name, &DeleteParams::default()).await.unwrap();
    roles.delete(name, &DeleteParams::default()).await.unwrap();
    has(&lines, "provisioned as volume pvc-<uuid>");
    has(
        &lines,
        "warning could not check whether CSIDriver nfs.csi.k8s.io is installed: the kubeconfig's user lacks the right to get \
         it (get csidrivers.storage.k8s.io); it is taken to be installed",
    );
}

/// Creates a ServiceAccount, and returns the kubeconfig of its user.
async fn kubeconfig_of(scene: &Scene, account: &str) -> tempfile::NamedTempFile {
    let accounts: Api<ServiceAccount> = Api::namespaced(scene.client.clone(), &scene.name);
    let object = from(json!({"metadata": {"name": account}}));
    accounts.create(&PostParams::default(), &object).await.unwrap();
    let token = eventually("the Secret has a token", async || {
        let request = from(json!({"spec": {"audiences": []}, "metadata": {}}));
        let made = accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await;
        Some(made.ok()?.status?.token)
    })
    .await;
    let kubeconfig = std::fs::read_to_string(&Bed::get().kubeconfig).unwrap();
    let mut kubeconfig: Value = serde_saphyr::from_str(&kubeconfig).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": token});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), kubeconfig.to_string()).unwrap();
    file
}

#[tokio::test]
async fn explain_names_the_selector_that_exempts_a_claim() {
    let scene = Scene::new().await;
    // This webhook has no rules, so the API server never calls it.
    let configuration = json!({
        "metadata": {"name": scene.name},
        "webhooks": [{
            "name": "claims.bindery.dev",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "objectSelector": {"matchExpressions": [{"key": "by-hand", "operator": "DoesNotExist"}]},
        }],
    });
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(scene.client.clone());
    configurations
        .create(&PostParams::default(), &from(configuration))
        .await
        .unwrap();
    let explained = |claim: Value| explained(&["-f", "-", "--webhook-configuration", &scene.name], &claim.to_string());
    let (status, lines) = explained(scene.claim_with("data", json!({"metadata": {"labels": {"by-hand": "yes"}}})));
    assert_eq!(status, Some(0));
    has(
        &lines,
        &format!(
            "not served the objectSelector of MutatingWebhookConfiguration {} does not select the claim",
            scene.name
        ),
    );
    let (_, lines) = explained(scene.claim("data"));
    has(&lines, "provisioned as volume pvc-<uuid>");
    configurations
        .delete(&scene.name, &DeleteParams::default())
        .await
        .unwrap();
}

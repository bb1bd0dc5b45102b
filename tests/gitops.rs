//! Claims that a GitOps tool manages: they stay in sync, whichever way the tool applies them. The tests use kubectl, which
//! applies and compares objects as Argo CD and Flux do. See docs/gitops.md.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use serde_json::{Value, json};

use crate::expansion::{request_size, until_size};
use crate::support::bed::kubernetes_at_least;
use crate::support::scene::{Scene, annotation, volume_name};
use crate::support::wait::eventually;

/// The ways to apply a manifest: kubectl's three-way apply, which is the default of Argo CD, and server-side apply without and
/// with force, as Argo CD with `ServerSideApply=true` and Flux use it.
const CLIENT_SIDE: &[&str] = &["apply"];
const SERVER_SIDE: &[&str] = &["apply", "--server-side", "--field-manager=gitops"];
const FORCED: &[&str] = &["apply", "--server-side", "--field-manager=gitops", "--force-conflicts"];
const WAYS: [&[&str]; 3] = [CLIENT_SIDE, SERVER_SIDE, FORCED];

/// Runs kubectl with a manifest on its standard input.
fn run(arguments: &[&str], manifest: &Value) -> Output {
    run_with_input(arguments, &manifest.to_string())
}

fn run_with_input(arguments: &[&str], manifest: &str) -> Output {
    let mut child = Command::new(std::env::var("KUBECTL").expect("run `make test`"))
        .args(arguments)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(manifest.as_bytes()).expect("its input");
    drop(input);
    child.wait_with_output().expect("its end")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// Runs kubectl, which must succeed without a warning from Bindery.
fn kubectl(arguments: &[&str], manifest: &Value) {
    let output = run(arguments, manifest);
    let warnings = text(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {warnings}");
    // kubectl's own warning about an object that was created without client-side apply.
    let mut others = warnings
        .lines()
        .filter(|line| !line.contains("last-applied-configuration"));
    assert_eq!(others.next(), None, "{arguments:?}");
}

/// Runs kubectl, which must fail. Returns its message.
fn failed(arguments: &[&str], manifest: &Value) -> String {
    let output = run(arguments, manifest);
    assert!(!output.status.success(), "{arguments:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

/// Asserts that `kubectl diff` finds no difference, client-side and server-side.
fn assert_in_sync(manifest: &Value) {
    for arguments in [&["diff"][..], &["diff", "--server-side", "--field-manager=gitops"]] {
        let output = run(arguments, manifest);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {} {}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
}

/// The fields of a claim that Bindery and Kubernetes set, and that no apply may change.
fn set_by_others(claim: &PersistentVolumeClaim) -> Value {
    let annotations = claim.metadata.annotations.clone().unwrap_or_default();
    let set = [
        "pv.kubernetes.io/bind-completed",
        "volume.kubernetes.io/storage-provisioner",
    ];
    json!({
        "uid": claim.metadata.uid,
        "finalizers": claim.metadata.finalizers,
        "annotations": set.map(|key| annotations.get(key)),
        "volumeName": claim.spec.as_ref().and_then(|spec| spec.volume_name.as_ref()),
    })
}

async fn scene() -> Scene {
    Scene::with_class(json!({"allowVolumeExpansion": true})).await
}

/// Returns a claim as it stands in a repository: with labels and annotations of its own.
fn manifest(scene: &Scene, name: &str) -> Value {
    let meta = json!({"labels": {"team": "a", "tier": "db"}, "annotations": {"example.com/owner": "a", "example.com/note": "1"}});
    scene.claim_with(name, json!({"metadata": meta}))
}

#[tokio::test]
async fn a_claim_stays_in_sync_while_its_manifest_does_not_change() {
    let scene = scene().await;
    for (number, way) in WAYS.into_iter().enumerate() {
        let name = format!("data-{number}");
        let manifest = manifest(&scene, &name);
        let difference = run(&["diff"], &manifest);
        assert_eq!(difference.status.code(), Some(1), "the claim does not exist yet");
        kubectl(way, &manifest);
        let (before, _) = scene.until_bound(&name).await;
        assert_in_sync(&manifest);
        for again in WAYS {
            kubectl(again, &manifest);
            assert_in_sync(&manifest);
        }
        let (after, _) = scene.until_bound(&name).await;
        assert_eq!(set_by_others(&after), set_by_others(&before), "{way:?}");
    }
}

#[tokio::test]
async fn an_apply_of_an_unchanged_manifest_writes_nothing() {
    let scene = scene().await;
    for (number, way) in WAYS.into_iter().enumerate() {
        let name = format!("data-{number}");
        let manifest = manifest(&scene, &name);
        kubectl(way, &manifest);
        let (before, _) = scene.until_bound(&name).await;
        kubectl(way, &manifest);
        let (after, _) = scene.until_bound(&name).await;
        assert_eq!(
            after.metadata.resource_version, before.metadata.resource_version,
            "{way:?}"
        );
    }
}

#[tokio::test]
async fn labels_annotations_and_a_larger_size_are_applied_and_nothing_else_changes() {
    let scene = scene().await;
    for (number, way) in WAYS.into_iter().enumerate() {
        let name = format!("data-{number}");
        kubectl(way, &manifest(&scene, &name));
        let (before, _) = scene.until_bound(&name).await;
        let mut changed = manifest(&scene, &name);
        // One value of each kind is changed, one removed, one added.
        changed["metadata"]["labels"] = json!({"team": "b", "new": "yes"});
        changed["metadata"]["annotations"] = json!({"example.com/owner": "b", "example.com/new": "yes"});
        changed["spec"]["resources"]["requests"]["storage"] = json!("2Gi");
        assert_eq!(run(&["diff"], &changed).status.code(), Some(1));
        kubectl(way, &changed);
        until_size(&scene, &name, "2Gi").await;
        assert_in_sync(&changed);
        kubectl(way, &changed);
        let (after, volume) = scene.until_bound(&name).await;
        assert_eq!(set_by_others(&after), set_by_others(&before), "{way:?}");
        assert_eq!(json!(after.metadata.labels), changed["metadata"]["labels"]);
        let annotations = after.metadata.annotations.unwrap();
        assert_eq!(annotations["example.com/owner"], "b");
        assert_eq!(annotations["example.com/new"], "yes");
        assert!(!annotations.contains_key("example.com/note"));
        assert_eq!(volume.spec.unwrap().capacity.unwrap()["storage"].0, "2Gi");
    }
}

#[tokio::test]
async fn a_claim_that_was_expanded_by_hand_is_out_of_sync_until_the_manifest_has_its_size() {
    let scene = scene().await;
    for (number, way) in WAYS.into_iter().enumerate() {
        let name = format!("data-{number}");
        let mut manifest = manifest(&scene, &name);
        kubectl(way, &manifest);
        scene.until_bound(&name).await;
        request_size(&scene, &name, "2Gi").await.unwrap();
        until_size(&scene, &name, "2Gi").await;
        let message = failed(way, &manifest);
        let expected = if way == SERVER_SIDE {
            ".spec.resources.requests.storage"
        } else if kubernetes_at_least(1, 32) {
            "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
        } else {
            "spec.resources.requests.storage: Forbidden: field can not be less than previous value"
        };
        assert!(message.contains(expected), "{way:?}: {message}");
        manifest["spec"]["resources"]["requests"]["storage"] = json!("2Gi");
        kubectl(way, &manifest);
        assert_in_sync(&manifest);
        until_size(&scene, &name, "2Gi").await;
    }
}

#[tokio::test]
async fn a_claim_is_moved_from_client_side_to_server_side_apply_and_back() {
    let scene = scene().await;
    let manifest = manifest(&scene, "data");
    kubectl(CLIENT_SIDE, &manifest);
    let (before, _) = scene.until_bound("data").await;
    for way in [SERVER_SIDE, CLIENT_SIDE, FORCED, CLIENT_SIDE] {
        kubectl(way, &manifest);
        assert_in_sync(&manifest);
    }
    let (after, _) = scene.until_bound("data").await;
    assert_eq!(set_by_others(&after), set_by_others(&before));
}

#[tokio::test]
async fn a_replace_needs_the_name_of_the_volume_as_with_every_bound_claim() {
    let scene = scene().await;
    let mut manifest = manifest(&scene, "data");
    kubectl(&["create"], &manifest);
    let (before, volume) = scene.until_bound("data").await;
    let message = failed(&["replace"], &manifest);
    assert!(
        message.contains("spec: Forbidden: spec is immutable after creation except resources.requests"),
        "{message}"
    );
    manifest["spec"]["volumeName"] = json!(volume_name(&volume));
    manifest["metadata"]["labels"]["team"] = json!("b");
    kubectl(&["replace"], &manifest);
    eventually("Kubernetes has set again what the replace has removed", async || {
        let (after, _) = scene.until_bound("data").await;
        // This annotation is of no use after the claim was created.
        let (mut after_fields, mut before_fields) = (set_by_others(&after), set_by_others(&before));
        (after_fields["annotations"][1], before_fields["annotations"][1]) = (json!(null), json!(null));
        (after.metadata.labels?["team"] == "b" && after_fields == before_fields).then_some(())
    })
    .await;
    assert_in_sync(&manifest);
}

#[tokio::test]
async fn a_dry_run_of_a_manifest_is_refused_with_the_reason_and_creates_nothing() {
    let scene = scene().await;
    let manifest = scene.claim_with("data", json!({"spec": {"volumeMode": "Block"}}));
    for way in [SERVER_SIDE, FORCED, &["apply"]] {
        let message = failed(&[way, &["--dry-run=server"]].concat(), &manifest);
        assert!(
            message.contains("StorageClass") && message.contains("cannot provide volumeMode Block"),
            "{message}"
        );
    }
    let good = self::manifest(&scene, "good");
    for way in WAYS {
        kubectl(&[way, &["--dry-run=server"]].concat(), &good);
    }
    scene.assert_nothing_made().await;
}

#[tokio::test]
async fn a_claim_of_a_class_that_waits_for_the_first_consumer_is_bound_without_a_pod() {
    let scene = Scene::with_class(json!({"volumeBindingMode": "WaitForFirstConsumer"})).await;
    let manifest = manifest(&scene, "data");
    kubectl(FORCED, &manifest);
    let (_, volume) = scene.until_bound("data").await;
    assert_eq!(annotation(&volume, "ready"), Some("true"));
    assert_in_sync(&manifest);
}

#[tokio::test]
async fn the_objects_of_bindery_stay_in_sync_while_it_writes_its_part_of_the_webhook_configuration() {
    let bed = std::env::var("BINDERY_BED").expect("run `make test`");
    let installed =
        std::fs::read_to_string(format!("{bed}/deploy.yaml")).expect("the objects that the bed has applied");
    let scene = scene().await;
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(scene.client.clone());
    let webhook = async || {
        let configuration = configurations.get("bindery").await.expect("the webhook configuration");
        json!(configuration.webhooks.expect("webhooks")[0])
    };
    let before = webhook().await;
    assert!(before["clientConfig"]["caBundle"].is_string(), "{before}");
    for way in [CLIENT_SIDE, &["diff"], SERVER_SIDE, &["diff", "--server-side"], FORCED] {
        let output = run_with_input(way, &installed);
        assert!(
            output.status.success(),
            "{way:?}: {} {}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
    let after = webhook().await;
    assert_eq!(after["clientConfig"], before["clientConfig"]);
    // Other tests create classes meanwhile.
    let names = |webhook: &Value| {
        let conditions = webhook["matchConditions"].as_array().expect("conditions").iter();
        conditions
            .map(|condition| condition["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&after), names(&before));
}

//! Metrics: names and formats follow the conventions of Prometheus, which `promtool` and a real Prometheus check.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::bed::Bed;
use crate::support::bindery::{Bindery, get, get_as};
use crate::support::scene::Scene;
use crate::support::wait::eventually;

/// The header with which Prometheus asks for metrics.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// Splits an answer into its content type and its body.
fn parts(answer: &str) -> (String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    let content_type = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    (content_type.expect("a content type").1.to_owned(), body.to_owned())
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    let scene = Scene::new().await;
    scene.bound(scene.claim("data")).await;
    scene
        .refused(scene.claim_with("disk", json!({"spec": {"volumeMode": "Block"}})))
        .await;
    let url: http::Uri = Bed::get().metrics.parse().unwrap();
    let answer = get(url.authority().unwrap().as_str(), url.path()).await.unwrap();
    let (content_type, text) = parts(&answer);
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert!(text.contains("# TYPE bindery_volume_steps_total counter\n"), "{text}");

    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && complaint.is_empty(), "{complaint}");
}

#[tokio::test]
async fn prometheus_gets_open_metrics() {
    let url: http::Uri = Bed::get().metrics.parse().unwrap();
    let answer = get_as(url.authority().unwrap().as_str(), url.path(), PROMETHEUS)
        .await
        .unwrap();
    let (content_type, text) = parts(&answer);
    assert_eq!(
        content_type,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(text.contains("# TYPE bindery_trash_removed counter\n"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn waiting_claims_are_counted_by_class_until_they_have_a_volume() {
    let bindery = Bindery::start(&[]).await;
    // No server answers there.
    let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": {"server": "127.0.0.1"}})).await;
    for name in ["one", "two"] {
        scene.create(scene.claim(name)).await.unwrap();
    }
    let exempt = json!({"bindery.dev/enabled": "false"});
    let elsewhere = format!("{}-off", scene.name);
    scene.namespace(&elsewhere, exempt).await;
    let mut claim = scene.claim("three");
    claim["metadata"]["namespace"] = json!(elsewhere);
    let others: kube::Api<k8s_openapi::api::core::v1::PersistentVolumeClaim> =
        kube::Api::namespaced(scene.client.clone(), &elsewhere);
    let claim = crate::support::scene::from(claim);
    others.create(&kube::api::PostParams::default(), &claim).await.unwrap();

    let counted = format!("bindery_claims_waiting{{storageclass=\"{}\"}} 2\n", scene.name);
    eventually("two claims are counted", async || {
        bindery.metrics().await.contains(&counted).then_some(())
    })
    .await;
    let text = bindery.metrics().await;
    assert!(text.contains("bindery_leader 1\n"), "{text}");
    let since = format!(
        "bindery_claims_waiting_oldest_timestamp_seconds{{storageclass=\"{}\"}} ",
        scene.name
    );
    let since = text
        .lines()
        .find_map(|line| line.strip_prefix(&since))
        .expect("when the oldest was created");
    let created = scene
        .claims()
        .get("one")
        .await
        .unwrap()
        .metadata
        .creation_timestamp
        .unwrap();
    assert_eq!(since, created.0.as_second().to_string());

    for name in ["one", "two"] {
        scene.delete(name).await;
    }
    eventually("no claim is counted", async || {
        (!bindery.metrics().await.contains("bindery_claims_waiting{")).then_some(())
    })
    .await;
    bindery.unregister().await;
}

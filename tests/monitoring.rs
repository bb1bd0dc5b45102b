//! Alerts and the dashboard: `promtool` accepts and tests the alerts, and a real Prometheus that reads Bindery's metrics
//! has data for every expression.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chart::{CHART, helm_ok, kubectl, objects};
use crate::support::bed::Bed;
use crate::support::bindery::{Bindery, free_port, get};
use crate::support::scene::Scene;
use crate::support::wait::eventually;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/monitoring");
const ALERT_TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/monitoring/alerts.yaml");

/// The objects of deploy/monitoring.
fn shipped() -> std::collections::BTreeMap<String, Value> {
    objects(&kubectl(&["kustomize", FOLDER], ""))
}

/// Writes the rules of alerts as Prometheus itself reads them, and a copy of their tests, into a new folder.
fn rules() -> TempDir {
    let folder = TempDir::new().unwrap();
    let rules = shipped()["PrometheusRule bindery"]["spec"].to_string();
    std::fs::write(folder.path().join("rules.yaml"), rules).unwrap();
    std::fs::copy(ALERT_TESTS, folder.path().join("alerts.yaml")).unwrap();
    folder
}

fn promtool(folder: &Path, arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).current_dir(folder).output();
    let output = output.expect("promtool runs");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {text}");
}

#[tokio::test]
async fn the_chart_renders_the_same_monitoring_as_the_kustomization() {
    let set = "serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboard.enabled=true";
    let chart = objects(&helm_ok(&[
        "template",
        "bindery",
        CHART,
        "--namespace=bindery",
        "--set",
        set,
    ]));
    for (name, object) in shipped() {
        let helm =
            json!({"helm.sh/chart": null, "app.kubernetes.io/managed-by": null, "app.kubernetes.io/version": null});
        let mut rendered = chart
            .get(&name)
            .unwrap_or_else(|| panic!("the chart has no {name}"))
            .clone();
        json_patch::merge(&mut rendered, &json!({"metadata": {"labels": helm}}));
        // The chart reads the dashboard without the line break at its end.
        let text = |object: &Value| object.to_string().replace("}\\n\"", "}\"");
        assert_eq!(text(&rendered), text(&object), "{name}");
    }
}

#[tokio::test]
async fn promtool_accepts_the_alerts_and_their_tests_pass() {
    let folder = rules();
    promtool(folder.path(), &["check", "rules", "rules.yaml"]);
    promtool(folder.path(), &["test", "rules", "alerts.yaml"]);
}

#[tokio::test]
async fn every_alert_has_a_test_in_which_it_fires() {
    let rules = shipped()["PrometheusRule bindery"].clone();
    let rules = rules["spec"]["groups"][0]["rules"].as_array().unwrap().clone();
    let alerts: BTreeSet<String> = rules
        .iter()
        .map(|rule| rule["alert"].as_str().unwrap().to_owned())
        .collect();
    let tests: Value = serde_saphyr::from_str(&std::fs::read_to_string(ALERT_TESTS).unwrap()).unwrap();
    let tests = tests["tests"].as_array().unwrap().iter();
    let tests = tests.flat_map(|test| test["alert_rule_test"].as_array().unwrap());
    let fires = tests.filter(|test| !test["exp_alerts"].as_array().unwrap().is_empty());
    let tested: BTreeSet<String> = fires
        .map(|test| test["alertname"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(tested, alerts);
}

/// A Prometheus that reads the metrics of these addresses every second. Dropping this kills it.
struct Prometheus {
    address: String,
    process: Child,
    _folder: TempDir,
}

impl Prometheus {
    async fn start(targets: &[&str]) -> Self {
        let folder = rules();
        let configuration = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "bindery", "static_configs": [{"targets": targets}]}],
        });
        std::fs::write(folder.path().join("prometheus.yaml"), configuration.to_string()).unwrap();
        promtool(folder.path(), &["check", "config", "prometheus.yaml"]);
        let address = format!("127.0.0.1:{}", free_port());
        let process = Command::new("prometheus")
            .args([
                "--config.file=prometheus.yaml",
                "--storage.tsdb.path=data",
                "--log.level=warn",
            ])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Prometheus starts");
        let prometheus = Self {
            address,
            process,
            _folder: folder,
        };
        eventually("Prometheus is ready", async || {
            let answer = get(&prometheus.address, "/-/ready").await?;
            answer.starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
        prometheus
    }

    /// Asks `/api/v1/PATH`, and returns `data` of the answer.
    async fn ask(&self, path: &str) -> Value {
        let answer = get(&self.address, &format!("/api/v1/{path}")).await.expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        let start = body.find('{').expect("JSON");
        let end = body.rfind('}').expect("JSON");
        let answer: Value = serde_json::from_str(&body[start..=end]).unwrap_or_else(|error| panic!("{error}: {body}"));
        answer["data"].clone()
    }

    async fn query(&self, expression: &str) -> Vec<Value> {
        let encoded: Vec<String> = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let encoded = encoded.concat();
        let data = self.ask(&format!("query?query={encoded}")).await;
        data["result"].as_array().cloned().unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the title and every expression of each panel of the dashboard.
fn expressions() -> Vec<(String, String)> {
    let dashboard = std::fs::read_to_string(format!("{FOLDER}/dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut expressions = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let expression = expression.replace("$__rate_interval", "1m").replace("$job", "bindery");
            assert!(
                !expression.contains('$'),
                "a variable that the test does not know: {expression}"
            );
            expressions.push((panel["title"].as_str().unwrap().to_owned(), expression));
        }
    }
    expressions
}

#[tokio::test]
async fn every_expression_of_the_dashboard_has_data_after_a_small_run() {
    // Archives are counted in each round of retention.
    let flags = ["--retention-interval=2s", "--usage-interval=1s", "--space-interval=1s"];
    let bindery = Bindery::start(&flags).await;
    let bed: http::Uri = Bed::get().metrics.parse().unwrap();
    let prometheus = Prometheus::start(&[bed.authority().unwrap().as_str(), bindery.admin()]).await;
    let targets = eventually("both targets are up", async || {
        let up = prometheus.query("up == 1").await;
        (up.len() == 2).then_some(up)
    });
    targets.await;

    // A claim comes and goes, its files are removed, and another one is refused.
    let scene = Scene::with_class(json!({"parameters": {"onDelete": "delete"}})).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    scene
        .refused(scene.claim_with("disk", json!({"spec": {"volumeMode": "Block"}})))
        .await;
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    // Another one leaves an archive.
    let archiving = Scene::of(&bindery.provisioner).await;
    let (_, volume) = archiving.bound(archiving.claim("data")).await;
    archiving.delete("data").await;
    archiving.until_gone(&volume).await;
    // One more is measured.
    archiving.bound(archiving.claim("more")).await;
    // A claim waits for a server that does not answer, and its attempts fail.
    let waiting = Scene::of_with(&bindery.provisioner, json!({"parameters": {"server": "127.0.0.1"}})).await;
    waiting.create(waiting.claim("data")).await.unwrap();
    waiting.create(waiting.claim("more")).await.unwrap();
    // Something other than the API server uses the port of the webhook.
    let webhook: http::Uri = bindery.webhook.parse().unwrap();
    let _ = get(webhook.authority().unwrap().as_str(), "/").await;

    for (panel, expression) in expressions() {
        eventually(&format!("panel {panel} has data: {expression}"), async || {
            let found = prometheus.query(&expression).await;
            let is_number = |sample: &Value| sample["value"][1].as_str().is_some_and(|value| value != "NaN");
            (!found.is_empty() && found.iter().all(is_number)).then_some(())
        })
        .await;
    }

    // Prometheus evaluates all alerts, and the one about the server is on its way.
    let groups = prometheus.ask("rules").await;
    let rules = groups["groups"][0]["rules"].as_array().expect("rules").clone();
    for rule in &rules {
        assert_eq!(
            (&rule["health"], &rule["lastError"]),
            (&json!("ok"), &Value::Null),
            "{rule}"
        );
    }
    let down = rules
        .iter()
        .find(|rule| rule["name"] == "BinderyNfsServerDown")
        .expect("the alert");
    assert_eq!(down["state"], "pending", "{down}");
    bindery.unregister().await;
}

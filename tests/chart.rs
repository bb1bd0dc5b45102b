//! The Helm chart and the kustomizations: rendered, and installed on a real API server with a real helm.

mod hook;
mod host_network;
mod installed;
mod release;
mod rendered;
mod schema;
mod uninstall;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/chart");
/// A values file that sets every value of version 0.1.0. Each later version must accept it.
const EVERY_VALUE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chart/values-0.1.0.yaml");

/// Runs helm with a home directory of its own.
pub fn helm(arguments: &[&str]) -> Output {
    let home = TempDir::new().unwrap();
    Command::new(std::env::var("HELM").expect("run `make test`"))
        .args(arguments)
        .envs(["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"].map(|name| (name, home.path())))
        .output()
        .unwrap()
}

/// Runs helm, which must succeed, and returns its output.
pub fn helm_ok(arguments: &[&str]) -> String {
    check_success(&format!("helm {}", arguments.join(" ")), helm(arguments))
}

/// Runs kubectl with this standard input.
pub fn kubectl(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(std::env::var("KUBECTL").expect("run `make test`"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    check_success(
        &format!("kubectl {}", arguments.join(" ")),
        child.wait_with_output().unwrap(),
    )
}

/// Asserts that a command succeeded, and returns its output.
fn check_success(what: &str, output: Output) -> String {
    let text = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {text}{complaint}");
    text
}

/// Parses a YAML stream, and returns its objects by kind and name.
pub fn objects(text: &str) -> BTreeMap<String, Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let named = documents.into_iter().filter(|object| !object.is_null()).map(|object| {
        let name = object["metadata"]["name"].as_str().expect("a name");
        (format!("{} {name}", object["kind"].as_str().expect("a kind")), object)
    });
    named.collect()
}

/// Renders the chart with these values files, as release `bindery` in namespace `bindery`.
fn rendered(values: &[&str]) -> BTreeMap<String, Value> {
    let mut arguments = vec!["template", "bindery", CHART, "--namespace=bindery"];
    let files: Vec<_> = values.iter().map(|file| format!("--values={file}")).collect();
    arguments.extend(files.iter().map(String::as_str));
    objects(&helm_ok(&arguments))
}

/// Returns whether an object is a hook of Helm.
fn is_hook(object: &Value) -> bool {
    !object["metadata"]["annotations"]["helm.sh/hook"].is_null()
}

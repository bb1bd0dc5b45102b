//! Pods in the network of their node.

use serde_json::{Value, json};

use super::{CHART, helm_ok, kubectl, objects};
use crate::support::scene::Scene;
use crate::support::wait::eventually;

/// Returns the pods of a namespace.
fn pods(namespace: &str) -> Vec<Value> {
    let list: Value = serde_json::from_str(&kubectl(&["get", "pods", "-n", namespace, "-o", "json"], "")).unwrap();
    list["items"].as_array().unwrap().clone()
}

/// The replicas would use the same ports. The chart's own spread constraint is only a preference without
/// values-host-network.yaml.
#[tokio::test]
async fn two_replicas_in_the_network_of_their_nodes_never_share_a_node() {
    let scene = Scene::of("bindery.dev/unused").await;
    let all = objects(&helm_ok(&["template", "bindery", CHART, "--set=hostNetwork=true"]));
    let mut spec = all["Deployment bindery"]["spec"]["template"]["spec"].clone();
    spec["serviceAccountName"] = json!("default");
    for name in ["one", "two"] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        kubectl(&["create", "-n", &scene.name, "-f", "-"], &pod.to_string());
    }
    let nodes: Value = serde_json::from_str(&kubectl(&["get", "nodes", "-o", "json"], "")).unwrap();
    assert_eq!(nodes["items"].as_array().unwrap().len(), 1, "the bed has one node");
    let refused = eventually("one pod runs, and the other one waits", async || {
        let pods = pods(&scene.name);
        let scheduled = pods.iter().filter(|pod| pod["spec"]["nodeName"].is_string()).count();
        let conditions = pods
            .iter()
            .filter_map(|pod| pod["status"]["conditions"].as_array())
            .flatten();
        let refused = conditions.filter(|condition| condition["reason"] == "Unschedulable");
        let refused = refused
            .map(|condition| condition["message"].as_str().unwrap_or_default().to_owned())
            .next();
        (scheduled == 1).then_some(refused?)
    });
    let refused = refused.await;
    assert!(refused.contains("didn't have free ports"), "{refused}");
}

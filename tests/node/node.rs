//! The node, and functions for its pods.

use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod as PodObject, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::support::scene::{Scene, from};
use crate::support::wait::eventually_within;

/// How long a condition may take on the node, whose processor is emulated.
pub const LATE: Duration = Duration::from_mins(5);
/// The only container image of the node.
const IMAGE: &str = "bindery.test/busybox:1";
/// Runs until the pod is deleted. A shell that is process 1 ends at SIGTERM only if it has a trap.
pub const IDLE: &str = "trap 'exit 0' TERM; while :; do sleep 0.2; done";

/// Returns the name of the node, which is also its address.
pub fn name() -> String {
    std::env::var("NODE").expect("run `make test-node`")
}

/// Runs a command as root in the virtual machine, and returns its output.
pub fn in_guest(command: &str) -> String {
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/knfsd/in-guest"))
        .arg(command)
        .env("TIMEOUT", "300")
        .output()
        .expect("in-guest runs");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {text} {errors}");
    text
}

/// Runs `node COMMAND` in the virtual machine: see `tests/bed/node/guest/node`.
pub fn kubelet(command: &str) {
    in_guest(&format!("bash /host/node/node {command}"));
}

/// Runs kubectl, and returns its output, or its error.
pub fn kubectl(arguments: &[&str]) -> Result<String, String> {
    let program = std::env::var("KUBECTL").expect("run `make test-node`");
    let output = Command::new(program).args(arguments).output().expect("kubectl runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{} {}", text(&output.stdout), text(&output.stderr)))
    }
}

/// Returns the template of a pod that runs a script, with a claim as `/data`, and with these additional fields.
pub fn template(claim: &str, script: &str, fields: Value) -> Value {
    let mut spec = json!({
        "containers": [{
            "name": "main",
            "image": IMAGE,
            "command": ["sh", "-c", script],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        }],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "dnsPolicy": "Default",
        "terminationGracePeriodSeconds": 60,
    });
    json_patch::merge(&mut spec, &fields);
    spec
}

/// Adds a folder of the node as `/out`, which also exists after the pod.
pub fn with_folder_of_node(mut spec: Value, folder: &str) -> Value {
    let volume = json!({"name": "out", "hostPath": {"path": folder, "type": "DirectoryOrCreate"}});
    let mount = json!({"name": "out", "mountPath": "/out"});
    for (list, entry) in [("/volumes", volume), ("/containers/0/volumeMounts", mount)] {
        let list = spec.pointer_mut(list).and_then(Value::as_array_mut);
        list.expect("a list").push(entry);
    }
    spec
}

/// A pod on the node.
pub struct Pod {
    pods: Api<PodObject>,
    namespace: String,
    pub name: String,
}

impl Pod {
    /// Creates a pod that uses a claim and does nothing, with these additional fields in its spec, and waits until it runs.
    pub async fn start(scene: &Scene, name: &str, claim: &str, fields: Value) -> Self {
        Self::running(scene, name, template(claim, IDLE, fields)).await
    }

    /// Creates a pod that runs a script, and waits until it runs.
    pub async fn with_script(scene: &Scene, name: &str, claim: &str, script: &str) -> Self {
        Self::running(scene, name, template(claim, script, json!({}))).await
    }

    /// Creates a pod, and waits until it runs.
    pub async fn running(scene: &Scene, name: &str, spec: Value) -> Self {
        let pod = Self::create(scene, name, spec).await;
        pod.until_running().await;
        pod
    }

    /// Creates a pod.
    pub async fn create(scene: &Scene, name: &str, spec: Value) -> Self {
        let accounts: Api<ServiceAccount> = Api::namespaced(scene.client.clone(), &scene.name);
        eventually_within(LATE, "the namespace has its ServiceAccount", async || {
            accounts.get_opt("default").await.expect("ServiceAccounts")
        })
        .await;
        let pod = Self::named(scene, name);
        let object = json!({"metadata": {"name": name}, "spec": spec});
        let created = pod.pods.create(&PostParams::default(), &from(object)).await;
        created.expect("pod");
        pod
    }

    /// Returns a pod that somebody else creates.
    pub fn named(scene: &Scene, name: &str) -> Self {
        Self {
            pods: Api::namespaced(scene.client.clone(), &scene.name),
            namespace: scene.name.clone(),
            name: name.to_owned(),
        }
    }

    /// Waits until the container runs.
    pub async fn until_running(&self) {
        eventually_within(LATE, &format!("pod {} runs", self.name), async || {
            let status = self.object().await?.status?;
            status.container_statuses?.first()?.ready.then_some(())
        })
        .await;
    }

    /// Returns the pod as the API server has it; `None` if it does not exist.
    pub async fn object(&self) -> Option<PodObject> {
        self.pods.get_opt(&self.name).await.expect("pods")
    }

    /// Runs a script in the container, and returns its output with its errors.
    pub fn run(&self, script: &str) -> String {
        let run = self.try_run(script);
        run.unwrap_or_else(|error| panic!("{script} in pod {}: {error}", self.name))
    }

    /// Runs a script in the container, and returns its output, or the output and the error of kubectl if it fails.
    pub fn try_run(&self, script: &str) -> Result<String, String> {
        let script = format!("exec 2>&1; {script}");
        kubectl(&["exec", "-n", &self.namespace, &self.name, "--", "sh", "-c", &script])
    }

    /// Returns how often the container was restarted.
    pub async fn restarts(&self) -> i32 {
        let status = self.object().await.and_then(|pod| pod.status).expect("a status");
        status.container_statuses.expect("containers")[0].restart_count
    }

    /// Asks Kubernetes to delete the pod.
    pub async fn delete(&self) {
        let deleted = self.pods.delete(&self.name, &DeleteParams::default()).await;
        deleted.expect("pod deleted");
    }

    /// Deletes the pod from the API at once, without waiting for the kubelet.
    pub async fn force_delete(&self) {
        let at_once = DeleteParams::default().grace_period(0);
        self.pods.delete(&self.name, &at_once).await.expect("pod deleted");
    }

    /// Waits until the pod is gone.
    pub async fn until_gone(&self) {
        eventually_within(LATE, &format!("pod {} is gone", self.name), async || {
            self.object().await.is_none().then_some(())
        })
        .await;
    }

    /// Deletes the pod, and waits until the kubelet has ended it and unmounted its volume.
    pub async fn end(self) {
        self.delete().await;
        self.until_gone().await;
    }
}

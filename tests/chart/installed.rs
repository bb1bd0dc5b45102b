//! A release on the real API server, and its Bindery: started with the arguments of the Deployment and the permissions
//! of the chart.

use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{CHART, helm, helm_ok, kubectl, objects};
use crate::support::bed::Bed;
use crate::support::bindery::{free_port, get};
use crate::support::scene::{Scene, from};
use crate::support::wait::eventually;

/// A release in a namespace of the same name. Its webhook gets the claims of that namespace only.
pub struct Release {
    /// Its namespace and class have the name of the release.
    pub scene: Scene,
    port: u16,
    child: Option<Child>,
    /// Contains kubeconfigs and values files.
    home: TempDir,
}

impl Release {
    /// Installs the chart. Bindery does not run yet.
    pub async fn install() -> Self {
        Self::install_from(CHART).await
    }

    /// Installs a chart from this folder or file.
    pub async fn install_from(chart: &str) -> Self {
        let bed = Bed::get();
        let mut scene = Scene::of("bindery.dev/unused").await;
        // The chart creates the class.
        kubectl(&["delete", "storageclass", &scene.name], "");
        kubectl(
            &[
                "label",
                "namespace",
                &scene.name,
                "pod-security.kubernetes.io/enforce=restricted",
            ],
            "",
        );
        scene.provisioner = format!("bindery.dev/{}", scene.name);
        let release = Self {
            port: free_port(),
            child: None,
            home: TempDir::new().unwrap(),
            scene,
        };
        let name = &release.scene.name;
        let values = json!({
            "fullnameOverride": name,
            "server": bed.server,
            "share": bed.share,
            "provisionerName": release.scene.provisioner,
            "instance": name,
            "classes": [{"name": name, "parameters": {"onDelete": "delete"}}],
            // Claims of other tests must not wait for this Bindery while it does not run.
            "webhook": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}},
            // This bed has no service network: the API server resolves the Service by name and uses this port. The Service
            // becomes one of type ExternalName, which must not have an ipFamilyPolicy.
            "service": {"port": release.port, "ipFamilyPolicy": ""},
        });
        std::fs::write(release.values(), values.to_string()).unwrap();
        release.helm(&["install", name, chart, "--wait", "--values", &release.values()]);
        release.route();
        release
    }

    /// Installs an uninstalled release again.
    pub fn install_again(&self) {
        self.helm(&["install", &self.scene.name, CHART, "--wait", "--values", &self.values()]);
        self.route();
    }

    fn values(&self) -> String {
        self.home.path().join("values.json").to_str().unwrap().to_owned()
    }

    /// Runs helm in the release's namespace.
    pub fn helm(&self, arguments: &[&str]) -> String {
        helm_ok(&[arguments, &["--namespace", &self.scene.name]].concat())
    }

    /// Sets `uninstall.letGo`, and returns the hooks of the release after that.
    pub fn set_let_go(&self) -> String {
        let name = &self.scene.name;
        self.helm(&[
            "upgrade",
            name,
            CHART,
            "--reuse-values",
            "--set",
            "uninstall.letGo=true",
        ]);
        self.hooks()
    }

    /// Directs the Service to this machine.
    fn route(&self) {
        let service = json!({"spec": {
            "type": "ExternalName",
            "externalName": "127.0.0.1",
            "clusterIP": null,
            "clusterIPs": null,
        }});
        let patch = [
            "patch",
            "service",
            &self.scene.name,
            "-n",
            &self.scene.name,
            "-p",
            &service.to_string(),
        ];
        kubectl(&patch, "");
    }

    /// Starts Bindery with the arguments of the Deployment, and waits until it is ready and gets reviews.
    pub async fn serve(&mut self) {
        let name = &self.scene.name;
        let deployment: Value =
            serde_json::from_str(&kubectl(&["get", "deployment", name, "-n", name, "-o", "json"], "")).unwrap();
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let arguments: Vec<String> = from(container["args"].clone());
        let environment = container["env"].as_array().into_iter().flatten();
        let environment = environment.map(|one| (one["name"].as_str().unwrap(), one["value"].as_str().unwrap()));
        let admin = format!("127.0.0.1:{}", free_port());
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .unwrap();
        let child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/as-bindery"))
            .arg(self.kubeconfig(name))
            .arg(env!("CARGO_BIN_EXE_bindery"))
            .args(arguments)
            .args([
                format!("--listen=127.0.0.1:{}", self.port),
                format!("--admin-listen={admin}"),
            ])
            .args([format!("--namespace={name}"), "--replica=0".to_owned()])
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
        eventually("the release's Bindery is ready", async || {
            get(&admin, "/readyz").await?.starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
        eventually("the API server calls this Bindery", async || {
            self.check().status.success().then_some(())
        })
        .await;
    }

    /// Stops Bindery as the kubelet does.
    pub async fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = eventually("Bindery has ended", async || child.try_wait().unwrap()).await;
        assert!(
            status.success(),
            "{}",
            std::fs::read_to_string(self.log_file()).unwrap()
        );
    }

    /// Runs `bindery check` for the class, as the cluster's administrator.
    pub fn check(&self) -> Output {
        let name = &self.scene.name;
        let check = [
            "check",
            "--namespace",
            name,
            "--provisioner-name",
            &self.scene.provisioner,
            name,
        ];
        let program = Command::new(env!("CARGO_BIN_EXE_bindery")).args(check).output();
        program.unwrap()
    }

    /// Runs the command of a hook's Job with the permissions of the hook, since pods do not run in this bed.
    pub fn run_hook(&self, hooks: &str, job: &str) -> Output {
        let hooks = objects(hooks);
        let account = format!("{}-{job}", self.scene.name);
        for (_, object) in hooks.iter().filter(|(_, object)| object["kind"] != "Job") {
            if object["metadata"]["name"] == account.as_str() {
                kubectl(&["apply", "-f", "-"], &object.to_string());
            }
        }
        let arguments = &hooks[&format!("Job {account}")]["spec"]["template"]["spec"]["containers"][0]["args"];
        let arguments: Vec<String> = from(arguments.clone());
        let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/as-bindery"))
            .arg(self.kubeconfig(&account))
            .arg(env!("CARGO_BIN_EXE_bindery"))
            .args(arguments)
            .output();
        output.unwrap()
    }

    /// Returns the hooks of the release.
    pub fn hooks(&self) -> String {
        self.helm(&["get", "hooks", &self.scene.name])
    }

    /// Writes a kubeconfig for a ServiceAccount of the release.
    fn kubeconfig(&self, account: &str) -> PathBuf {
        let token = kubectl(&["create", "token", account, "-n", &self.scene.name], "");
        let text = std::fs::read_to_string(&Bed::get().bindery_kubeconfig).unwrap();
        let (before, rest) = text.split_once("token: \"").unwrap();
        let (_, after) = rest.split_once('"').unwrap();
        let file = self.home.path().join(account);
        let _ = std::fs::remove_file(&file);
        let written = std::fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file);
        std::io::Write::write_all(
            &mut written.unwrap(),
            format!("{before}token: \"{}\"{after}", token.trim()).as_bytes(),
        )
        .unwrap();
        chown(&file, Some(65532), Some(65532)).unwrap();
        file
    }

    fn log_file(&self) -> PathBuf {
        PathBuf::from(std::env::var("BINDERY_BED").unwrap()).join(format!("run/{}.log", self.scene.name))
    }
}

impl Drop for Release {
    /// Removes cluster-wide objects even if a test has failed.
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let name = &self.scene.name;
        let _ = helm(&[
            "uninstall",
            name,
            "--namespace",
            name,
            "--no-hooks",
            "--ignore-not-found",
        ]);
    }
}

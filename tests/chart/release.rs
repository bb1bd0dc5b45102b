//! Installed by helm on the real API server, and served by a Bindery that is started as its Deployment says, under the
//! rights that the chart gives it.

use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{CHART, helm, helm_ok, is_hook, kubectl, objects, well};
use crate::support::bed::Bed;
use crate::support::bindery::{free_port, get};
use crate::support::scene::{Scene, directory, from, mark, volume_name};
use crate::support::wait::eventually;

/// A release in a namespace of its name, whose webhook is asked of that namespace alone.
pub struct Release {
    /// The namespace, and the class, which both have the release's name.
    pub scene: Scene,
    port: u16,
    child: Option<Child>,
    /// Kubeconfigs and values.
    home: TempDir,
}

impl Release {
    /// Installs the chart; no Bindery runs yet.
    pub async fn install() -> Self {
        let bed = Bed::get();
        let mut scene = Scene::of("bindery.dev/unused").await;
        // The class is the chart's.
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
            // Other tests' claims must not wait for a Bindery that does not run.
            "webhook": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}},
            // There is no service network here: what the Service leads to is found by its name and this port.
            "service": {"port": release.port},
        });
        std::fs::write(release.values(), values.to_string()).unwrap();
        release.helm(&["install", name, CHART, "--wait", "--values", &release.values()]);
        release.route();
        release
    }

    /// Brings a release back that was uninstalled.
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

    /// The Service leads to this machine.
    fn route(&self) {
        let service = json!({"spec": {"type": "ExternalName", "externalName": "127.0.0.1", "clusterIP": null, "clusterIPs": null}});
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

    /// Starts Bindery as the Deployment says, and waits until it is ready and the API server asks it.
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
        eventually("the API server asks it", async || {
            self.check().status.success().then_some(())
        })
        .await;
    }

    /// Ends Bindery as a kubelet would.
    pub async fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = eventually("bindery has ended", async || child.try_wait().unwrap()).await;
        assert!(
            status.success(),
            "{}",
            std::fs::read_to_string(self.log_file()).unwrap()
        );
    }

    /// Asks about claims of the class, as the cluster's administrator.
    fn check(&self) -> Output {
        let name = &self.scene.name;
        let check = ["check", "--namespace", name, name];
        let program = Command::new(env!("CARGO_BIN_EXE_bindery")).args(check).output();
        program.unwrap()
    }

    /// Runs what a hook's Job would, under the rights that the hook brings along: pods do not run here.
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

    /// The hooks of the release as it stands.
    pub fn hooks(&self) -> String {
        self.helm(&["get", "hooks", &self.scene.name])
    }

    /// The API server as a ServiceAccount of the release sees it.
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
    /// What is cluster-wide goes even if a test has failed.
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

/// What helm has made of the release, and kubectl sees.
fn exists(kind: &str, name: &str) -> bool {
    !kubectl(&["get", kind, name, "--ignore-not-found", "-o", "name"], "").is_empty()
}

#[tokio::test]
async fn what_helm_installs_serves_claims_with_the_rights_it_brings_along() {
    let mut release = Release::install().await;
    let name = release.scene.name.clone();

    let unasked = release.check();
    let said = String::from_utf8(unasked.stdout).unwrap();
    assert_eq!(unasked.status.code(), Some(1));
    assert!(
        said.starts_with(&format!(
            "class {name}: the API server admits claims without asking Bindery; "
        )),
        "{said}"
    );

    release.serve().await;
    let (_, volume) = release.scene.bound(release.scene.claim("data")).await;
    assert_eq!(
        (mark(&volume, "on-delete"), mark(&volume, "instance")),
        (Some("delete"), Some(&*name))
    );
    release.scene.delete("data").await;
    release.scene.until_gone(&volume).await;
    assert!(!directory(&volume).exists());
}

#[tokio::test]
async fn helm_test_says_what_a_claim_of_each_class_would_get() {
    let mut release = Release::install().await;
    let name = release.scene.name.clone();
    release.serve().await;
    // That the Job is made, runs and is seen to end; its pod is played by the bed.
    let said = release.helm(&["test", &name]);
    assert!(said.contains("Succeeded"), "{said}");
    let said = well("the check", release.run_hook(&release.hooks(), "test"));
    assert_eq!(said, format!("class {name}: ok\n"));

    // A class that no claim gets a volume of, which the schema cannot see.
    let class = json!([{"name": name, "parameters": {"archiveRetention": "a month"}}]);
    kubectl(&["delete", "storageclass", &name], "");
    let class = format!("classes={class}");
    release.helm(&["upgrade", &name, CHART, "--reuse-values", "--set-json", &class]);
    let why = format!(
        "class {name}: a claim would be refused: StorageClass {name}: archiveRetention is \"a month\": write a time such as 30d, \
         12h or 2w, up to 36500d, or forever; an administrator must delete the class and create it anew, since parameters cannot \
         be edited\n"
    );
    eventually("Bindery knows the class as it is now", async || {
        let check = release.run_hook(&release.hooks(), "test");
        let said = String::from_utf8(check.stdout).unwrap();
        (said == why && check.status.code() == Some(1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_leaves_volumes_and_certificate_as_they_are() {
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
async fn after_helm_uninstall_everything_is_there_and_an_install_goes_on_where_it_was() {
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
    assert!(objects(&release.hooks()).values().all(is_hook));
}

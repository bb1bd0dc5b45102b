//! A Bindery that one test starts, with its own provisioner name, instance and webhook configuration.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use uuid::Uuid;

use super::bed::{Bed, is_class_reviewed, token};
use super::scene::from;
use super::signals::{pause, resume, signal};
use super::wait::eventually;

/// A Bindery process, running or stopped. Dropping this kills it.
pub struct Bindery {
    /// Name of its webhook configuration, instance, Lease and Secret.
    pub name: String,
    /// Its provisioner name.
    pub provisioner: String,
    /// URL of its webhook.
    pub webhook: String,
    admin: String,
    kubeconfig: PathBuf,
    flags: Vec<String>,
    /// Number of the replica.
    number: usize,
    client: Client,
    child: Option<Child>,
}

impl Bindery {
    /// Starts a Bindery with these additional flags, and waits until it is ready and gets reviews.
    pub async fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, json!({})).await
    }

    /// Does the same with these fields in its webhook (an entry of a `MutatingWebhookConfiguration`).
    pub async fn start_with(flags: &[&str], webhook: Value) -> Self {
        let bed = Bed::get();
        let name = format!("bindery-{}", &Uuid::new_v4().simple().to_string()[..8]);
        let (port, admin) = (free_port(), free_port());
        let named = flags.iter().find_map(|flag| flag.strip_prefix("--provisioner-name="));
        let mut bindery = Self {
            provisioner: named.map_or_else(|| format!("bindery.dev/{name}"), str::to_owned),
            webhook: format!("https://127.0.0.1:{port}/mutate"),
            admin: format!("127.0.0.1:{admin}"),
            kubeconfig: bed.bindery_kubeconfig.clone(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            number: 0,
            client: bed.admin().await,
            child: None,
            name,
        };
        bindery.flags.extend([
            format!("--listen=127.0.0.1:{port}"),
            format!("--admin-listen={}", bindery.admin),
            "--serving-name=127.0.0.1".to_owned(),
            format!("--webhook-configuration={}", bindery.name),
            format!("--instance={}", bindery.name),
            "--namespace=bindery".to_owned(),
            "--replica=0".to_owned(),
            format!("--lease={}", bindery.name),
            format!("--tls-secret={}", bindery.name),
        ]);
        if named.is_none() {
            bindery
                .flags
                .push(format!("--provisioner-name={}", bindery.provisioner));
        }
        if !flags.iter().any(|flag| flag.starts_with("--nfs-server")) {
            bindery.flags.push(format!("--nfs-server={}", bed.server));
        }
        bindery.flags.push(format!("--nfs-share={}", bed.share));
        bindery.register(webhook).await;
        bindery.run().await;
        bindery.until_reviewed().await;
        bindery
    }

    /// Starts a replica: another process of the same installation. It gets no reviews. If the bed has two API servers, it uses
    /// the second one.
    pub async fn replica(&self) -> Self {
        let bed = Bed::get();
        let kubeconfig = bed.second_bindery_kubeconfig.as_ref();
        self.replica_with(kubeconfig.unwrap_or(&bed.bindery_kubeconfig)).await
    }

    /// Starts a replica with this kubeconfig.
    pub async fn replica_with(&self, kubeconfig: &Path) -> Self {
        let (port, admin) = (free_port(), free_port());
        let own = ["--listen=", "--admin-listen=", "--replica="];
        let same = |flag: &&String| !own.iter().any(|own| flag.starts_with(own));
        let mut flags: Vec<String> = self.flags.iter().filter(same).cloned().collect();
        flags.extend([
            format!("--listen=127.0.0.1:{port}"),
            format!("--admin-listen=127.0.0.1:{admin}"),
            format!("--replica={}", self.number + 1),
        ]);
        let mut replica = Self {
            name: self.name.clone(),
            provisioner: self.provisioner.clone(),
            webhook: format!("https://127.0.0.1:{port}/mutate"),
            admin: format!("127.0.0.1:{admin}"),
            kubeconfig: kubeconfig.to_owned(),
            flags,
            number: self.number + 1,
            client: self.client.clone(),
            child: None,
        };
        replica.run().await;
        replica
    }

    /// Configures the webhook so that `other` reviews the requests of `user`, and this replica all other ones. So a test can
    /// use both replicas at the same time, without the random choice of a Service.
    pub async fn split_reviews_with(&self, other: &Self, user: &str) {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let configuration = configurations.get(&self.name).await.expect("webhook configuration");
        let mut webhooks = json!(configuration.webhooks);
        let condition =
            |is: &str| json!([{"name": "by-user", "expression": format!("request.userInfo.username {is} '{user}'")}]);
        let mut theirs = webhooks[0].clone();
        theirs["name"] = json!("other.bindery.dev");
        theirs["clientConfig"]["url"] = json!(other.webhook);
        theirs["matchConditions"] = condition("==");
        webhooks[0]["matchConditions"] = condition("!=");
        webhooks.as_array_mut().expect("a list").push(theirs);
        let (parameters, patch) = (PatchParams::default(), Patch::Merge(json!({"webhooks": webhooks})));
        configurations
            .patch(&self.name, &parameters, &patch)
            .await
            .expect("webhook configuration");
        let theirs = Bed::get().admin_as(user).await;
        eventually("each replica gets the reviews of its own user", async || {
            let asked =
                is_class_reviewed(&theirs, &self.name).await && is_class_reviewed(&self.client, &self.name).await;
            asked.then_some(())
        })
        .await;
    }

    /// Waits until the API server uses the new webhook configuration.
    async fn until_reviewed(&self) {
        let class: StorageClass = from(json!({"metadata": {"name": self.name}, "provisioner": self.provisioner}));
        Api::all(self.client.clone())
            .create(&PostParams::default(), &class)
            .await
            .expect("class");
        eventually("the API server calls this Bindery", async || {
            is_class_reviewed(&self.client, &self.name).await.then_some(())
        })
        .await;
    }

    /// Starts the process (again) without waiting.
    pub fn start_process(&mut self) {
        self.spawn(None);
    }

    /// Starts the process (again), and waits until it is ready.
    pub async fn run(&mut self) {
        self.start_process();
        eventually("Bindery is ready", async || self.is_ready().await.then_some(())).await;
    }

    /// Starts the process (again) with a crash point, and waits until it is ready or has died.
    #[cfg(feature = "failpoints")]
    pub async fn run_until_crash(&mut self, point: bindery::failpoints::Point) {
        self.spawn(Some(&point.to_string()));
        eventually("Bindery is ready or has died", async || {
            let ended = self.child.as_mut()?.try_wait().expect("its status").is_some();
            (ended || self.is_ready().await).then_some(())
        })
        .await;
    }

    fn spawn(&mut self, crash_point: Option<&str>) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("a log file");
        let child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/as-bindery"))
            .arg(&self.kubeconfig)
            .args([env!("CARGO_BIN_EXE_bindery"), "serve"])
            .args(&self.flags)
            .env("FAILPOINTS", crash_point.unwrap_or_default())
            .stdin(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("bindery starts"));
    }

    /// Kills the process, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Returns the holder of the Lease.
    pub async fn leader(&self) -> Option<String> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), "bindery");
        let lease = leases.get_opt(&self.name).await.expect("the Lease can be read")?;
        lease.spec?.holder_identity
    }

    /// Waits until a replica leads, and returns it.
    pub async fn until_led(&self) -> String {
        eventually("a replica leads", async || self.leader().await).await
    }

    /// Waits until a replica leads that is not `leader`, and returns it.
    pub async fn until_another_leads(&self, leader: &str) -> String {
        eventually("another replica leads", async || {
            self.leader().await.filter(|next| next != leader)
        })
        .await
    }

    /// Returns the URL for reviews, with the secret path.
    pub async fn review_url(&self) -> String {
        format!("{}/{}", self.webhook, token(&self.name).await)
    }

    /// Returns the address of its probes and metrics.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// Pauses the process with SIGSTOP.
    pub fn pause(&self) {
        pause(self.pid());
    }

    /// Resumes the paused process.
    pub fn resume(&self) {
        resume(self.pid());
    }

    /// Waits until its log contains these words.
    pub async fn until_log(&self, words: &str) {
        eventually(&format!("the log says {words}"), async || {
            self.log().contains(words).then_some(())
        })
        .await;
    }

    /// Waits until its metrics report this NFS server as down.
    pub async fn until_down(&self, server: &str) {
        let line = format!("bindery_nfs_server_down{{server=\"{server}\"}} 1");
        eventually(&format!("Bindery knows that {server} is down"), async || {
            self.metrics().await.contains(&line).then_some(())
        })
        .await;
    }

    /// Returns its metrics.
    pub async fn metrics(&self) -> String {
        get(&self.admin, "/metrics").await.expect("metrics")
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Sends SIGTERM, as the kubelet does. [`Bindery::until_exit`] waits for the end.
    pub fn terminate(&self) {
        signal(self.pid(), "TERM");
    }

    /// Waits until the process has ended by itself.
    pub async fn until_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        eventually("Bindery has ended", async || child.try_wait().expect("its status")).await
    }

    /// Returns its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    async fn is_ready(&self) -> bool {
        get(&self.admin, "/readyz")
            .await
            .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    fn log_file(&self) -> std::path::PathBuf {
        std::path::Path::new(&std::env::var("BINDERY_BED").expect("run `make test`"))
            .join(format!("run/{}.{}.log", self.name, self.number))
    }

    /// Creates a copy of the bed's webhook configuration under another name, and the permissions for it.
    async fn register(&self, webhook: Value) {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let shipped = configurations
            .get("bindery")
            .await
            .expect("the shipped webhook configuration");
        let mut shipped = json!(shipped.webhooks.expect("webhooks")[0]);
        shipped["clientConfig"] = json!({"url": self.webhook});
        json_patch::merge(&mut shipped, &webhook);
        let own = json!({"metadata": {"name": self.name}, "webhooks": [shipped]});
        configurations
            .create(&PostParams::default(), &from(own))
            .await
            .expect("webhook configuration");

        // The rules of the shipped roles, with other resource names: a permission that they lack makes tests fail.
        let cluster: Api<ClusterRole> = Api::all(self.client.clone());
        let own: Api<Role> = Api::namespaced(self.client.clone(), "bindery");
        let shipped = [
            cluster.get("bindery").await.expect("the shipped role").rules,
            own.get("bindery").await.expect("the shipped role").rules,
        ];
        let named = shipped.into_iter().flatten().flatten().filter_map(|mut rule| {
            for name in rule.resource_names.as_mut()? {
                // The Secret has the same name as the Lease, the ConfigMap has a suffix.
                let suffix = if name.ends_with("-shares") { "-shares" } else { "" };
                *name = format!("{}{suffix}", self.name);
            }
            Some(rule)
        });
        let rules: Vec<_> = named.collect();
        let role: ClusterRole = from(json!({"metadata": {"name": self.name}, "rules": rules}));
        let binding: ClusterRoleBinding = from(json!({
            "metadata": {"name": self.name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": self.name},
            "subjects": [{"kind": "ServiceAccount", "name": "bindery", "namespace": "bindery"}],
        }));
        Api::all(self.client.clone())
            .create(&PostParams::default(), &role)
            .await
            .expect("role");
        Api::all(self.client.clone())
            .create(&PostParams::default(), &binding)
            .await
            .expect("binding");
    }

    /// Changes fields of its webhook in the webhook configuration.
    pub async fn change_webhook(&self, fields: Value) {
        let mut webhook = self.registered_webhook().await;
        json_patch::merge(&mut webhook, &fields);
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let (parameters, patch) = (PatchParams::default(), Patch::Merge(json!({"webhooks": [webhook]})));
        let changed = configurations.patch(&self.name, &parameters, &patch).await;
        changed.expect("webhook configuration");
    }

    /// Sets `failurePolicy: Fail`: claims of its classes, and of no others, are refused while it is down.
    pub async fn set_failure_policy_fail(&self) {
        self.change_webhook(json!({"failurePolicy": "Fail"})).await;
        eventually("Bindery has listed its own classes", async || {
            let webhook = self.registered_webhook().await;
            let own = json!(self.name).to_string();
            webhook["matchConditions"]
                .to_string()
                .contains(&own.replace('"', "\\\""))
                .then_some(())
        })
        .await;
    }

    /// Returns its webhook in the webhook configuration.
    pub async fn registered_webhook(&self) -> Value {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let configuration = configurations.get(&self.name).await.expect("webhook configuration");
        json!(configuration.webhooks.expect("webhooks")[0])
    }

    /// Deletes its webhook configuration, so that it does not slow down other tests.
    pub async fn unregister(&self) {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        configurations
            .delete(&self.name, &DeleteParams::default())
            .await
            .expect("unregistered");
    }
}

impl Drop for Bindery {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends an HTTP GET, and returns the whole answer; `None` if nobody answers.
pub async fn get(address: &str, path: &str) -> Option<String> {
    get_as(address, path, "*/*").await
}

/// The same with this header `Accept`.
pub async fn get_as(address: &str, path: &str, accept: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// Returns a free port.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

//! The peer: the provisioner with which Bindery is compared (`benches/peer`), on the same test bed.
//!
//! The peer runs as a ServiceAccount with every permission, so only its own limits slow it down. It works directly on the
//! exported directory of this machine, so its file operations are cheaper than over an NFS mount.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{ListParams, PostParams};
use kube::config::Kubeconfig;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::bed::Bed;
use crate::place::{Place, object};
use crate::process::stable_memory;

/// The provisioner name of the peer.
pub const PROVISIONER: &str = "peer.example.com/nfs";
const NAME: &str = "peer";
const TIME_LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// The running peer, ended when dropped.
pub struct Peer(Child);

impl Peer {
    /// Builds the peer if necessary, starts it, and waits until it leads.
    pub async fn start(client: &Client) -> Result<Self> {
        let bed = Bed::get();
        let program = program().await?;
        let place = Place::new(client, NAME).await?;
        let folder = std::env::var("BINDERY_BED").context("BINDERY_BED is not set: run `make bench`")?;
        let kubeconfig = Path::new(&folder).join("auth").join(NAME);
        std::fs::write(&kubeconfig, account(client).await?.to_string())?;
        let log = File::create(Path::new(&folder).join("run/peer.log"))?;
        let child = Command::new(program)
            .args(["--provisioner", PROVISIONER, "--namespace", NAME])
            .args(["--server", &bed.server, "--path", &bed.share])
            .arg("--folder")
            .arg(&bed.export)
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("the peer does not start")?;
        let mut peer = Self(child);
        peer.until_it_leads(&place).await?;
        Ok(peer)
    }

    /// Returns its resident memory in megabytes.
    pub async fn memory(&self) -> Result<f64> {
        stable_memory(self.0.id()).await
    }

    async fn until_it_leads(&mut self, place: &Place) -> Result<()> {
        let leases: Api<Lease> = Api::namespaced(place.client.clone(), place.name);
        let began = Instant::now();
        while leases.list(&ListParams::default()).await?.items.is_empty() {
            if let Some(status) = self.0.try_wait()? {
                bail!("the peer has ended, {status}: see peer.log");
            }
            ensure!(began.elapsed() < TIME_LIMIT, "the peer does not lead");
            sleep(PAUSE).await;
        }
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the path of the peer's program, which the first call builds.
async fn program() -> Result<String> {
    let build = || {
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/binaries"))
            .arg("peer")
            .stderr(Stdio::inherit())
            .output()
    };
    let output = tokio::task::spawn_blocking(build).await??;
    ensure!(output.status.success(), "the peer cannot be output");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Returns a kubeconfig of a ServiceAccount with every permission.
async fn account(client: &Client) -> Result<Value> {
    let create = PostParams::default();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAME);
    let account = object(json!({"metadata": {"name": NAME}}))?;
    accounts.create(&create, &account).await?;
    let binding: ClusterRoleBinding = object(json!({
        "metadata": {"name": NAME},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAME}],
    }))?;
    Api::all(client.clone()).create(&create, &binding).await?;
    let wanted: TokenRequest = object(json!({"metadata": {}, "spec": {"audiences": []}}))?;
    let token = accounts.create_token_request(NAME, &create, &wanted).await?;
    let token = token.status.context("a service account without a token")?.token;
    let bed = Kubeconfig::read_from(&Bed::get().kubeconfig)?;
    let cluster = bed.clusters.first().and_then(|named| named.cluster.as_ref());
    let cluster = cluster.context("the bed's kubeconfig names no cluster")?;
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": {
            "server": cluster.server,
            "certificate-authority-data": cluster.certificate_authority_data,
        }}],
        "users": [{"name": NAME, "user": {"token": token}}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
        "current-context": NAME,
    }))
}

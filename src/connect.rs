//! The way to the API server, and who we are there.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use tower::timeout::TimeoutLayer;

/// For one answer of the API server; for a watch, until it begins.
const API_CALL: Duration = Duration::from_secs(15);
/// Between two tries at the start.
const PAUSE: Duration = Duration::from_secs(1);

/// A client for the cluster that the flag names, else the environment, else the pod.
pub async fn connect(kubeconfig: Option<PathBuf>) -> Result<Client> {
    let config = match kubeconfig {
        Some(file) => {
            let read = Kubeconfig::read_from(&file).with_context(|| format!("--kubeconfig {}", file.display()))?;
            kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?
        }
        None => kube::Config::infer()
            .await
            .context("no cluster to talk to: set KUBECONFIG or run in a pod")?,
    };
    let client = ClientBuilder::try_from(config).context("the API server's address or certificates are of no use")?;
    Ok(client.with_layer(&TimeoutLayer::new(API_CALL)).build())
}

/// The id of this installation: the flag, or the uid of namespace kube-system, which lives as long as the cluster.
pub async fn instance(flag: Option<String>, client: &Client) -> Result<String> {
    if let Some(instance) = flag {
        return Ok(instance);
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = namespaces.get_metadata("kube-system").await;
    let system = system.context("the instance id could not be read from namespace kube-system; set --instance")?;
    system
        .metadata
        .uid
        .context("namespace kube-system has no uid; set --instance")
}

/// Asks again while the API server cannot be reached: at the start of a node everything comes up at once. What it refuses is
/// the administrator's to mend, and comes at once.
pub async fn patiently<T, F: Future<Output = Result<T>>>(ask: impl Fn() -> F) -> Result<T> {
    loop {
        match ask().await {
            Err(error) if is_away(&error) => {
                tracing::warn!("the API server cannot be reached; it is tried again: {error:#}");
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

fn is_away(error: &anyhow::Error) -> bool {
    let kube = error.chain().find_map(|cause| cause.downcast_ref::<kube::Error>());
    kube.is_some_and(|error| match error {
        kube::Error::Api(status) => status.code >= 500,
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    })
}

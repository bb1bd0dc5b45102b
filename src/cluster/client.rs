//! The way to the API server, and who we are there.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::http::{Request, Response, StatusCode};
use k8s_openapi::api::core::v1::Namespace;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use tokio::time::Sleep;
use tower::buffer::BufferLayer;
use tower::limit::ConcurrencyLimitLayer;
use tower::retry::{Policy, RetryLayer};
use tower::timeout::TimeoutLayer;
use tower::{BoxError, ServiceBuilder};

use crate::cluster::api_error::{ApiFault, describe};

/// For one answer of the API server; for a watch, until it begins.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Requests under way. Nothing else slows Bindery down here: it is the API server's priority and fairness that says who waits.
const MAX_CONCURRENT_CALLS: usize = 128;
/// Between two tries at the start.
const RETRY_PERIOD: Duration = Duration::from_secs(1);

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
    let layers = ServiceBuilder::new()
        .layer(TimeoutLayer::new(CALL_TIMEOUT))
        .layer(RetryLayer::new(RetryThrottled::new()?))
        // Retries want a service that can be cloned.
        .layer(BufferLayer::new(MAX_CONCURRENT_CALLS))
        .layer(ConcurrencyLimitLayer::new(MAX_CONCURRENT_CALLS));
    Ok(client.with_layer(&layers.into_inner()).build())
}

/// Sends again what the API server was too busy to look at (429), when it says so, or a little later each time. Anything
/// else may have been done, and whoever sent it knows what that means.
#[derive(Clone)]
struct RetryThrottled(RetryPolicy);

impl RetryThrottled {
    fn new() -> Result<Self> {
        Ok(Self(RetryPolicy::new(
            Duration::from_millis(50),
            Duration::from_secs(2),
            8,
            true,
        )?))
    }
}

impl<B> Policy<Request<Body>, Response<B>, BoxError> for RetryThrottled {
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Request<Body>,
        answer: &mut Result<Response<B>, BoxError>,
    ) -> Option<Self::Future> {
        let throttled = answer
            .as_ref()
            .is_ok_and(|answer| answer.status() == StatusCode::TOO_MANY_REQUESTS);
        throttled.then(|| self.0.retry(request, answer)).flatten()
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Policy::<_, Response<B>, BoxError>::clone_request(&mut self.0, request)
    }
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
pub async fn retry_while_unreachable<T, F: Future<Output = Result<T>>>(ask: impl Fn() -> F) -> Result<T> {
    loop {
        match ask().await {
            Err(error) if is_unreachable(&error) => {
                tracing::warn!("{}; it is tried again", describe(&error));
                tokio::time::sleep(RETRY_PERIOD).await;
            }
            answer => return answer,
        }
    }
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    let kube = error.chain().find_map(|cause| cause.downcast_ref::<kube::Error>());
    kube.is_some_and(|error| ApiFault::from(error).is_transient())
}

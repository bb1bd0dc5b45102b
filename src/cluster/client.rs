//! Connects to the API server, and determines the id of the installation.

use std::time::Duration;

use anyhow::{Context, Result};
use axum::http::{Request, Response, StatusCode};
use k8s_openapi::api::core::v1::Namespace;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder};
use kube::{Api, Client};
use tokio::time::Sleep;
use tower::buffer::BufferLayer;
use tower::limit::ConcurrencyLimitLayer;
use tower::retry::{Policy, RetryLayer};
use tower::timeout::TimeoutLayer;
use tower::{BoxError, ServiceBuilder};

use crate::cluster::access::Access;
use crate::cluster::api_error::{ApiFault, describe};
use crate::model::volume::Installation;

/// The longest time for one request, unless a flag says otherwise; for a watch, until it begins.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// The most requests in progress. There is no other limit here: API Priority and Fairness decides which requests wait.
const MAX_CONCURRENT_CALLS: usize = 128;
/// The pause between two attempts at the start.
const RETRY_PERIOD: Duration = Duration::from_secs(1);

/// Returns a client for the cluster and the user that the access names.
pub async fn connect(access: &Access) -> Result<Client> {
    let config = access.config().await?;
    let client =
        ClientBuilder::try_from(config).context("the address or the certificates of the API server are not valid")?;
    let throttled = RetryPolicy::new(Duration::from_millis(50), Duration::from_secs(2), 8, true)?;
    let layers = ServiceBuilder::new()
        .layer(TimeoutLayer::new(access.timeout.unwrap_or(CALL_TIMEOUT)))
        .layer(RetryLayer::new(RetryThrottled(throttled)))
        // Retries need a service that can be cloned.
        .layer(BufferLayer::new(MAX_CONCURRENT_CALLS))
        .layer(ConcurrencyLimitLayer::new(MAX_CONCURRENT_CALLS));
    Ok(client.with_layer(&layers.into_inner()).build())
}

/// Repeats requests that the API server did not accept because it was busy (429), after the time that it asks for, or
/// with a growing pause. Other failed requests are not repeated here, because the API server may have executed them.
#[derive(Clone)]
struct RetryThrottled(RetryPolicy);

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

/// Returns this installation. Without `instance`, its id is the uid of namespace kube-system, which never changes in a
/// cluster.
pub async fn installation(provisioner: String, instance: Option<String>, client: &Client) -> Result<Installation> {
    let instance = match instance {
        Some(instance) => instance,
        None => cluster_uid(client).await?,
    };
    Ok(Installation { provisioner, instance })
}

async fn cluster_uid(client: &Client) -> Result<String> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = namespaces.get_metadata("kube-system").await;
    let system = system.context(
        "the uid of namespace kube-system could not be read, which is the default of --instance; set --instance",
    )?;
    system
        .metadata
        .uid
        .context("namespace kube-system has no uid; set --instance")
}

/// Repeats a request while the API server cannot be reached, as when a node starts. Returns other errors at once.
pub async fn retry_while_unreachable<T, F: Future<Output = Result<T>>>(ask: impl Fn() -> F) -> Result<T> {
    loop {
        match ask().await {
            Err(error) if is_unreachable(&error) => {
                tracing::warn!("{}; Bindery retries every second", describe(&error));
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

//! A relay between a Bindery and its API server that holds watches back, as an API server does whose cache is behind that of
//! another one. All other requests are answered at once.

use std::io::Write;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use kube::Client;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::bed::Bed;

/// A relay. It runs until the test ends.
pub struct ApiRelay {
    /// Kubeconfig of Bindery's ServiceAccount for this relay.
    pub kubeconfig: NamedTempFile,
    held: watch::Sender<Option<&'static str>>,
}

#[derive(Clone)]
struct Upstream {
    client: Client,
    held: watch::Receiver<Option<&'static str>>,
}

impl ApiRelay {
    /// Starts a relay to the API server of the bed.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let held = watch::Sender::new(None);
        let upstream = Upstream {
            client: Bed::get().bindery().await,
            held: held.subscribe(),
        };
        let relay = Router::new().fallback(forward).with_state(upstream);
        tokio::spawn(async move { axum::serve(listener, relay).await });
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "relay", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "relay", "user": {}}],
            "contexts": [{"name": "relay", "context": {"cluster": "relay", "user": "relay"}}],
            "current-context": "relay",
        });
        let mut kubeconfig = NamedTempFile::new().expect("a file");
        kubeconfig
            .write_all(config.to_string().as_bytes())
            .expect("a kubeconfig");
        // Bindery runs as another user.
        std::os::unix::fs::chown(kubeconfig.path(), Some(65532), None).expect("its owner");
        Self { kubeconfig, held }
    }

    /// Holds back what watches of this resource report from now on, until the test ends.
    pub fn hold(&self, resource: &'static str) {
        self.held.send_replace(Some(resource));
    }
}

async fn forward(State(upstream): State<Upstream>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let is_watch = parts.uri.query().is_some_and(|query| query.contains("watch=true"));
    let resource = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    parts.headers.remove(HOST);
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let request = http::Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let Ok(answer) = upstream.client.send(request).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    if !is_watch {
        return answer.map(Body::new);
    }
    answer.map(|body| {
        let changes = Body::new(body).into_data_stream();
        Body::from_stream(changes.then(move |change| {
            let (mut held, resource) = (upstream.held.clone(), resource.clone());
            async move {
                // An error means that the test has ended.
                let _ = held.wait_for(|held| *held != Some(&*resource)).await;
                change
            }
        }))
    })
}

//! TLS and HTTP: `POST /mutate/TOKEN` takes an AdmissionReview and answers with one.
//!
//! Without the token all there is is 404, and a body is not even read. With it: a body over 3 MiB gets 413 (the largest
//! object that etcd takes is half of that), one that does not come in time 408, one that is no AdmissionReview 400, another
//! method 405. When too many reviews are under way 429 asks the API server to come back in a second, which it does.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::header::{ALLOW, RETRY_AFTER};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::any;
use axum::{Extension, Router};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::door::{Door, Guest};
use super::handler::Handler;
use super::review::Request;
use crate::certificate::Credentials;
use crate::ops::metrics::Metrics;

/// The path in the webhook configuration, without the token.
pub const PATH: &str = "/mutate";
const LARGEST_BODY: usize = 3 << 20;
/// Reviews under way. Each may hold a body, so this bounds memory, too.
const REVIEWS: usize = 256;
/// For a handshake, for the head of a request, and for its body.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a connection that is silent is asked whether the other end is still there.
const PING: Duration = Duration::from_secs(20);
const LARGEST_HEAD: u32 = 16 << 10;
const STREAMS: u32 = 256;

/// What the webhook's port answers with.
pub struct Webhook {
    /// For those who know the path.
    pub handler: Arc<Handler>,
    /// The certificate and the path, as they are by now.
    pub credentials: watch::Receiver<Credentials>,
    /// What machines read.
    pub metrics: Arc<Metrics>,
}

struct Shared {
    webhook: Webhook,
    reviews: Semaphore,
}

impl Webhook {
    /// Answers until `handle` says stop. Every connection from now on is served with the certificate of that moment.
    pub async fn serve(self, listener: TcpListener, handle: Handle<SocketAddr>) -> std::io::Result<()> {
        let mut credentials = self.credentials.clone();
        let config = RustlsConfig::from_config(credentials.borrow_and_update().config.clone());
        let metrics = Arc::clone(&self.metrics);
        let acceptor = RustlsAcceptor::new(config.clone())
            .handshake_timeout(PATIENCE)
            .acceptor(Door::new(Arc::clone(&metrics)));
        let mut server = axum_server::from_tcp(listener)?
            .acceptor(acceptor)
            .handle(handle)
            .first_request_timeout(PATIENCE)
            .accept_error_handler(move |_, error| {
                tracing::debug!(%error, "a connection that came to nothing");
                metrics.turned_away("handshake");
            });
        limit(&mut server);
        let routes = self.routes().into_make_service();
        let reload = async {
            while credentials.changed().await.is_ok() {
                config.reload_from_config(credentials.borrow_and_update().config.clone());
            }
            // The keeper is gone: the process is ending.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = server.serve(routes) => ended,
            () = reload => Ok(()),
        }
    }

    /// The routes of the webhook port.
    fn routes(self) -> Router {
        let shared = Shared {
            webhook: self,
            reviews: Semaphore::new(REVIEWS),
        };
        Router::new()
            .route(&format!("{PATH}/{{token}}"), any(review))
            .fallback(async |State(shared): State<Arc<Shared>>| shared.nobody())
            .with_state(Arc::new(shared))
    }
}

fn limit<A>(server: &mut Server<SocketAddr, A>) {
    let http = server.http_builder();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(LARGEST_HEAD as usize);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PATIENCE)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(LARGEST_HEAD);
}

impl Shared {
    /// Also a token that is nearly right is nobody's.
    fn nobody(&self) -> Response {
        self.webhook.metrics.turned_away("path");
        StatusCode::NOT_FOUND.into_response()
    }
}

async fn review(
    State(shared): State<Arc<Shared>>,
    Extension(guest): Extension<Guest>,
    Path(token): Path<String>,
    method: Method,
    body: Body,
) -> Response {
    if !shared
        .webhook
        .credentials
        .borrow()
        .tokens
        .accept(&token, Timestamp::now())
    {
        return shared.nobody();
    }
    guest.is_known();
    if method != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")]).into_response();
    }
    let Ok(_turn) = shared.reviews.try_acquire() else {
        shared.webhook.metrics.turned_away("busy");
        return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "1")]).into_response();
    };
    let body = match timeout(PATIENCE, to_bytes(body, LARGEST_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    match Request::read(&body) {
        Ok(request) => Json(shared.webhook.handler.clone().answer(request).await).into_response(),
        Err(wrong) => (StatusCode::BAD_REQUEST, wrong).into_response(),
    }
}

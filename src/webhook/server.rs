//! The webhook's HTTPS server. `POST /mutate/TOKEN` receives an AdmissionReview and returns one.
//!
//! | status | when |
//! |---|---|
//! | 404 | the path does not have the token; the body is discarded |
//! | 405 | the method is not POST |
//! | 413 | the body has more than 3 MiB; an object in etcd has at most 1.5 MiB |
//! | 408 | the body does not arrive in time |
//! | 400 | the body is not an AdmissionReview |
//! | 429 | too many reviews are in progress; the API server retries after a second |

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request as HttpRequest, State};
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

use super::body::{self, BodyError};
use super::connections::{Closed, Limiter, Peer};
use super::handler::Handler;
use super::review::Request;
use crate::certificate::Credentials;
use crate::model::names::WEBHOOK_PATH;
use crate::ops::metrics::Metrics;

const MAX_BODY: u32 = 3 << 20;
/// The maximum number of reviews in progress. A review is counted until its work is done, even if the API server has
/// closed the connection.
const MAX_REVIEWS: usize = 256;
/// The maximum number of bytes of all bodies in progress. A body that is being parsed is in memory several times.
const MAX_BODIES: u32 = 8 << 20;
/// How long a TLS handshake or the answer to an HTTP/2 ping may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum time from one request on a connection to the end of the next request's head. An API server closes an
/// idle connection after 90 s. The server waits longer, because a request is lost if the server closes the connection
/// while the API server uses it. Unauthenticated connections have less time ([`Limiter`]).
const IDLE_TIMEOUT: Duration = Duration::from_mins(2);
/// The time between two pings on an idle HTTP/2 connection.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const MAX_HEAD: u32 = 16 << 10;
const MAX_STREAMS: u32 = 256;

/// The webhook's server.
pub struct Webhook {
    /// Answers the reviews.
    pub handler: Arc<Handler>,
    /// The current certificate and path tokens.
    pub credentials: watch::Receiver<Credentials>,
    /// Counts rejected connections and requests.
    pub metrics: Arc<Metrics>,
}

struct Shared {
    webhook: Webhook,
    reviews: Arc<Semaphore>,
    bodies: Semaphore,
}

impl Webhook {
    /// Serves until `handle` stops it. Each new connection is served with the current certificate.
    pub async fn serve(self, listener: TcpListener, handle: Handle<SocketAddr>) -> std::io::Result<()> {
        let mut credentials = self.credentials.clone();
        let config = RustlsConfig::from_config(credentials.borrow_and_update().config.clone());
        let metrics = Arc::clone(&self.metrics);
        let acceptor = RustlsAcceptor::new(config.clone())
            .handshake_timeout(TIMEOUT)
            .acceptor(Limiter::new(Arc::clone(&metrics)));
        let mut server = axum_server::from_tcp(listener)?
            .acceptor(acceptor)
            .handle(handle)
            .accept_error_handler(move |_, error| {
                tracing::debug!(%error, "a connection ended before its first request");
                let closed = error.get_ref().and_then(|cause| cause.downcast_ref::<Closed>());
                if closed.is_none() {
                    metrics.webhook_rejected("handshake");
                }
            });
        set_limits(&mut server);
        let routes = self.routes().into_make_service();
        let reload = async {
            while credentials.changed().await.is_ok() {
                config.reload_from_config(credentials.borrow_and_update().config.clone());
            }
            // The certificate manager has ended, and the process is stopping.
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            ended = server.serve(routes) => ended,
            never = reload => match never {},
        }
    }

    fn routes(self) -> Router {
        let shared = Shared {
            webhook: self,
            reviews: Arc::new(Semaphore::new(MAX_REVIEWS)),
            bodies: Semaphore::new(MAX_BODIES as usize),
        };
        Router::new()
            .route(&format!("{WEBHOOK_PATH}/{{token}}"), any(review))
            .fallback(async |State(shared): State<Arc<Shared>>, request: HttpRequest| shared.not_found(request).await)
            .with_state(Arc::new(shared))
    }
}

fn set_limits<A>(server: &mut Server<SocketAddr, A>) {
    let http = server.http_builder();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(MAX_HEAD as usize);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD);
}

impl Shared {
    /// Answers 404 to a request whose path does not have the token.
    async fn not_found(&self, request: HttpRequest) -> Response {
        self.webhook.metrics.webhook_rejected("unknown_path");
        discard_and_answer(request, StatusCode::NOT_FOUND).await
    }
}

/// Discards the body of a request, and answers it.
async fn discard_and_answer(request: HttpRequest, answer: impl IntoResponse) -> Response {
    let (head, body) = request.into_parts();
    body::discard_body(&head.headers, body).await;
    answer.into_response()
}

async fn review(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    token: Result<Path<String>, PathRejection>,
    request: HttpRequest,
) -> Response {
    let credentials = &shared.webhook.credentials;
    let accepts = |token: &str| credentials.borrow().tokens.accept(token, Timestamp::now());
    if !token.is_ok_and(|Path(token)| accepts(&token)) {
        return shared.not_found(request).await;
    }
    peer.authenticate();
    if request.method() != Method::POST {
        return discard_and_answer(request, (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")])).await;
    }
    let size = request.body().size_hint().upper().unwrap_or(u64::MAX);
    let size = u32::try_from(size).map_or(MAX_BODY, |size| size.min(MAX_BODY));
    let (review, bytes) = (
        shared.reviews.clone().try_acquire_owned(),
        shared.bodies.try_acquire_many(size),
    );
    let (Ok(permit), Ok(_bytes)) = (review, bytes) else {
        shared.webhook.metrics.webhook_rejected("busy");
        return discard_and_answer(request, (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "1")])).await;
    };
    let body = match body::read(request.into_body(), MAX_BODY as usize).await {
        Ok(body) => body,
        Err(BodyError::TooLarge) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(BodyError::Incomplete) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let request = match Request::read(&body) {
        Ok(request) => request,
        Err(why) => return (StatusCode::BAD_REQUEST, why).into_response(),
    };
    drop(body);
    let handler = Arc::clone(&shared.webhook.handler);
    Json(handler.answer(request, permit).await).into_response()
}

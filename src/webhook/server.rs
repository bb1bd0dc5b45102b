//! TLS and HTTP: `POST /mutate/TOKEN` takes an AdmissionReview and answers with one.
//!
//! Without the token every answer is 404, and nothing of a body is kept. With it: a body over 3 MiB gets 413 (the largest
//! object that etcd takes is half of that), one that does not come in time 408, one that is no AdmissionReview 400, another
//! method 405. When too much is under way 429 asks the API server to come back in a second, which it does.

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

use super::body::{self, NoBody};
use super::connections::{Door, Guest, TurnedAway};
use super::handler::Handler;
use super::review::Request;
use crate::certificate::Credentials;
use crate::model::names::WEBHOOK_PATH;
use crate::ops::metrics::Metrics;

const LARGEST_BODY: u32 = 3 << 20;
/// Reviews under way, until their work is done, whoever still listens.
const REVIEWS: usize = 256;
/// Bytes of bodies under way: each is in memory several times over while it is read.
const BODIES: u32 = 8 << 20;
/// For a handshake.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two requests on a connection, and for the head of the next. Above the 90 s for which an API server keeps one that
/// it does not use: whoever closes first loses the request that comes at that moment. Strangers have less ([`Door`]).
const IDLE: Duration = Duration::from_mins(2);
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
    reviews: Arc<Semaphore>,
    bodies: Semaphore,
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
            .accept_error_handler(move |_, error| {
                tracing::debug!(%error, "a connection that came to nothing");
                let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<TurnedAway>());
                if cause.is_none() {
                    metrics.turned_away("handshake");
                }
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
            reviews: Arc::new(Semaphore::new(REVIEWS)),
            bodies: Semaphore::new(BODIES as usize),
        };
        Router::new()
            .route(&format!("{WEBHOOK_PATH}/{{token}}"), any(review))
            .fallback(async |State(shared): State<Arc<Shared>>, request: HttpRequest| shared.nobody(request).await)
            .with_state(Arc::new(shared))
    }
}

fn limit<A>(server: &mut Server<SocketAddr, A>) {
    let http = server.http_builder();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
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
    async fn nobody(&self, request: HttpRequest) -> Response {
        self.webhook.metrics.turned_away("path");
        early(request, StatusCode::NOT_FOUND).await
    }
}

/// Answers a request whose body nobody wants.
async fn early(request: HttpRequest, answer: impl IntoResponse) -> Response {
    let (head, body) = request.into_parts();
    body::drop_unread(&head.headers, body).await;
    answer.into_response()
}

async fn review(
    State(shared): State<Arc<Shared>>,
    Extension(guest): Extension<Guest>,
    token: Result<Path<String>, PathRejection>,
    request: HttpRequest,
) -> Response {
    let Ok(Path(token)) = token else {
        return shared.nobody(request).await;
    };
    if !shared
        .webhook
        .credentials
        .borrow()
        .tokens
        .accept(&token, Timestamp::now())
    {
        return shared.nobody(request).await;
    }
    guest.is_known();
    if request.method() != Method::POST {
        return early(request, (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")])).await;
    }
    let size = request
        .body()
        .size_hint()
        .upper()
        .unwrap_or(u64::MAX)
        .min(u64::from(LARGEST_BODY));
    let size = u32::try_from(size).unwrap_or(LARGEST_BODY);
    let (turn, room) = (
        shared.reviews.clone().try_acquire_owned(),
        shared.bodies.try_acquire_many(size),
    );
    let (Ok(turn), Ok(_room)) = (turn, room) else {
        shared.webhook.metrics.turned_away("busy");
        return early(request, (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "1")])).await;
    };
    let body = match body::read(request.into_body(), LARGEST_BODY as usize).await {
        Ok(body) => body,
        Err(NoBody::TooLarge) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(NoBody::Incomplete) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let request = match Request::read(&body) {
        Ok(request) => request,
        Err(wrong) => return (StatusCode::BAD_REQUEST, wrong).into_response(),
    };
    drop(body);
    let handler = Arc::clone(&shared.webhook.handler);
    Json(handler.answer(request, turn).await).into_response()
}

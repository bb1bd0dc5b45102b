//! TLS and HTTP: `POST /mutate` takes an AdmissionReview and answers with one.
//!
//! A body over 3 MiB gets 413 (the largest object that etcd takes is half of that), one that is no AdmissionReview 400,
//! another method 405, another path 404.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;

use super::handler::Handler;
use super::review::Request;

/// The path in the webhook configuration.
pub const PATH: &str = "/mutate";
const LARGEST_BODY: usize = 3 << 20;

/// The routes of the webhook port.
pub fn routes(handler: Arc<Handler>) -> Router {
    Router::new()
        .route(PATH, post(review))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(handler)
}

async fn review(State(handler): State<Arc<Handler>>, body: Bytes) -> Response {
    match Request::read(&body) {
        Ok(request) => Json(handler.answer(request).await).into_response(),
        Err(wrong) => (StatusCode::BAD_REQUEST, wrong).into_response(),
    }
}

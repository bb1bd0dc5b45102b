//! The admin port: `/livez`, `/readyz` and `/metrics`, in plain HTTP.
//!
//! `/readyz` answers 200 when every part is ready, else 503 with the names of the parts that are not. Read it first
//! when a roll-out does not complete.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use parking_lot::Mutex;

use super::exposition::Format;
use super::metrics::Metrics;

/// The parts of the process that are not ready. Clones share them.
#[derive(Clone)]
pub struct Readiness(Arc<Mutex<BTreeSet<&'static str>>>);

impl Readiness {
    /// Creates a state in which these parts are not ready.
    pub fn waiting_for(parts: impl IntoIterator<Item = &'static str>) -> Self {
        Self(Arc::new(Mutex::new(parts.into_iter().collect())))
    }

    /// Marks a part as ready.
    pub fn set_ready(&self, part: &'static str) {
        self.0.lock().remove(part);
    }

    /// Marks a part as not ready.
    pub fn set_not_ready(&self, part: &'static str) {
        self.0.lock().insert(part);
    }

    fn answer(&self) -> (StatusCode, String) {
        let missing: Vec<_> = self.0.lock().iter().copied().collect();
        if missing.is_empty() {
            (StatusCode::OK, "ready\n".to_owned())
        } else {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("waiting for: {}\n", missing.join(", ")),
            )
        }
    }
}

/// Returns the routes of the admin port.
pub fn routes(readiness: Readiness, metrics: Arc<Metrics>) -> Router {
    let ready = get(async |State(readiness): State<Readiness>| readiness.answer());
    let text = get(async |State(metrics): State<Arc<Metrics>>, headers: HeaderMap| {
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let format = Format::accepted(accept.unwrap_or_default());
        ([(CONTENT_TYPE, format.content_type())], format.convert(metrics.text()))
    });
    Router::new()
        .route("/livez", get("alive\n"))
        .route("/readyz", ready.with_state(readiness))
        .route("/metrics", text.with_state(metrics))
}

//! Answers the requests of the browser.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::guard::Guard;
use super::read::Reader;
use super::view;

/// The page. The word `NONCE` in it is replaced.
const PAGE: &str = include_str!("page.html");
/// Several tabs of a browser get one answer of the cluster within this time.
const FRESH: Duration = Duration::from_secs(2);

struct Console {
    guard: Guard,
    reader: Reader,
    /// The last answer, and when it was read.
    last: Mutex<Option<(Instant, String)>>,
}

/// Returns the routes: the page and its data. The guard decides about each request.
pub fn routes(guard: Guard, reader: Reader) -> Router {
    let console = Console {
        guard,
        reader,
        last: Mutex::default(),
    };
    Router::new().fallback(answer).with_state(Arc::new(console))
}

async fn answer(State(console): State<Arc<Console>>, request: Request) -> Response {
    let path = console
        .guard
        .path(request.method(), request.headers(), request.uri().path());
    match path {
        Ok("") => page(),
        Ok("data") => data(&console).await,
        Ok(_) => with_headers(
            StatusCode::NOT_FOUND,
            "text/plain",
            "not found\n".to_owned(),
            "default-src 'none'",
        ),
        Err(code) => {
            let words = code.canonical_reason().unwrap_or("refused").to_lowercase();
            with_headers(code, "text/plain", words + "\n", "default-src 'none'")
        }
    }
}

fn page() -> Response {
    // Only the script and the style that have this value run in the page.
    let nonce = Uuid::new_v4().simple().to_string();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    with_headers(
        StatusCode::OK,
        "text/html; charset=utf-8",
        PAGE.replace("NONCE", &nonce),
        &policy,
    )
}

async fn data(console: &Console) -> Response {
    // A second request waits for the first one, and gets the same answer.
    let mut last = console.last.lock().await;
    let text = match &*last {
        Some((read, text)) if read.elapsed() < FRESH => text.clone(),
        _ => {
            let objects = console.reader.read().await;
            let view = view::of(&objects, jiff::Timestamp::now());
            let Ok(text) = serde_json::to_string(&view) else {
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            };
            *last = Some((Instant::now(), text.clone()));
            text
        }
    };
    with_headers(StatusCode::OK, "application/json", text, "default-src 'none'")
}

fn with_headers(code: StatusCode, kind: &'static str, body: String, policy: &str) -> Response {
    let mut answer = (code, body).into_response();
    let headers = answer.headers_mut();
    let fixed = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

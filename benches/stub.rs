//! A stub of an API server. It answers at once, so that only the cost of a review in Bindery is measured.
//!
//! The stub has classes and a namespace, no claims and no volumes. It accepts every volume, and its watches never send a
//! change. It refuses the Lease, so no controller runs. Only this benchmark uses a stub; all others use a real API server.

use std::net::TcpListener;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum_server::tls_rustls::RustlsConfig;
use bindery::certificate::certificate;
use bindery::model::names::annotation::SERVING_NAMES;
use futures::stream;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use serde_json::{Value, json};

/// Last segment of the webhook's secret path.
pub const TOKEN: &str = "00000000000000000000000000000000";
/// A class of another provisioner.
pub const OTHER_CLASS: &str = "other";

/// A running stub.
pub struct Stub {
    /// The address of the stub.
    pub address: String,
    /// The CA of the certificates of the stub and of the webhook.
    pub ca: String,
}

struct Objects {
    classes: Value,
    namespaces: Value,
    configurations: Value,
    secret: Value,
}

/// Starts the stub: class `ours-N` uses this share of the Nth server. The stub ends with the runtime.
pub async fn start(provisioner: &str, servers: &[String], share: &str) -> Result<Stub> {
    // Otherwise Bindery would create this Secret. So this program knows the webhook's certificate and path.
    let life = SignedDuration::from_hours(24);
    let names = "bindery.bindery.svc".to_owned();
    let (ca, serving) = certificate(std::slice::from_ref(&names), life, Timestamp::now())?;
    let text = |text: &str| ByteString(text.as_bytes().to_vec());
    let secret = json!({
        "metadata": {"name": "bindery-tls", "resourceVersion": "1", "annotations": {SERVING_NAMES: names}},
        "data": {
            "ca.crt": text(&ca), "tls.crt": text(&serving.chain), "tls.key": text(&serving.key), "token": text(TOKEN),
        },
    });
    let (own_ca, own) = certificate(&[names, "127.0.0.1".to_owned()], life, Timestamp::now())?;
    let tls = RustlsConfig::from_pem(own.chain.into_bytes(), own.key.into_bytes()).await?;
    let class = |name: &str, provisioner: &str, parameters: Value| {
        json!({
            "metadata": {"name": name, "uid": name, "resourceVersion": "1"},
            "provisioner": provisioner,
            "parameters": parameters,
        })
    };
    let ours = servers.iter().enumerate().map(|(number, server)| {
        class(
            &format!("ours-{number}"),
            provisioner,
            json!({"server": server, "share": share}),
        )
    });
    let other = class(OTHER_CLASS, "nobody.example.com/nothing", json!({}));
    let classes: Vec<Value> = ours.chain([other]).collect();
    let objects = Objects {
        classes: list("StorageClassList", json!(classes)),
        namespaces: list(
            "PartialObjectMetadataList",
            json!([
                {"metadata": {"name": "scene", "uid": "scene", "resourceVersion": "1"}},
            ]),
        ),
        configurations: list(
            "MutatingWebhookConfigurationList",
            json!([{
                "metadata": {"name": "bindery", "uid": "bindery", "resourceVersion": "1"},
                "webhooks": [{"name": "claims.bindery.dev", "clientConfig": {"url": "https://127.0.0.1/"}}],
            }]),
        ),
        secret,
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = format!("https://{}", listener.local_addr()?);
    let routes = Router::new().fallback(answer).with_state(Arc::new(objects));
    let server = axum_server::from_tcp_rustls(listener, tls).context("the stub")?;
    tokio::spawn(server.serve(routes.into_make_service()));
    Ok(Stub {
        address,
        ca: format!("{own_ca}{ca}"),
    })
}

fn list(kind: &str, items: Value) -> Value {
    json!({"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
}

async fn answer(State(objects): State<Arc<Objects>>, method: Method, uri: Uri, body: Bytes) -> Response {
    if uri.query().is_some_and(|query| query.contains("watch=true")) {
        // A watch never sends a change.
        let no_events = stream::pending::<std::io::Result<Bytes>>();
        return (
            [(header::CONTENT_TYPE, "application/json")],
            Body::from_stream(no_events),
        )
            .into_response();
    }
    let path: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let (status, object) = match (method, path.as_slice()) {
        (Method::GET, [.., "storageclasses"]) => (StatusCode::OK, objects.classes.clone()),
        (Method::GET, ["api", "v1", "namespaces"]) => (StatusCode::OK, objects.namespaces.clone()),
        (Method::GET, [.., "storageclasses", name] | ["api", "v1", "namespaces", name]) => found(&objects, name),
        (Method::GET, ["api", "v1", kind @ ("persistentvolumes" | "persistentvolumeclaims")]) => {
            (StatusCode::OK, list(kind, json!([])))
        }
        (Method::GET, [.., "mutatingwebhookconfigurations"]) => (StatusCode::OK, objects.configurations.clone()),
        (Method::GET | Method::PATCH, [.., "mutatingwebhookconfigurations", _]) => {
            (StatusCode::OK, objects.configurations["items"][0].clone())
        }
        (Method::GET, [.., "secrets"]) => (StatusCode::OK, list("SecretList", json!([objects.secret]))),
        (Method::GET, [.., "secrets", _]) => (StatusCode::OK, objects.secret.clone()),
        (Method::POST, [.., "persistentvolumes"]) => {
            let made = [(header::CONTENT_TYPE, "application/json")];
            return (StatusCode::CREATED, made, body).into_response();
        }
        (_, [.., "leases"] | [.., "leases", _]) => (StatusCode::FORBIDDEN, status(403, "Forbidden")),
        _ => (StatusCode::NOT_FOUND, status(404, "NotFound")),
    };
    (status, axum::Json(object)).into_response()
}

/// Returns the class or the namespace with this name.
fn found(objects: &Objects, name: &str) -> (StatusCode, Value) {
    let lists = [&objects.classes, &objects.namespaces];
    let mut items = lists.into_iter().filter_map(|list| list["items"].as_array()).flatten();
    match items.find(|item| item["metadata"]["name"] == name) {
        Some(item) => (StatusCode::OK, item.clone()),
        None => (StatusCode::NOT_FOUND, status(404, "NotFound")),
    }
}

fn status(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "reason": reason,
        "code": code,
        "message": reason,
    })
}

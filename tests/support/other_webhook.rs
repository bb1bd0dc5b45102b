//! Another mutating webhook, which the API server calls after Bindery's for the claims of one namespace.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::routing::post;
use axum::{Json, Router};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use bindery::certificate::certificate;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use super::bed::Bed;
use super::scene::from;
use super::wait::eventually;

/// A running and registered webhook.
pub struct OtherWebhook {
    name: String,
    handle: Handle<std::net::SocketAddr>,
}

impl OtherWebhook {
    /// Starts and registers the webhook. `answer` gets each review. It returns a JSON patch, or `None` to admit the claim
    /// unchanged.
    pub async fn after_bindery(
        namespace: &str,
        answer: impl Fn(&Value) -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        let client = Bed::get().admin().await;
        let life = SignedDuration::from_hours(24);
        let made = certificate(&["127.0.0.1".to_owned()], life, Timestamp::now());
        let (ca, serving) = made.expect("a certificate");
        let config = RustlsConfig::from_pem(serving.chain.into_bytes(), serving.key.into_bytes()).await;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("its address");
        let called = Arc::new(AtomicBool::new(false));
        let seen = called.clone();
        let answer = Arc::new(move |review: &Value| {
            seen.store(true, Ordering::Relaxed);
            answer(review)
        });
        let route = post(async move |Json(review): Json<Value>| {
            let uid = &review["request"]["uid"];
            let response = match answer(&review) {
                None => json!({"uid": uid, "allowed": true}),
                Some(patch) => json!({
                    "uid": uid, "allowed": true, "patchType": "JSONPatch",
                    "patch": ByteString(patch.to_string().into_bytes()),
                }),
            };
            Json(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
        });
        let handle = Handle::new();
        let server = axum_server::from_tcp_rustls(listener, config.expect("a certificate"));
        let server = server.expect("a server").handle(handle.clone());
        tokio::spawn(server.serve(Router::new().route("/", route).into_make_service()));

        let name = format!("zz-{namespace}");
        let configuration: MutatingWebhookConfiguration = from(json!({
            "metadata": {"name": name},
            "webhooks": [{
                "name": "other.example.com",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": format!("https://{address}/"), "caBundle": ByteString(ca.into_bytes())},
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"],
                    "operations": ["CREATE"], "resources": ["persistentvolumeclaims"],
                }],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "sideEffects": "None",
                "failurePolicy": "Fail",
            }],
        }));
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
        configurations
            .create(&PostParams::default(), &configuration)
            .await
            .expect("webhook configuration");
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, namespace);
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        eventually("the API server calls the webhook", async || {
            let probe = json!({"metadata": {"name": "probe"}, "spec": {"storageClassName": ""}});
            let _ = claims.create(&dry, &from(probe)).await;
            called.load(Ordering::Relaxed).then_some(())
        })
        .await;
        Self { name, handle }
    }

    /// Deletes its configuration, and stops it.
    pub async fn unregister(self) {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(Bed::get().admin().await);
        configurations
            .delete(&self.name, &DeleteParams::default())
            .await
            .expect("unregistered");
        self.handle.shutdown();
    }
}

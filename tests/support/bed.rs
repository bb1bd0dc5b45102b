//! The test bed that `make test` has started: control plane, NFS server, and the Bindery that most tests use.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

/// Addresses and paths of the test bed, from its file `env`.
pub struct Bed {
    /// Kubeconfig of the cluster's administrator.
    pub kubeconfig: PathBuf,
    /// Address of the NFS server.
    pub server: String,
    /// Path of its export.
    pub share: String,
    /// The exported directory, on this machine.
    pub export: PathBuf,
    /// The provisioner name of the class.
    pub provisioner: String,
    /// The same for the second API server, if the bed has two (`APISERVERS=2`).
    pub second_kubeconfig: Option<PathBuf>,
    /// Kubeconfig of Bindery's ServiceAccount.
    pub bindery_kubeconfig: PathBuf,
    /// The same for the second API server.
    pub second_bindery_kubeconfig: Option<PathBuf>,
    /// Folder with `client-ca.crt` and two certificates that it has signed: `client-apiserver` and `client-somebody`.
    pub client_certificates: PathBuf,
    /// URL of Bindery's webhook.
    pub webhook: String,
    /// URL of Bindery's metrics.
    pub metrics: String,
}

static BED: LazyLock<Bed> = LazyLock::new(|| {
    let get = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`"));
    Bed {
        kubeconfig: get("KUBECONFIG").into(),
        server: get("NFS_SERVER"),
        share: get("NFS_SHARE"),
        export: get("EXPORT_DIR").into(),
        provisioner: get("PROVISIONER"),
        second_kubeconfig: std::env::var_os("KUBECONFIG_2").map(PathBuf::from),
        bindery_kubeconfig: get("BINDERY_KUBECONFIG").into(),
        second_bindery_kubeconfig: std::env::var_os("BINDERY_KUBECONFIG_2").map(PathBuf::from),
        client_certificates: get("CLIENT_CERTIFICATES").into(),
        webhook: get("BINDERY_WEBHOOK_URL"),
        metrics: get("BINDERY_METRICS_URL"),
    }
});

impl Bed {
    /// Returns the test bed of this run.
    pub fn get() -> &'static Self {
        &BED
    }

    /// Returns a client with every permission that impersonates this user. If the bed has two API servers, it uses the second
    /// one.
    pub async fn admin_as(&self, user: &str) -> Client {
        let kubeconfig = self.second_kubeconfig.as_ref().unwrap_or(&self.kubeconfig);
        let mut config = config(kubeconfig).await;
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(vec!["system:masters".to_owned()]);
        Client::try_from(config).expect("a client")
    }

    /// Returns a client that impersonates this user, who has only the permissions that a test grants.
    pub async fn user(&self, user: &str) -> Client {
        let mut config = config(&self.kubeconfig).await;
        config.auth_info.impersonate = Some(user.to_owned());
        Client::try_from(config).expect("a client")
    }

    /// Returns a client with the permissions of Bindery.
    pub async fn bindery(&self) -> Client {
        Client::try_from(config(&self.bindery_kubeconfig).await).expect("a client")
    }

    /// Returns the URL for reviews, with the secret path.
    pub async fn review_url(&self) -> String {
        format!("{}/{}", self.webhook, token("bindery-tls").await)
    }

    /// Returns a client with every permission.
    pub async fn admin(&self) -> Client {
        Client::try_from(config(&self.kubeconfig).await).expect("a client")
    }
}

async fn config(kubeconfig: &Path) -> Config {
    // All callers install the same provider; the first one succeeds.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = Kubeconfig::read_from(kubeconfig).expect("the bed's kubeconfig");
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    config.expect("the bed's kubeconfig")
}

/// Returns whether the control plane of this run has this version of Kubernetes, or a later one. See `tests/bed/kubernetes`.
pub fn kubernetes_at_least(major: u32, minor: u32) -> bool {
    let version = std::env::var("KUBERNETES_VERSION").expect("run `make test`");
    let mut parts = version.split('.').map(|part| part.parse().expect("a number"));
    (parts.next(), parts.next()) >= (Some(major), Some(minor))
}

/// Returns whether the API server sends claims of this class to a Bindery. This begins a moment after the class was created;
/// claims before that are provisioned later.
pub async fn is_class_reviewed(client: &Client, class: &str) -> bool {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "default");
    let refused = json!({
        "metadata": {"name": "probe"},
        "spec": {
            "storageClassName": class,
            "volumeMode": "Block",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    });
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let refused = serde_json::from_value(refused).expect("a claim");
    let error = claims.create(&dry, &refused).await.err();
    error.is_some_and(|error| error.to_string().contains("denied the request"))
}

/// Returns whether the webhook configuration of a Bindery contains this provisioner.
pub async fn is_provisioner_registered(client: &Client, provisioner: &str) -> bool {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let all = configurations.list(&ListParams::default()).await.expect("webhooks");
    let webhooks = all
        .into_iter()
        .flat_map(|configuration| configuration.webhooks.unwrap_or_default());
    let mut conditions = webhooks.flat_map(|webhook| webhook.match_conditions.unwrap_or_default());
    conditions.any(|condition| condition.expression.contains(&json!(provisioner).to_string()))
}

/// Returns the last segment of the webhook's secret path.
pub async fn token(secret: &str) -> String {
    let secrets: Api<Secret> = Api::namespaced(Bed::get().admin().await, "bindery");
    let secret = secrets.get(secret).await.expect("the webhook's Secret");
    let token = secret.data.expect("data")["token"].0.clone();
    String::from_utf8(token).expect("letters")
}

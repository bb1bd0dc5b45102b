//! The bed that `make test` has started: control plane, NFS server and one Bindery that serves the ordinary scenarios.

use std::path::PathBuf;
use std::sync::LazyLock;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// What the bed's `env` file says.
pub struct Bed {
    /// The API server, for the cluster's administrator.
    pub kubeconfig: PathBuf,
    /// The NFS server.
    pub server: String,
    /// Its export.
    pub share: String,
    /// The exported directory on this machine.
    pub export: PathBuf,
    /// The class's provisioner name.
    pub provisioner: String,
    /// The API server, for Bindery's ServiceAccount.
    pub bindery_kubeconfig: PathBuf,
    /// Where Bindery's webhook listens.
    pub webhook: String,
    /// Bindery's metrics.
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
        bindery_kubeconfig: get("BINDERY_KUBECONFIG").into(),
        webhook: get("BINDERY_WEBHOOK_URL"),
        metrics: get("BINDERY_METRICS_URL"),
    }
});

impl Bed {
    /// The bed of this run.
    pub fn get() -> &'static Self {
        &BED
    }

    /// A client with every right, as another user.
    pub async fn admin_called(&self, user: &str) -> Client {
        let read = Kubeconfig::read_from(&self.kubeconfig).expect("the bed's kubeconfig");
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
        let mut config = config.expect("the bed's kubeconfig");
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(vec!["system:masters".to_owned()]);
        Client::try_from(config).expect("a client")
    }

    /// A client with every right.
    pub async fn admin(&self) -> Client {
        // The first one wins; which does not matter, it is always the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let read = Kubeconfig::read_from(&self.kubeconfig).expect("the bed's kubeconfig");
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
        Client::try_from(config.expect("the bed's kubeconfig")).expect("a client")
    }
}

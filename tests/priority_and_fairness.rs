//! Many requests to an API server with few seats (API Priority and Fairness). Each request holds a seat while it waits for
//! Bindery, whose own requests also need seats.
//!
//! This is a separate binary with its own test bed, whose API server works on few requests at a time.

use futures::future::join_all;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding};
use kube::api::PostParams;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[path = "support/bed.rs"]
#[allow(dead_code)]
mod bed;

use crate::bed::Bed;

const NAME: &str = "crowd";
const CLAIMS: usize = 100;

fn from<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).expect("an object")
}

/// Returns a client with the permissions and the priority level of an ordinary ServiceAccount.
async fn tenant(admin: &Client) -> Client {
    let create = PostParams::default();
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    namespaces
        .create(&create, &from(json!({"metadata": {"name": NAME}})))
        .await
        .unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), NAME);
    accounts
        .create(&create, &from(json!({"metadata": {"name": NAME}})))
        .await
        .unwrap();
    let rules = json!([{"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["create"]}]);
    let roles: Api<ClusterRole> = Api::all(admin.clone());
    roles
        .create(&create, &from(json!({"metadata": {"name": NAME}, "rules": rules})))
        .await
        .unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(admin.clone(), NAME);
    let binding = json!({
        "metadata": {"name": NAME},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAME}],
    });
    bindings.create(&create, &from(binding)).await.unwrap();
    let asked = TokenRequest {
        spec: Some(TokenRequestSpec::default()),
        ..TokenRequest::default()
    };
    let token = accounts.create_token_request(NAME, &create, &asked).await.unwrap();
    let read = Kubeconfig::read_from(&Bed::get().kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.auth_info = AuthInfo::default();
    config.auth_info.token = Some(token.status.unwrap().token.unwrap().into());
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn a_hundred_parallel_claims_of_a_service_account_all_get_volumes_in_the_request() {
    let tenant = tenant(&Bed::get().admin().await).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(tenant, NAME);
    let created = join_all((0..CLAIMS).map(async |number| {
        let claim = json!({
            "metadata": {"name": format!("claim-{number}")},
            "spec": {
                "storageClassName": "bindery",
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        });
        let created = claims.create(&PostParams::default(), &from(claim)).await.unwrap();
        created.spec.unwrap().volume_name.is_some()
    }))
    .await;
    assert_eq!(created.iter().filter(|served| **served).count(), CLAIMS);
}

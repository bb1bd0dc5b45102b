//! The namespace of a scene: its annotations and labels, its pods, and what restricts its claims.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::{Namespace, Pod, ResourceQuota, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::scene::{Scene, from};
use super::wait::eventually;

/// The name of the quota of a scene.
const QUOTA: &str = "limit";

impl Scene {
    /// Creates a ResourceQuota in this scene's namespace, and waits until it is in force.
    pub async fn set_quota(&self, resource: &str, limit: &str) {
        let quota = json!({"metadata": {"name": QUOTA}, "spec": {"hard": {resource: limit}}});
        let created = self.quotas().create(&PostParams::default(), &from(quota)).await;
        created.expect("quota");
        eventually("the quota is in force", async || {
            let quota = self.quotas().get(QUOTA).await.expect("quota");
            quota.status?.hard?.get(resource).map(drop)
        })
        .await;
    }

    /// Deletes the quota of [`Scene::set_quota`], and creates a claim as soon as that is no longer in force.
    pub async fn create_without_quota(&self, claim: Value) {
        let deleted = self.quotas().delete(QUOTA, &DeleteParams::default()).await;
        deleted.expect("quota deleted");
        eventually("the quota is no longer in force", async || {
            self.create(claim.clone()).await.ok()
        })
        .await;
    }

    /// Deletes the quota of [`Scene::set_quota`], and waits until it is no longer in force.
    #[cfg(feature = "failpoints")]
    pub async fn remove_quota(&self) {
        let deleted = self.quotas().delete(QUOTA, &DeleteParams::default()).await;
        deleted.expect("quota deleted");
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let claim = from(self.claim("probe"));
        eventually("the quota is no longer in force", async || {
            self.claims().create(&dry, &claim).await.ok().map(drop)
        })
        .await;
    }

    fn quotas(&self) -> Api<ResourceQuota> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Creates a `ValidatingAdmissionPolicy` with the name of the scene, and binds it with the action Deny.
    pub async fn deny_by(&self, policy: Value) {
        let binding = json!({
            "metadata": {"name": self.name},
            "spec": {"policyName": self.name, "validationActions": ["Deny"]},
        });
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(self.client.clone());
        policies
            .create(&PostParams::default(), &from(policy))
            .await
            .expect("a policy");
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(self.client.clone());
        bindings
            .create(&PostParams::default(), &from(binding))
            .await
            .expect("a policy");
    }

    /// Returns the uid of the namespace of the scene.
    pub async fn namespace_uid(&self) -> String {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespace = api.get(&self.name).await.expect("the namespace");
        namespace.metadata.uid.expect("a uid")
    }

    /// Creates a pod that uses a claim.
    pub async fn create_pod(&self, claim: &str) {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.name);
        eventually("the namespace has its default ServiceAccount", async || {
            accounts.get_opt("default").await.expect("ServiceAccounts").map(drop)
        })
        .await;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.name);
        let pod = json!({
            "metadata": {"name": "user"},
            "spec": {
                "containers": [{"name": "user", "image": "none"}],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
            },
        });
        let created = pods.create(&PostParams::default(), &from(pod)).await;
        created.expect("pod");
    }

    /// Changes the annotations of this scene's namespace.
    pub async fn annotate_namespace(&self, annotations: Value) {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        let patched = api.patch(&self.name, &PatchParams::default(), &patch).await;
        patched.expect("namespace annotated");
    }

    /// Changes the labels of this scene's namespace.
    pub async fn label_namespace(&self, labels: Value) {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        let patched = api.patch(&self.name, &PatchParams::default(), &patch).await;
        patched.expect("namespace labelled");
    }
}

//! The objects of archives, and the users who may and may not touch them.

use bindery::model::archive::{Archive, ArchivePhase};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::bed::Bed;
use super::scene::{Scene, from};
use super::wait::eventually;

impl Scene {
    /// Returns the API for the objects of archives in a namespace.
    pub fn archives(&self, namespace: &str) -> Api<Archive> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Returns the objects of the archives of this scene, in all namespaces. Their directories contain the scene's name.
    pub async fn own_archives(&self) -> Vec<Archive> {
        let all: Api<Archive> = Api::all(self.client.clone());
        let found = all.list(&ListParams::default()).await.expect("Archives").items;
        let ours = |archive: &Archive| archive.spec.directory.contains(&self.name);
        found.into_iter().filter(ours).collect()
    }

    /// Waits until the archive of a claim has exactly one object, which is up to date, and returns it.
    pub async fn until_archived(&self, claim: &str) -> Archive {
        self.until_archive(&format!("claim {claim} has an Archive"), |archive| {
            archive.spec.claim_name == claim && archive.status.is_some()
        })
        .await
    }

    /// Waits until this is true for exactly one object of this scene, and returns it.
    pub async fn until_archive(&self, what: &str, is_it: impl Fn(&Archive) -> bool) -> Archive {
        eventually(what, async || {
            let mut found = self.own_archives().await;
            found.retain(|archive| is_it(archive));
            (found.len() == 1).then(|| found.remove(0))
        })
        .await
    }

    /// Waits until the directory of an archive is missing, and writes into its object that this is so for a day.
    pub async fn until_missing_for_a_day(&self, archive: &Archive) {
        let is_missing = |one: &Archive| one.uid() == archive.uid() && phase(one) == Some(ArchivePhase::Missing);
        let missing = self.until_archive("its directory is missing", is_missing).await;
        let mut conditions = json!(missing.status.expect("a status").conditions);
        let yesterday = Timestamp::from_second(Timestamp::now().as_second() - 86_400).expect("a time");
        conditions[0]["lastTransitionTime"] = json!(yesterday.to_string());
        let status = Patch::Merge(json!({"status": {"conditions": conditions}}));
        let as_bindery = archives_of(&Bed::get().bindery().await, &archive.namespace().expect("a namespace"));
        let patched = as_bindery
            .patch_status(&archive.name_any(), &PatchParams::default(), &status)
            .await;
        patched.expect("status of an Archive");
    }

    /// Waits until the object of an archive is gone, in every namespace.
    pub async fn until_archive_gone(&self, archive: &Archive) {
        let key = archive.spec.key().expect("a key").to_owned();
        eventually(&format!("Archive {} is gone", archive.name_any()), async || {
            let left = self.own_archives().await;
            (!left.iter().any(|other| other.spec.key() == Some(&key))).then_some(())
        })
        .await;
    }

    /// Deletes the object of an archive.
    pub async fn delete_archive(&self, archive: &Archive) {
        let namespace = archive.namespace().expect("a namespace");
        let deleted = self
            .archives(&namespace)
            .delete(&archive.name_any(), &DeleteParams::default())
            .await;
        deleted.expect("Archive deleted");
    }

    /// Deletes the object of an archive while Bindery does not run. The directory stays.
    pub async fn delete_archive_object(&self, archive: &Archive) {
        self.delete_archive(archive).await;
        let released = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        let archives = self.archives(&archive.namespace().expect("a namespace"));
        let patched = archives
            .patch(&archive.name_any(), &PatchParams::default(), &released)
            .await;
        patched.expect("Archive released");
    }

    /// Sets the annotation that says how long an archive is kept.
    pub async fn keep_until(&self, archive: &Archive, until: &str) {
        let patch = json!({"metadata": {"annotations": {"bindery.dev/keep-until": until}}});
        let archives = self.archives(&archive.namespace().expect("a namespace"));
        let patched = archives
            .patch(&archive.name_any(), &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched.expect("Archive annotated");
    }

    /// Creates the object of an archive as it is, as a person with every right can if no policy forbids it.
    pub async fn forge(&self, namespace: &str, archive: &Archive, changes: Value) -> kube::Result<Archive> {
        let mut forged = json!({
            "metadata": {
                "name": format!("forged-{}", archive.name_any()),
                "finalizers": ["bindery.dev/archive"],
                "labels": archive.labels(),
            },
            "spec": archive.spec,
        });
        json_patch::merge(&mut forged, &changes);
        self.archives(namespace)
            .create(&PostParams::default(), &from(forged))
            .await
    }

    /// Gives a user a role of Kubernetes in this scene's namespace.
    pub async fn grant(&self, user: &str, role: &str) {
        let binding: RoleBinding = from(json!({
            "metadata": {"name": user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
        }));
        let bindings: Api<RoleBinding> = Api::namespaced(self.client.clone(), &self.name);
        bindings
            .create(&PostParams::default(), &binding)
            .await
            .expect("a role binding");
    }

    /// Deletes a namespace, and waits until it is gone.
    pub async fn delete_namespace(&self, name: &str) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .delete(name, &DeleteParams::default())
            .await
            .expect("namespace deleted");
        eventually(&format!("namespace {name} is gone"), async || {
            namespaces
                .get_opt(name)
                .await
                .expect("namespaces")
                .is_none()
                .then_some(())
        })
        .await;
    }
}

/// Returns the message with which the API server refused a request of this kind.
pub fn refusal<T: std::fmt::Debug>(answer: kube::Result<T>) -> String {
    match answer {
        Err(kube::Error::Api(status)) => status.message.clone(),
        other => panic!("not refused: {other:?}"),
    }
}

/// Returns the API for the objects of archives, as another client sees it.
pub fn archives_of(client: &Client, namespace: &str) -> Api<Archive> {
    Api::namespaced(client.clone(), namespace)
}

/// Returns the phase of an archive.
pub fn phase(archive: &Archive) -> Option<ArchivePhase> {
    archive.status.as_ref().map(|status| status.phase)
}

/// Returns the path of an archive below its share, as its status says.
pub fn place(archive: &Archive) -> String {
    archive.status.as_ref().expect("a status").directory.clone()
}

//! The scene of a test: its own namespace and class, and short functions that use them.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Event, Namespace, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use uuid::Uuid;

use super::bed::{Bed, is_class_reviewed, is_provisioner_registered};
use super::wait::eventually;

/// A namespace and a class that only one test uses.
pub struct Scene {
    /// A client with every permission.
    pub client: Client,
    /// Name of the namespace and of the class.
    pub name: String,
    /// Provisioner name of the class.
    pub provisioner: String,
}

impl Scene {
    /// Creates a scene with a class without parameters, for the bed's Bindery.
    pub async fn new() -> Self {
        Self::with_class(json!({})).await
    }

    /// Creates a scene whose class has these additional fields.
    pub async fn with_class(fields: Value) -> Self {
        Self::build(fields, json!({}), &Bed::get().provisioner).await
    }

    /// Creates a scene whose namespace has these annotations.
    pub async fn with_namespace(annotations: Value) -> Self {
        Self::build(json!({}), annotations, &Bed::get().provisioner).await
    }

    /// Creates a scene for another provisioner.
    pub async fn of(provisioner: &str) -> Self {
        Self::of_with(provisioner, json!({})).await
    }

    /// Creates a scene for another provisioner whose class has these additional fields.
    pub async fn of_with(provisioner: &str, class: Value) -> Self {
        Self::build(class, json!({}), provisioner).await
    }

    async fn build(class: Value, annotations: Value, provisioner: &str) -> Self {
        let scene = Self {
            client: Bed::get().admin().await,
            name: format!("t-{}", &Uuid::new_v4().simple().to_string()[..10]),
            provisioner: provisioner.to_owned(),
        };
        scene.namespace(&scene.name, annotations).await;
        scene.class(&scene.name, class).await;
        scene
    }

    /// Creates a namespace.
    pub async fn namespace(&self, name: &str, annotations: Value) {
        let namespace = json!({"metadata": {"name": name, "annotations": annotations}});
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.create(&PostParams::default(), &from(namespace))
            .await
            .expect("namespace");
    }

    /// Creates a class of this scene's provisioner. If a Bindery serves the provisioner, waits until the API server sends it
    /// claims of the new class.
    pub async fn class(&self, name: &str, fields: Value) {
        self.class_at_once(name, fields).await;
        if is_provisioner_registered(&self.client, &self.provisioner).await {
            eventually("the API server calls the webhook for the class", async || {
                is_class_reviewed(&self.client, name).await.then_some(())
            })
            .await;
        }
    }

    /// Creates a class of this scene's provisioner without waiting.
    pub async fn class_at_once(&self, name: &str, fields: Value) {
        let mut class = json!({"metadata": {"name": name}, "provisioner": self.provisioner});
        merge(&mut class, fields);
        let api: Api<StorageClass> = Api::all(self.client.clone());
        api.create(&PostParams::default(), &from(class)).await.expect("class");
    }

    /// Returns a claim of this scene's class.
    pub fn claim(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": self.name},
            "spec": {
                "storageClassName": self.name,
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        })
    }

    /// Returns a claim with these additional fields.
    pub fn claim_with(&self, name: &str, fields: Value) -> Value {
        let mut claim = self.claim(name);
        merge(&mut claim, fields);
        claim
    }

    /// Returns an admission review for a claim of this scene.
    pub fn review(&self, name: &str) -> Value {
        let recorded = include_bytes!("../../webhook/reviews/create.json");
        let mut review: Value = serde_json::from_slice(recorded).expect("a review");
        let request = &mut review["request"];
        request["namespace"] = json!(self.name);
        merge(&mut request["object"], self.claim(name));
        review
    }

    /// Returns the API for claims of this namespace.
    pub fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Returns the API for volumes.
    pub fn volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.client.clone())
    }

    /// Creates a claim.
    pub async fn create(&self, claim: Value) -> kube::Result<PersistentVolumeClaim> {
        self.claims().create(&PostParams::default(), &from(claim)).await
    }

    /// Creates a claim, and returns the warnings for its user.
    pub async fn create_with_warnings(&self, claim: Value) -> Vec<String> {
        let path = format!("/api/v1/namespaces/{}/persistentvolumeclaims", self.name);
        let request = http::Request::post(path).header("content-type", "application/json");
        let request = request.body(claim.to_string().into_bytes().into()).expect("a request");
        let answer = self.client.send(request).await.expect("an answer");
        assert_eq!(answer.status(), 201);
        let warnings = answer.headers().get_all("warning").into_iter();
        // RFC 7234, 5.5: code, agent and text in quotes.
        let text = |value: &http::HeaderValue| {
            let value = value.to_str().expect("text").to_owned();
            value
                .split_once('"')
                .map(|(_, text)| text.trim_end_matches('"').to_owned())
                .expect("a quoted text")
        };
        warnings.map(text).collect()
    }

    /// Creates a claim that must be refused, and returns the message.
    pub async fn refused(&self, claim: Value) -> String {
        match self.create(claim).await {
            Err(kube::Error::Api(status)) => status.message.clone(),
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Waits until the API server refuses a dry run of this claim with these words.
    pub async fn until_refused(&self, claim: Value, words: &str) {
        let claim = from(claim);
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        eventually(&format!("the API server refuses a claim: {words}"), async || {
            let refused = self.claims().create(&dry_run, &claim).await.err()?;
            refused.to_string().contains(words).then_some(())
        })
        .await;
    }

    /// Creates a claim and waits until it is bound.
    pub async fn bound(&self, claim: Value) -> (PersistentVolumeClaim, PersistentVolume) {
        let created = self.create(claim).await.expect("claim");
        self.until_bound(created.metadata.name.as_deref().expect("a name"))
            .await
    }

    /// Waits until a claim is bound and its volume ready.
    pub async fn until_bound(&self, name: &str) -> (PersistentVolumeClaim, PersistentVolume) {
        eventually(&format!("claim {name} is bound and its volume ready"), async || {
            let claim = self.claims().get(name).await.ok()?;
            let volume = self
                .volumes()
                .get(claim.spec.as_ref()?.volume_name.as_ref()?)
                .await
                .ok()?;
            let bound = claim.status.as_ref()?.phase.as_deref() == Some("Bound");
            (bound && annotation(&volume, "ready") == Some("true")).then_some((claim, volume))
        })
        .await
    }

    /// Deletes a claim.
    pub async fn delete(&self, name: &str) {
        self.claims()
            .delete(name, &DeleteParams::default())
            .await
            .expect("claim deleted");
    }

    /// Waits until kube-controller-manager has set a volume to Released.
    pub async fn until_released(&self, volume: &PersistentVolume) {
        let name = volume_name(volume);
        eventually(&format!("volume {name} is Released"), async || {
            (self.volumes().get(name).await.ok()?.status?.phase? == "Released").then_some(())
        })
        .await;
    }

    /// Waits until a volume is gone.
    pub async fn until_gone(&self, volume: &PersistentVolume) {
        let name = volume_name(volume);
        eventually(&format!("volume {name} is gone"), async || {
            self.volumes()
                .get_opt(name)
                .await
                .expect("volumes")
                .is_none()
                .then_some(())
        })
        .await;
    }

    /// Returns all volumes of this scene's class.
    pub async fn own_volumes(&self) -> Vec<PersistentVolume> {
        let all = self
            .volumes()
            .list(&ListParams::default())
            .await
            .expect("volumes")
            .items;
        let ours = |volume: &PersistentVolume| {
            volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref()) == Some(&self.name)
        };
        all.into_iter().filter(ours).collect()
    }

    /// Returns the names of all directories and archives of this scene in the export.
    pub fn own_directories(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&Bed::get().export).expect("the export");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name.contains(&self.name)).collect();
        names.sort();
        names
    }

    /// Returns the only archive of this scene, on this machine. Asserts that nothing else is left in the export.
    pub fn only_archive(&self) -> PathBuf {
        let left = self.own_directories();
        assert!(
            matches!(&left[..], [archive] if archive.starts_with("archived-")),
            "{left:?}"
        );
        Bed::get().export.join(&left[0])
    }

    /// Deletes a volume, without waiting for its end.
    pub async fn delete_volume(&self, volume: &PersistentVolume) {
        let volumes = self.volumes();
        let deleted = volumes.delete(volume_name(volume), &DeleteParams::default()).await;
        deleted.expect("the volume");
    }

    /// Asserts that a request has left neither volume nor directory.
    pub async fn assert_nothing_made(&self) {
        assert_eq!(self.own_volumes().await, vec![], "volumes");
        assert_eq!(self.own_directories(), Vec::<String>::new(), "directories");
    }

    /// Waits for an Event with this reason on an object, and returns its message.
    pub async fn event(&self, object: &str, reason: &str) -> String {
        let events: Api<Event> = Api::all(self.client.clone());
        let about = ListParams::default().fields(&format!("involvedObject.name={object},reason={reason}"));
        eventually(&format!("Event {reason} on {object}"), async || {
            let mut found = events.list(&about).await.expect("Events").items.into_iter();
            let here = |event: &Event| {
                let namespace = event.involved_object.namespace.as_ref();
                namespace.is_none_or(|namespace| *namespace == self.name)
            };
            found.rfind(here)?.message
        })
        .await
    }

    /// Waits until an Event with this reason on an object has been repeated.
    pub async fn event_again(&self, object: &str, reason: &str) {
        let events: Api<Event> = Api::all(self.client.clone());
        let about = ListParams::default().fields(&format!("involvedObject.name={object},reason={reason}"));
        eventually(&format!("Event {reason} on {object} once more"), async || {
            let found = events.list(&about).await.expect("Events").items;
            let counted = |event: &Event| event.series.as_ref().and_then(|series| series.count);
            found.iter().filter_map(counted).find(|count| *count > 1)
        })
        .await;
    }

    /// Sets the reclaim policy of a volume to Delete.
    pub async fn set_reclaim_delete(&self, volume: &PersistentVolume) {
        let patch = json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}});
        self.patch_volume(volume_name(volume), patch).await;
    }

    /// Returns whether a volume is being deleted. It must exist.
    pub async fn is_being_deleted(&self, volume: &PersistentVolume) -> bool {
        let volume = self.volumes().get(volume_name(volume)).await.expect("volume");
        volume.metadata.deletion_timestamp.is_some()
    }

    /// Creates a volume.
    pub async fn volumes_create(&self, volume: Value) {
        let created = self.volumes().create(&PostParams::default(), &from(volume)).await;
        created.expect("volume");
    }

    /// Patches a volume.
    pub async fn patch_volume(&self, name: &str, patch: Value) {
        let patched = self
            .volumes()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched.expect("volume patched");
    }
}

/// Returns a volume's annotation `bindery.dev/<key>`.
pub fn annotation<'a>(volume: &'a PersistentVolume, key: &str) -> Option<&'a str> {
    let annotations = volume.metadata.annotations.as_ref()?;
    annotations.get(&format!("bindery.dev/{key}")).map(String::as_str)
}

/// Returns a volume's name.
pub fn volume_name(volume: &PersistentVolume) -> &str {
    volume.metadata.name.as_deref().expect("a name")
}

/// Returns the path of a volume's directory in the bed's export, on this machine.
pub fn directory(volume: &PersistentVolume) -> PathBuf {
    Bed::get()
        .export
        .join(annotation(volume, "sub-dir").expect("a sub-dir"))
}

/// Converts JSON to an API object.
pub fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of the API")
}

/// Merges fields into an object, deeply (RFC 7396).
fn merge(object: &mut Value, fields: Value) {
    json_patch::merge(object, &fields);
}

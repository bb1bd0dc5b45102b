//! Claims that a volume populator fills: the populator provides a volume of Bindery, filled.
//!
//! The populator of these tests makes the writes of the library kubernetes-csi/lib-volume-populator, in the same order and
//! under the same conditions. They were read in its source; the library itself does not run here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, from, volume_name};
use crate::support::wait::eventually;

/// The populator's finalizer on the claim of the user.
const FINALIZER: &str = "hello.example.com/populate-target-protection";

/// The object that a claim names as its source.
fn source() -> Value {
    json!({"apiGroup": "hello.example.com", "kind": "Hello", "name": "world"})
}

/// Returns a claim with that source.
fn claim_to_fill(scene: &Scene, name: &str) -> Value {
    scene.claim_with(name, json!({"spec": {"dataSourceRef": source()}}))
}

/// A populator. It works in a namespace of its own.
struct Populator<'a> {
    scene: &'a Scene,
    namespace: String,
    claims: Api<PersistentVolumeClaim>,
    pods: Api<Pod>,
}

impl<'a> Populator<'a> {
    /// Creates its namespace.
    async fn new(scene: &'a Scene) -> Self {
        let namespace = format!("{}-hello", scene.name);
        scene.namespace(&namespace, json!({})).await;
        Self {
            scene,
            claims: Api::namespaced(scene.client.clone(), &namespace),
            pods: Api::namespaced(scene.client.clone(), &namespace),
            namespace,
        }
    }

    /// Provides the volume of a claim: fills a volume of a claim of its own, and moves that volume to the user's claim.
    /// Returns the volume as it was before the move.
    async fn populate(&self, name: &str) -> PersistentVolume {
        let claim = self.until_it_is_its_turn(name).await;
        let uid = claim.metadata.uid.as_deref().expect("a uid");
        let (prime, pod) = (format!("prime-{uid}"), format!("populate-{uid}"));

        self.create_claim(&prime, &claim).await;
        self.add_finalizer(name).await;
        self.create_pod(&pod, &prime, &claim).await;
        let filled = self.run_pod(&pod, &prime).await;
        self.move_volume(&filled, name).await;
        // kube-controller-manager gives up the populator's claim when it sees the move.
        eventually("the populator's claim is Lost", async || {
            let claim = self.claims.get(&prime).await.expect("the populator's claim");
            (claim.status?.phase? == "Lost").then_some(())
        })
        .await;
        let at_once = DeleteParams::default().grace_period(0);
        self.pods.delete(&pod, &at_once).await.expect("pod deleted");
        let deleted = self.claims.delete(&prime, &DeleteParams::default()).await;
        deleted.expect("claim deleted");
        self.remove_finalizer(name).await;
        eventually("the populator's claim is gone", async || {
            let claim = self.claims.get_opt(&prime).await.expect("claims");
            claim.is_none().then_some(())
        })
        .await;
        filled
    }

    /// Waits for the node of a claim that waits for its first pod. Returns the claim.
    async fn until_it_is_its_turn(&self, name: &str) -> PersistentVolumeClaim {
        let classes: Api<k8s_openapi::api::storage::v1::StorageClass> = Api::all(self.scene.client.clone());
        let class = classes.get(&self.scene.name).await.expect("class");
        let waits = class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
        eventually("the scheduler has chosen a node", async || {
            let claim = self.scene.claims().get(name).await.expect("the user's claim");
            (!waits || selected_node(&claim).is_some()).then_some(claim)
        })
        .await
    }

    /// Creates the claim of its own, with what the user asked for and without a source.
    async fn create_claim(&self, prime: &str, claim: &PersistentVolumeClaim) {
        let spec = claim.spec.as_ref().expect("a spec");
        let annotations = selected_node(claim).map(|node| json!({"volume.kubernetes.io/selected-node": node}));
        let prime = json!({
            "metadata": {"name": prime, "annotations": annotations},
            "spec": {
                "accessModes": spec.access_modes,
                "resources": spec.resources,
                "storageClassName": spec.storage_class_name,
                "volumeMode": spec.volume_mode,
            },
        });
        let created = self.claims.create(&PostParams::default(), &from(prime)).await;
        let volume = created
            .expect("the populator's claim")
            .spec
            .and_then(|spec| spec.volume_name);
        assert!(volume.is_some(), "Bindery has provisioned the populator's claim");
    }

    async fn create_pod(&self, pod: &str, prime: &str, claim: &PersistentVolumeClaim) {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.scene.client.clone(), &self.namespace);
        eventually("the namespace has its default ServiceAccount", async || {
            accounts.get_opt("default").await.expect("ServiceAccounts").map(drop)
        })
        .await;
        let pod = json!({
            "metadata": {"name": pod},
            "spec": {
                "containers": [{
                    "name": "populate",
                    "image": "none",
                    "volumeMounts": [{"name": "target", "mountPath": "/mnt"}],
                }],
                "nodeName": selected_node(claim),
                "restartPolicy": "Never",
                "volumes": [{"name": "target", "persistentVolumeClaim": {"claimName": prime}}],
            },
        });
        let created = self.pods.create(&PostParams::default(), &from(pod)).await;
        created.expect("the populator's pod");
    }

    /// Plays the pod: a kubelet runs it when its claim is bound, it writes a file, and it succeeds. Returns the volume.
    async fn run_pod(&self, pod: &str, prime: &str) -> PersistentVolume {
        let volume = eventually(
            "the populator's claim is bound, its volume ready, and its pod runs",
            async || {
                let claim = self.claims.get(prime).await.expect("the populator's claim");
                let pod = self.pods.get(pod).await.expect("the populator's pod");
                let volume = self.scene.volumes().get(&claim.spec?.volume_name?).await.ok()?;
                let is_ready = claim.status?.phase? == "Bound" && annotation(&volume, "ready") == Some("true");
                (is_ready && pod.status?.phase? == "Running").then_some(volume)
            },
        )
        .await;
        std::fs::write(directory(&volume).join("content"), "hello world").expect("a file");
        let succeeded = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
        let patched = self.pods.patch_status(pod, &PatchParams::default(), &succeeded).await;
        patched.expect("the pod's status");
        volume
    }

    /// Writes the user's claim on the volume.
    async fn move_volume(&self, volume: &PersistentVolume, name: &str) {
        let claim = self.scene.claims().get(name).await.expect("the user's claim").metadata;
        let patch = Patch::Strategic(json!({
            "metadata": {"annotations": {
                "hello.example.com/populated-from": format!("{}/world", self.scene.name),
            }},
            "spec": {"claimRef": {
                "namespace": claim.namespace,
                "name": claim.name,
                "uid": claim.uid,
                "resourceVersion": claim.resource_version,
            }},
        }));
        let volumes = self.scene.volumes();
        let moved = volumes
            .patch(volume_name(volume), &PatchParams::default(), &patch)
            .await;
        moved.expect("volume moved");
    }

    async fn add_finalizer(&self, name: &str) {
        let claim = self.scene.claims().get(name).await.expect("the user's claim");
        self.patch_claim(
            name,
            json!([
                {"op": "test", "path": "/metadata/finalizers", "value": claim.metadata.finalizers},
                {"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER},
            ]),
        )
        .await;
    }

    async fn remove_finalizer(&self, name: &str) {
        let claim = self.scene.claims().get(name).await.expect("the user's claim");
        let finalizers = claim.metadata.finalizers.expect("finalizers");
        let place = finalizers.iter().position(|finalizer| finalizer == FINALIZER);
        let path = format!("/metadata/finalizers/{}", place.expect("its finalizer"));
        self.patch_claim(
            name,
            json!([
                {"op": "test", "path": path, "value": FINALIZER},
                {"op": "remove", "path": path},
            ]),
        )
        .await;
    }

    async fn patch_claim(&self, name: &str, operations: Value) {
        let patch: json_patch::Patch = from(operations);
        let claims = self.scene.claims();
        let patched = claims
            .patch(name, &PatchParams::default(), &Patch::Json::<()>(patch))
            .await;
        patched.expect("the user's claim");
    }
}

fn selected_node(claim: &PersistentVolumeClaim) -> Option<&str> {
    let annotations = claim.metadata.annotations.as_ref()?;
    annotations
        .get("volume.kubernetes.io/selected-node")
        .map(String::as_str)
}

/// Returns what Bindery has recorded on a volume.
fn record(volume: &PersistentVolume) -> BTreeMap<&String, &String> {
    let all = volume.metadata.annotations.iter().flatten();
    // Bindery touches a volume that kube-controller-manager has not bound yet.
    let is_record = |key: &String| key.starts_with("bindery.dev/") && key != "bindery.dev/touched";
    all.filter(|(key, _)| is_record(key)).collect()
}

/// Asserts that the user's claim has the volume that the populator filled, and that nothing else changed.
async fn assert_is_filled(scene: &Scene, name: &str, filled: &PersistentVolume) {
    let (claim, volume) = scene.until_bound(name).await;
    assert_eq!(volume_name(&volume), volume_name(filled));
    let claim_ref = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.claim_ref.clone())
        .expect("a claimRef");
    assert_eq!(
        (claim_ref.namespace, claim_ref.name, claim_ref.uid),
        (Some(scene.name.clone()), Some(name.to_owned()), claim.metadata.uid)
    );
    assert_eq!(record(&volume), record(filled), "the record of the volume");
    assert!(!scene.is_being_deleted(&volume).await);
    assert_eq!(scene.own_volumes().await.len(), 1);
    let content = std::fs::read_to_string(directory(&volume).join("content"));
    assert_eq!(content.expect("the content"), "hello world");
}

#[tokio::test]
async fn a_claim_is_left_to_its_populator() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of(&bindery.provisioner).await;
    let data = claim_to_fill(&scene, "data");
    assert_eq!(scene.create_with_warnings(data).await, Vec::<String>::new());
    bindery.kill();
    scene.create(claim_to_fill(&scene, "earlier")).await.unwrap();
    scene.create(scene.claim("later")).await.unwrap();
    bindery.run().await;
    scene.until_bound("later").await;
    for name in ["data", "earlier"] {
        let claim = scene.claims().get(name).await.unwrap();
        assert_eq!(claim.spec.unwrap().volume_name, None, "{name}");
    }
    assert_eq!(scene.own_volumes().await.len(), 1);
    bindery.unregister().await;
}

#[tokio::test]
async fn a_filled_volume_keeps_directory_and_policy_until_its_claim_is_deleted() {
    let scene = Scene::with_class(json!({"parameters": {"onDelete": "archive"}})).await;
    scene.create(claim_to_fill(&scene, "data")).await.unwrap();
    let filled = Populator::new(&scene).await.populate("data").await;
    assert_is_filled(&scene, "data", &filled).await;
    scene.delete("data").await;
    scene.until_gone(&filled).await;
    // The archive has the name of the directory, which was made for the populator's claim.
    let directories = scene.own_directories();
    let [archive] = directories.as_slice() else {
        panic!("{directories:?}")
    };
    let prime = filled.spec.unwrap().claim_ref.unwrap();
    let expected = format!("archived-{}-{}-", prime.namespace.unwrap(), prime.name.unwrap());
    assert!(archive.starts_with(&expected), "{archive}");
    let content = std::fs::read_to_string(Bed::get().export.join(archive).join("content"));
    assert_eq!(content.unwrap(), "hello world");
}

#[tokio::test]
async fn a_claim_that_waits_for_its_pod_is_filled_when_the_pod_has_a_node() {
    let scene = Scene::with_class(json!({
        "volumeBindingMode": "WaitForFirstConsumer",
        "parameters": {"onDelete": "delete"},
    }))
    .await;
    scene.create(claim_to_fill(&scene, "data")).await.unwrap();
    scene.create_pod("data").await;
    let filled = Populator::new(&scene).await.populate("data").await;
    assert_is_filled(&scene, "data", &filled).await;
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.name);
    eventually("the user's pod runs", async || {
        let pods = pods.list(&ListParams::default()).await.expect("pods").items;
        let phases: Vec<_> = pods.into_iter().filter_map(|pod| pod.status?.phase).collect();
        (phases == ["Running"]).then_some(())
    })
    .await;
    pods.delete("user", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    scene.delete("data").await;
    scene.until_gone(&filled).await;
    assert!(!directory(&filled).exists());
}

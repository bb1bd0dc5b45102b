//! Claims that a volume populator fills: the populator provides a volume of Bindery, filled.
//!
//! The populator is the library kubernetes-csi/lib-volume-populator (see `tests/bed/populator`). No container runs on the
//! Node of the bed, so the test does the work of the populator's pods.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, directory, from, volume_name};
use crate::support::wait::eventually;

/// Returns a claim whose source is the object `world` of the kind Hello, in an API group of the scene. This version of the
/// library asks for ReadWriteOnce, whatever the user's claim asks for.
fn claim_to_fill(scene: &Scene, name: &str) -> Value {
    let source = json!({"apiGroup": group(scene), "kind": "Hello", "name": "world"});
    scene.claim_with(
        name,
        json!({"spec": {"accessModes": ["ReadWriteOnce"], "dataSourceRef": source}}),
    )
}

fn group(scene: &Scene) -> String {
    format!("{}.example.com", scene.name)
}

/// A running populator for the kind Hello. It works in a namespace of its own.
struct Populator<'a> {
    scene: &'a Scene,
    namespace: String,
    process: Child,
}

impl<'a> Populator<'a> {
    /// Creates the kind, an object of it, and the namespace of the populator, and starts the populator.
    async fn start(scene: &'a Scene) -> Self {
        let (namespace, group) = (format!("{}-hello", scene.name), group(scene));
        scene.namespace(&namespace, json!({})).await;
        let definition = json!({
            "metadata": {"name": format!("hellos.{group}")},
            "spec": {
                "group": group,
                "names": {"kind": "Hello", "plural": "hellos"},
                "scope": "Namespaced",
                "versions": [{
                    "name": "v1",
                    "served": true,
                    "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }],
            },
        });
        let definitions: Api<CustomResourceDefinition> = Api::all(scene.client.clone());
        let created = definitions.create(&PostParams::default(), &from(definition)).await;
        created.expect("the kind Hello");
        let kind = ApiResource {
            api_version: format!("{group}/v1"),
            version: "v1".to_owned(),
            kind: "Hello".to_owned(),
            plural: "hellos".to_owned(),
            group: group.clone(),
        };
        let hellos: Api<DynamicObject> = Api::namespaced_with(scene.client.clone(), &scene.name, &kind);
        let world = DynamicObject::new("world", &kind);
        eventually("an object of the kind Hello exists", async || {
            hellos.create(&PostParams::default(), &world).await.ok().map(drop)
        })
        .await;
        // It is killed when the thread that started it ends, also after a failed test.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(std::env::var("POPULATOR").expect("run `make test`"))
            .arg(format!("--kubeconfig={}", Bed::get().kubeconfig.display()))
            .args([format!("--namespace={namespace}"), format!("--group={group}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self {
            scene,
            namespace,
            process: process.expect("the populator starts"),
        }
    }

    /// Does the work of the populator's pod as soon as its claim is bound: writes a file, and sets the phase Succeeded. Waits
    /// until the populator has finished its work for the user's claim. Returns the volume as it was before the move.
    async fn fill(&self, name: &str) -> PersistentVolume {
        let pods: Api<Pod> = Api::namespaced(self.scene.client.clone(), &self.namespace);
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.scene.client.clone(), &self.namespace);
        let uid = self
            .scene
            .claims()
            .get(name)
            .await
            .expect("the user's claim")
            .metadata
            .uid;
        let uid = uid.expect("a uid");
        let (pod, prime) = (format!("populate-{uid}"), format!("prime-{uid}"));
        let filled = eventually(
            "the populator's claim is bound, its volume ready, and its pod runs",
            async || {
                let claim = claims.get(&prime).await.ok()?;
                let volume = self.scene.volumes().get(&claim.spec?.volume_name?).await.ok()?;
                let pod = pods.get(&pod).await.ok()?;
                let is_ready = claim.status?.phase? == "Bound" && annotation(&volume, "ready") == Some("true");
                (is_ready && pod.status?.phase? == "Running").then_some(volume)
            },
        )
        .await;
        std::fs::write(directory(&filled).join("content"), "hello world").expect("a file");
        let succeeded = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
        let patched = pods.patch_status(&pod, &PatchParams::default(), &succeeded).await;
        patched.expect("the pod's status");
        eventually("the populator has removed its claim and its finalizer", async || {
            let prime = claims.get_opt(&prime).await.expect("claims");
            let user = self.scene.claims().get(name).await.expect("the user's claim");
            let held = user.metadata.finalizers.unwrap_or_default();
            (prime.is_none() && !held.iter().any(|held| held.contains("populate"))).then_some(())
        })
        .await;
        filled
    }

    /// Stops the populator and removes the kind.
    async fn stop(mut self) {
        self.process.kill().expect("the populator can be killed");
        self.process.wait().expect("the populator ends");
        let definitions: Api<CustomResourceDefinition> = Api::all(self.scene.client.clone());
        let name = format!("hellos.{}", group(self.scene));
        let deleted = definitions.delete(&name, &DeleteParams::default()).await;
        deleted.expect("the kind Hello");
    }
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
    let populator = Populator::start(&scene).await;
    let filled = populator.fill("data").await;
    assert_is_filled(&scene, "data", &filled).await;
    scene.delete("data").await;
    scene.until_gone(&filled).await;
    // Not before: it may have added its finalizer to the claim once more, and removes that only while it runs.
    populator.stop().await;
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
    let populator = Populator::start(&scene).await;
    let filled = populator.fill("data").await;
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
    populator.stop().await;
    assert!(!directory(&filled).exists());
}

//! Expansion: if the requested size of a claim is raised, volume and claim get the new size.

use std::time::Duration;

#[cfg(feature = "failpoints")]
use bindery::failpoints::Point;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimStatus};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::legacy::volume::{LegacyVolume, delete_class, legacy_scene, provisioner_name};
use crate::support::bed::{Bed, kubernetes_at_least};
use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, volume_name};
use crate::support::wait::{eventually, eventually_within};

/// Sizes of a volume, of its claim's status, and of the claim's request.
type Sizes = [String; 3];

fn expandable() -> Value {
    json!({"allowVolumeExpansion": true})
}

/// Returns whether a request that was not served yet can be lowered (KEP-1790, `RecoverVolumeExpansionFailure`: on by
/// default since Kubernetes 1.32).
fn can_be_lowered() -> bool {
    kubernetes_at_least(1, 32)
}

/// Changes the requested size of a claim.
pub async fn request_size(scene: &Scene, claim: &str, size: &str) -> kube::Result<PersistentVolumeClaim> {
    let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
    let patch = Patch::Merge(patch);
    scene.claims().patch(claim, &PatchParams::default(), &patch).await
}

/// Changes the requested size of a claim, which must be refused. Returns the message.
async fn refused(scene: &Scene, claim: &str, size: &str) -> String {
    match request_size(scene, claim, size).await {
        Err(kube::Error::Api(status)) => status.message.clone(),
        other => panic!("not refused: {other:?}"),
    }
}

/// Waits until a claim and its volume have this size.
pub async fn until_size(scene: &Scene, claim: &str, size: &str) {
    eventually(&format!("claim {claim} has {size}"), async || {
        let [volume, status, _] = sizes(scene, claim).await;
        (volume == size && status == size).then_some(())
    })
    .await;
}

async fn sizes(scene: &Scene, claim: &str) -> Sizes {
    let claim = scene.claims().get(claim).await.unwrap();
    let spec = claim.spec.unwrap();
    let volume = scene.volumes().get(&spec.volume_name.unwrap()).await.unwrap();
    let requests = spec.resources.unwrap().requests.unwrap();
    [
        volume.spec.unwrap().capacity.unwrap()["storage"].0.clone(),
        claim.status.unwrap().capacity.unwrap()["storage"].0.clone(),
        requests["storage"].0.clone(),
    ]
}

async fn status(scene: &Scene, claim: &str) -> PersistentVolumeClaimStatus {
    scene.claims().get(claim).await.unwrap().status.unwrap()
}

async fn change_class(scene: &Scene, fields: Value) {
    let classes: Api<StorageClass> = Api::all(scene.client.clone());
    let patched = classes
        .patch(&scene.name, &PatchParams::default(), &Patch::Merge(fields))
        .await;
    patched.unwrap();
}

#[tokio::test]
async fn a_raised_request_is_served_within_seconds_and_reported_by_an_event() {
    let scene = Scene::with_class(expandable()).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    request_size(&scene, "data", "5Gi").await.unwrap();
    // An expansion takes about 40 ms on an idle machine. The machine of the tests may be busy.
    eventually_within(Duration::from_secs(5), "the claim has the new size", async || {
        let [in_volume, in_status, _] = sizes(&scene, "data").await;
        (in_volume == "5Gi" && in_status == "5Gi").then_some(())
    })
    .await;
    let status = status(&scene, "data").await;
    assert_eq!(status.phase.as_deref(), Some("Bound"));
    assert_eq!(status.conditions.unwrap_or_default(), vec![]);
    assert_eq!(
        (status.allocated_resources, status.allocated_resource_statuses),
        (None, None)
    );
    let message = scene.event("data", "VolumeResizeSuccessful").await;
    assert_eq!(
        message,
        format!(
            "the size of this claim and of volume {} was raised from 1Gi to 5Gi. NFS does not enforce sizes",
            volume_name(&volume)
        )
    );
    scene.delete("data").await;
    scene.until_gone(&volume).await;
}

#[tokio::test]
async fn of_several_requests_in_a_row_the_last_one_counts() {
    let bindery = Bindery::start(&[]).await;
    let scene = Scene::of_with(&bindery.provisioner, expandable()).await;
    scene.bound(scene.claim("data")).await;
    for size in 2..=9 {
        request_size(&scene, "data", &format!("{size}Gi")).await.unwrap();
    }
    until_size(&scene, "data", "9Gi").await;
    // Each expansion has an Event with its own text.
    for size in ["10Gi", "11Gi"] {
        request_size(&scene, "data", size).await.unwrap();
        until_size(&scene, "data", size).await;
    }
    eventually("an Event about the last request", async || {
        let message = scene.event("data", "VolumeResizeSuccessful").await;
        message.contains("from 10Gi to 11Gi").then_some(())
    })
    .await;
    assert!(
        bindery
            .metrics()
            .await
            .contains(r#"bindery_volume_steps_total{outcome="expanded"}"#)
    );
    bindery.unregister().await;
}

#[tokio::test]
async fn kubernetes_refuses_what_the_class_or_a_quota_does_not_allow() {
    let scene = Scene::new().await;
    scene.bound(scene.claim("data")).await;
    let message = refused(&scene, "data", "5Gi").await;
    assert!(
        message.contains("the storageclass that provisions the pvc must support resize"),
        "{message}"
    );

    scene.set_quota("requests.storage", "3Gi").await;
    let large = json!({"spec": {"resources": {"requests": {"storage": "5Gi"}}}});
    scene
        .until_refused(scene.claim_with("large", large), "exceeded quota")
        .await;
    change_class(&scene, expandable()).await;
    let message = eventually("the API server knows the class", async || {
        let message = refused(&scene, "data", "5Gi").await;
        message.contains("exceeded quota").then_some(message)
    })
    .await;
    assert!(message.contains("limited: requests.storage=3Gi"), "{message}");
    assert_eq!(sizes(&scene, "data").await, ["1Gi", "1Gi", "1Gi"]);
    request_size(&scene, "data", "3Gi").await.unwrap();
    until_size(&scene, "data", "3Gi").await;
    // A size never becomes smaller.
    let message = refused(&scene, "data", "2Gi").await;
    let least = if can_be_lowered() {
        "status.capacity"
    } else {
        "previous value"
    };
    assert!(
        message.contains(&format!("field can not be less than {least}")),
        "{message}"
    );
}

#[tokio::test]
async fn requests_changed_while_bindery_did_not_run_are_served_without_their_class() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of_with(&bindery.provisioner, expandable()).await;
    for claim in ["raised", "lowered", "unchanged"] {
        scene.bound(scene.claim(claim)).await;
    }
    bindery.kill();
    for claim in ["raised", "lowered"] {
        request_size(&scene, claim, "100Gi").await.unwrap();
    }
    let lowered = request_size(&scene, "lowered", "50Gi").await;
    assert_eq!(lowered.is_ok(), can_be_lowered(), "{lowered:?}");
    delete_class(&scene).await;
    bindery.run().await;
    until_size(&scene, "raised", "100Gi").await;
    until_size(&scene, "lowered", if lowered.is_ok() { "50Gi" } else { "100Gi" }).await;
    assert_eq!(sizes(&scene, "unchanged").await, ["1Gi", "1Gi", "1Gi"]);
    bindery.unregister().await;
}

#[tokio::test]
async fn conditions_of_an_unfinished_expansion_are_removed_from_the_status() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of_with(&bindery.provisioner, expandable()).await;
    scene.bound(scene.claim("data")).await;
    bindery.kill();
    request_size(&scene, "data", "5Gi").await.unwrap();
    let left = json!({"status": {
        "conditions": [
            {"type": "Resizing", "status": "True"},
            {"type": "FileSystemResizePending", "status": "True"},
            {"type": "Other", "status": "True"},
        ],
        "allocatedResources": {"storage": "5Gi"},
        "allocatedResourceStatuses": {"storage": "ControllerResizeInProgress"},
    }});
    let patched = scene
        .claims()
        .patch_status("data", &PatchParams::default(), &Patch::Merge(left))
        .await;
    assert_eq!(patched.unwrap().status.unwrap().conditions.unwrap().len(), 3);
    bindery.run().await;
    until_size(&scene, "data", "5Gi").await;
    let status = status(&scene, "data").await;
    let conditions = status.conditions.unwrap();
    assert!(
        conditions.len() == 1 && conditions[0].type_ == "Other",
        "{conditions:?}"
    );
    let empty = |sizes: Option<usize>| sizes.unwrap_or_default() == 0;
    assert!(empty(status.allocated_resources.map(|sizes| sizes.len())));
    assert!(empty(status.allocated_resource_statuses.map(|sizes| sizes.len())));
    bindery.unregister().await;
}

/// Bindery dies when the volume has the new size and the claim has the old one. Then the requested size is changed to
/// `then`. After a restart, volume and claim must have `size`.
#[cfg(feature = "failpoints")]
async fn crash_between_the_writes(then: &str, size: &str) {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of_with(&bindery.provisioner, expandable()).await;
    scene.bound(scene.claim("data")).await;
    bindery.kill();
    bindery.run_until_crash(Point::VolumeExpanded).await;
    request_size(&scene, "data", "5Gi").await.unwrap();
    bindery.until_exit().await;
    assert_eq!(sizes(&scene, "data").await, ["5Gi", "1Gi", "5Gi"]);
    request_size(&scene, "data", then).await.unwrap();
    bindery.run().await;
    until_size(&scene, "data", size).await;
    assert_eq!(sizes(&scene, "data").await[2], then);
    // A request for the current size changes nothing.
    request_size(&scene, "data", size).await.unwrap();
    scene.bound(scene.claim("later")).await;
    request_size(&scene, "later", "2Gi").await.unwrap();
    until_size(&scene, "later", "2Gi").await;
    assert_eq!(sizes(&scene, "data").await, [size; 3]);
    bindery.unregister().await;
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn after_a_crash_between_the_two_writes_the_claim_gets_the_size_of_its_volume() {
    crash_between_the_writes("5Gi", "5Gi").await;
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn after_a_crash_a_lowered_request_gets_the_volume_size_and_a_raised_request_its_own_size() {
    if can_be_lowered() {
        crash_between_the_writes("3Gi", "5Gi").await;
    }
    crash_between_the_writes("7Gi", "7Gi").await;
}

#[tokio::test]
async fn a_claim_expanded_before_its_volume_was_ready_is_not_reported_as_changed() {
    let mut bindery = Bindery::start(&[]).await;
    let scene = Scene::of_with(&bindery.provisioner, expandable()).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    bindery.kill();
    // This simulates that Bindery died before it saw the claim, and kube-controller-manager bound it alone.
    let not_ready = json!({"metadata": {"annotations": {"bindery.dev/ready": null}}});
    scene.patch_volume(volume_name(&volume), not_ready).await;
    request_size(&scene, "data", "5Gi").await.unwrap();
    bindery.run().await;
    until_size(&scene, "data", "5Gi").await;
    assert!(!bindery.log().contains("ClaimChanged"));
    bindery.unregister().await;
}

/// Forbids all changes of the status of claims in the namespace of this scene.
async fn forbid_status(scene: &Scene) {
    let policy = json!({
        "metadata": {"name": scene.name},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.name}},
                "resourceRules": [{
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["UPDATE"],
                    "resources": ["persistentvolumeclaims/status"],
                }],
            },
            "validations": [{"expression": "false", "message": "the status is frozen"}],
        },
    });
    scene.deny_by(policy).await;
    let probe = Patch::Merge(json!({"status": {"capacity": {"storage": "2Gi"}}}));
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    eventually("the policy is in force", async || {
        scene.claims().patch_status("data", &dry, &probe).await.err()
    })
    .await;
}

#[tokio::test]
async fn a_size_that_cannot_be_written_is_reported_and_written_later() {
    let bindery = Bindery::start(&[]).await;
    let scene = Scene::of_with(&bindery.provisioner, expandable()).await;
    scene.bound(scene.claim("data")).await;
    forbid_status(&scene).await;
    request_size(&scene, "data", "5Gi").await.unwrap();
    let message = scene.event("data", "VolumeResizeFailed").await;
    assert!(
        message.starts_with("the larger size could not be written: "),
        "{message}"
    );
    assert!(
        message.contains("the status is frozen") && message.ends_with(". Bindery retries"),
        "{message}"
    );
    assert_eq!(sizes(&scene, "data").await, ["5Gi", "1Gi", "5Gi"]);
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(scene.client.clone());
    bindings.delete(&scene.name, &DeleteParams::default()).await.unwrap();
    until_size(&scene, "data", "5Gi").await;
    bindery.unregister().await;
}

#[tokio::test]
async fn a_volume_that_was_taken_over_is_expanded() {
    let provisioner = provisioner_name();
    let scene = legacy_scene(&provisioner, json!({"archiveOnDelete": "true"})).await;
    change_class(&scene, expandable()).await;
    for claim in ["before", "after"] {
        LegacyVolume::make(&scene, claim, None).await;
    }
    eventually("the API server knows the class", async || {
        request_size(&scene, "before", "4Gi").await.ok()
    })
    .await;
    let bindery = crate::legacy::volume::bindery(&provisioner, &[]).await;
    until_size(&scene, "before", "4Gi").await;
    request_size(&scene, "after", "6Gi").await.unwrap();
    until_size(&scene, "after", "6Gi").await;
    bindery.unregister().await;
}

#[tokio::test]
async fn volumes_created_by_hand_of_another_installation_or_released_are_not_expanded() {
    let bindery = Bindery::start(&[]).await;
    let scene = Scene::of_with(&bindery.provisioner, expandable()).await;
    let by_hand = format!("static-{}", scene.name);
    scene
        .volumes_create(json!({
            "metadata": {"name": by_hand},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "capacity": {"storage": "1Gi"},
                "nfs": {"server": Bed::get().server, "path": "/export"},
                "storageClassName": scene.name,
            },
        }))
        .await;
    let named = scene.claim_with("by-hand", json!({"spec": {"volumeName": by_hand}}));
    scene.create(named).await.unwrap();
    eventually("the volume made by hand is bound", async || {
        (status(&scene, "by-hand").await.phase? == "Bound").then_some(())
    })
    .await;
    let (_, another) = scene.bound(scene.claim("another")).await;
    let theirs = json!({"metadata": {"annotations": {"bindery.dev/instance": "green"}}});
    scene.patch_volume(volume_name(&another), theirs).await;
    let (_, let_go) = scene.bound(scene.claim("let-go")).await;
    scene
        .patch_volume(volume_name(&let_go), json!({"metadata": {"finalizers": null}}))
        .await;

    let others = ["by-hand", "another", "let-go"];
    for claim in others {
        request_size(&scene, claim, "5Gi").await.unwrap();
    }
    // When two more claims are expanded, Bindery has also reconciled the earlier ones.
    scene.bound(scene.claim("own")).await;
    for size in ["2Gi", "3Gi"] {
        request_size(&scene, "own", size).await.unwrap();
        until_size(&scene, "own", size).await;
    }
    for claim in others {
        assert_eq!(sizes(&scene, claim).await, ["1Gi", "1Gi", "5Gi"], "{claim}");
    }

    // When the installation takes the volume back, the request is served.
    let ours = json!({"metadata": {"annotations": {"bindery.dev/instance": bindery.name}}});
    scene.patch_volume(volume_name(&another), ours).await;
    until_size(&scene, "another", "5Gi").await;
    bindery.unregister().await;
}

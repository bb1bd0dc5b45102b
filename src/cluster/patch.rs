//! Writes to volumes with preconditions: they fail if the object has changed since the decision.
//!
//! A replica that was paused may still send a write after it lost the Lease. A precondition in the write stops it.

use json_patch::{
    AddOperation, Patch as Operations, PatchOperation, RemoveOperation, TestOperation, jsonptr::PointerBuf,
};
use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use crate::failpoints::{self, Point};
use crate::model::names::{self, volume_annotation};
use crate::model::volume::Volume;

/// Sends a JSON patch for a volume. Its test operations are the preconditions. Returns the volume after it.
pub async fn apply(
    volumes: &Api<PersistentVolume>,
    name: &str,
    operations: Vec<PatchOperation>,
) -> kube::Result<PersistentVolume> {
    let operations = Patch::Json::<()>(Operations(operations));
    volumes.patch(name, &PatchParams::default(), &operations).await
}

/// Deletes a volume if it is still the same object in the same version.
pub async fn delete(volumes: &Api<PersistentVolume>, volume: &Volume) -> kube::Result<()> {
    let exactly = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(volume.uid.clone()),
            resource_version: Some(volume.version.clone()),
        }),
        ..DeleteParams::default()
    };
    volumes.delete(&volume.name, &exactly).await.map(drop)
}

/// Fences a volume that no claim uses yet: sets [`names::UNBOUND_UID`] as the uid of its claim, so that
/// kube-controller-manager does not bind it. `which` tests that it is the right volume. The controller then completes
/// the volume for its claim, or deletes it as an orphan.
pub async fn fence(
    volumes: &Api<PersistentVolume>,
    name: &str,
    which: PatchOperation,
) -> kube::Result<PersistentVolume> {
    let operations = vec![
        which,
        test("/spec/claimRef/uid", Value::Null),
        test_annotation(volume_annotation::READY, Value::Null),
        not_deleting(),
        set("/spec/claimRef/uid", json!(names::UNBOUND_UID)),
    ];
    apply(volumes, name, operations).await
}

/// Fences a volume that no claim uses yet, and deletes it. Its finalizer stays until the cleanup has looked for its
/// directory.
pub async fn fence_and_delete(volumes: &Api<PersistentVolume>, name: &str, which: PatchOperation) -> kube::Result<()> {
    let fenced = fence(volumes, name, which).await?;
    failpoints::point(Point::Fenced);
    delete_while_fenced(volumes, name, Some(fenced), None).await
}

/// Deletes a volume that no claim uses yet, whether it is fenced or not: a fence first keeps kube-controller-manager from binding
/// it.
pub async fn remove_unused(volumes: &Api<PersistentVolume>, volume: &Volume) -> kube::Result<()> {
    if volume.is_fenced() {
        let found = volumes.get_opt(&volume.name).await?;
        delete_while_fenced(volumes, &volume.name, found, volume.attempt.as_deref()).await
    } else {
        fence_and_delete(volumes, &volume.name, test_uid(volume)).await
    }
}

/// Sets the uid of the claim in a fenced volume, so that kube-controller-manager binds it.
pub async fn assign(volumes: &Api<PersistentVolume>, name: &str, attempt: &str, claim_uid: &str) -> kube::Result<()> {
    let operations = vec![
        test_annotation(volume_annotation::ATTEMPT, attempt),
        test("/spec/claimRef/uid", json!(names::UNBOUND_UID)),
        not_deleting(),
        set("/spec/claimRef/uid", json!(claim_uid)),
    ];
    apply(volumes, name, operations).await.map(drop)
}

/// Merges fields into a volume if it is still in the same version. Returns the new version.
pub async fn merge(volumes: &Api<PersistentVolume>, volume: &Volume, mut fields: Value) -> kube::Result<String> {
    fields["metadata"]["uid"] = json!(volume.uid);
    fields["metadata"]["resourceVersion"] = json!(volume.version);
    volumes
        .patch(&volume.name, &PatchParams::default(), &Patch::Merge(fields))
        .await
        .map(|merged| merged.metadata.resource_version.unwrap_or_default())
}

/// Deletes a volume that was created with a fence, if it is still fenced and of this attempt.
pub async fn delete_if_fenced(volumes: &Api<PersistentVolume>, name: &str, attempt: &str) -> kube::Result<()> {
    let found = volumes.get_opt(name).await?;
    delete_while_fenced(volumes, name, found, Some(attempt)).await
}

/// Deletes a volume unless it is no longer fenced, is being deleted already, or is of another attempt.
async fn delete_while_fenced(
    volumes: &Api<PersistentVolume>,
    name: &str,
    mut found: Option<PersistentVolume>,
    attempt: Option<&str>,
) -> kube::Result<()> {
    while let Some(volume) = found.as_ref().map(Volume::read) {
        let is_of_another = attempt.is_some() && volume.attempt.as_deref() != attempt;
        // The controller may have completed the volume for its claim.
        if !volume.is_fenced() || volume.deleting || is_of_another {
            return Ok(());
        }
        match delete(volumes, &volume).await {
            Err(error) if is_not_found(&error) => return Ok(()),
            // kube-controller-manager has changed it.
            Err(error) if is_precondition_failed(&error) => found = volumes.get_opt(name).await?,
            deleted => return deleted,
        }
    }
    Ok(())
}

/// Tests that the object is not being deleted.
pub fn not_deleting() -> PatchOperation {
    test("/metadata/deletionTimestamp", Value::Null)
}

/// Tests that it is the same object.
pub fn test_uid(volume: &Volume) -> PatchOperation {
    test("/metadata/uid", json!(volume.uid))
}

/// Tests the value of an annotation. Null means that it does not exist.
pub fn test_annotation(key: &str, value: impl Into<Value>) -> PatchOperation {
    PatchOperation::Test(TestOperation {
        path: annotation(key),
        value: value.into(),
    })
}

/// Tests the value at a path. Null means that it does not exist.
pub fn test(path: &str, value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation {
        path: pointer(path),
        value,
    })
}

/// Sets the value at a path.
pub fn set(path: &str, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation {
        path: pointer(path),
        value,
    })
}

/// Removes the value at a path.
pub fn remove(path: &str) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation { path: pointer(path) })
}

/// Sets an annotation. The object must have annotations, as all volumes of Bindery do.
pub fn set_annotation(key: &str, value: &str) -> PatchOperation {
    PatchOperation::Add(AddOperation {
        path: annotation(key),
        value: json!(value),
    })
}

/// Removes Bindery's finalizer from a volume if these tests pass: the last step of every cleanup. It is also a success
/// if the volume does not exist any more, or another volume has its name.
pub async fn remove_finalizer(
    volumes: &Api<PersistentVolume>,
    volume: &Volume,
    tests: Vec<PatchOperation>,
) -> kube::Result<()> {
    let mut before = None;
    loop {
        let Some((now, removal)) = finalizer_removal(volumes, volume).await? else {
            return Ok(());
        };
        if now.uid.as_ref() != Some(&volume.uid) {
            return Ok(());
        }
        match apply(volumes, &volume.name, [tests.clone(), removal].concat()).await {
            Err(error) if is_not_found(&error) => return Ok(()),
            // Another finalizer was removed between the read and the patch. If none was, one of `tests` failed.
            Err(error) if is_precondition_failed(&error) && before != now.finalizers => before = now.finalizers,
            done => return done.map(drop),
        }
    }
}

/// Sets the reclaim policy Retain and removes Bindery's finalizer, in one write, so that Kubernetes keeps the volume
/// and its data. Fails if it is not the same object, or if it has been deleted since it was read.
pub async fn retain_and_release(volumes: &Api<PersistentVolume>, volume: &Volume) -> kube::Result<()> {
    let Some((_, removal)) = finalizer_removal(volumes, volume).await? else {
        return Ok(());
    };
    let mut operations = removal;
    if !volume.deleting {
        operations.push(not_deleting());
    }
    operations.push(set("/spec/persistentVolumeReclaimPolicy", json!("Retain")));
    apply(volumes, &volume.name, operations).await.map(drop)
}

/// Reads a volume, and returns the operations that remove Bindery's finalizer from it. Returns nothing if the volume
/// does not exist or does not have the finalizer.
async fn finalizer_removal(
    volumes: &Api<PersistentVolume>,
    volume: &Volume,
) -> kube::Result<Option<(ObjectMeta, Vec<PatchOperation>)>> {
    let Some(now) = volumes.get_metadata_opt(&volume.name).await? else {
        return Ok(None);
    };
    let mut finalizers = now.metadata.finalizers.iter().flatten();
    let Some(index) = finalizers.position(|finalizer| finalizer == names::FINALIZER) else {
        return Ok(None);
    };
    let path = format!("/metadata/finalizers/{index}");
    let removal = vec![test_uid(volume), test(&path, json!(names::FINALIZER)), remove(&path)];
    Ok(Some((now.metadata, removal)))
}

/// Returns whether a test of a patch (422) or another precondition (409) failed.
pub fn is_precondition_failed(error: &kube::Error) -> bool {
    is_conflict(error) || has_code(error, 422)
}

/// Returns whether the name is in use, or another write came first (409).
pub fn is_conflict(error: &kube::Error) -> bool {
    has_code(error, 409)
}

/// Returns whether the object does not exist (404).
pub fn is_not_found(error: &kube::Error) -> bool {
    has_code(error, 404)
}

fn has_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// Parses a path. All paths here are valid; the empty path names the whole object, which no test matches.
fn pointer(path: &str) -> PointerBuf {
    PointerBuf::parse(path).unwrap_or_default()
}

fn annotation(key: &str) -> PointerBuf {
    PointerBuf::from_tokens(["metadata", "annotations", key])
}

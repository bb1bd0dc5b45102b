//! Writes that cannot hit another object, or another state of it, than the one that was judged.
//!
//! A Lease does not stop the last write of a paused leader; a test inside the write does.

use json_patch::{
    AddOperation, Patch as Operations, PatchOperation, RemoveOperation, TestOperation, jsonptr::PointerBuf,
};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use crate::failpoints::{self, Point};
use crate::model::names::{self, mark};
use crate::model::volume::Volume;

/// Sends a JSON patch for a volume; its tests are the fence.
pub async fn apply(volumes: &Api<PersistentVolume>, name: &str, operations: Vec<PatchOperation>) -> kube::Result<()> {
    let operations = Patch::Json::<()>(Operations(operations));
    volumes
        .patch(name, &PatchParams::default(), &operations)
        .await
        .map(drop)
}

/// Deletes the very object that was judged, in the very state.
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

/// Fences a volume that no claim has yet, so that nobody binds it any more. `which` says that it is the one that is meant.
/// It is then the catch-up's to finish, or an orphan once the grace is over.
pub async fn fence(
    volumes: &Api<PersistentVolume>,
    name: &str,
    which: PatchOperation,
) -> kube::Result<PersistentVolume> {
    let operations = vec![
        which,
        test("/spec/claimRef/uid", Value::Null),
        test_no_annotation(mark::READY),
        not_deleting(),
        set("/spec/claimRef/uid", json!(names::FENCE)),
    ];
    let operations = Patch::Json::<()>(Operations(operations));
    volumes.patch(name, &PatchParams::default(), &operations).await
}

/// Takes a volume back that no claim has yet: fences it, then marks it deleted. The finalizer holds it until the cleanup
/// has looked for its directory.
pub async fn fence_and_delete(volumes: &Api<PersistentVolume>, name: &str, which: PatchOperation) -> kube::Result<()> {
    let mut closed = Some(fence(volumes, name, which).await?);
    failpoints::point(Point::Fenced);
    while let Some(volume) = closed.as_ref().map(Volume::read) {
        // By now the cleanup may have let it go, or its claim may have it finished.
        if volume.claim.as_ref().and_then(|claim| claim.uid.as_deref()) != Some(names::FENCE) || volume.deleting {
            return Ok(());
        }
        match delete(volumes, &volume).await {
            Err(error) if is_not_found(&error) => return Ok(()),
            // The controller manager writes to it, too.
            Err(error) if is_precondition_failed(&error) => closed = volumes.get_opt(name).await?,
            deleted => return deleted,
        }
    }
    Ok(())
}

/// Gives a fenced volume to its claim: from now on the controller manager binds the two.
pub async fn assign(volumes: &Api<PersistentVolume>, name: &str, attempt: &str, claim_uid: &str) -> kube::Result<()> {
    let operations = vec![
        test_annotation(mark::ATTEMPT, attempt),
        test("/spec/claimRef/uid", json!(names::FENCE)),
        not_deleting(),
        set("/spec/claimRef/uid", json!(claim_uid)),
    ];
    apply(volumes, name, operations).await
}

/// Merges fields into a volume in the very state that was judged. Returns the version that it then has.
pub async fn merge(volumes: &Api<PersistentVolume>, volume: &Volume, mut fields: Value) -> kube::Result<String> {
    fields["metadata"]["uid"] = json!(volume.uid);
    fields["metadata"]["resourceVersion"] = json!(volume.version);
    volumes
        .patch(&volume.name, &PatchParams::default(), &Patch::Merge(fields))
        .await
        .map(|merged| merged.metadata.resource_version.unwrap_or_default())
}

/// Takes back a volume that catch-up has begun, if it is still this call's: nobody has it, it is fenced from the start.
pub async fn delete_if_fenced(volumes: &Api<PersistentVolume>, name: &str, attempt: &str) -> kube::Result<()> {
    while let Some(volume) = volumes.get_opt(name).await?.as_ref().map(Volume::read) {
        let fenced = volume.claim.as_ref().and_then(|claim| claim.uid.as_deref()) == Some(names::FENCE);
        if !fenced || volume.deleting || volume.attempt.as_deref() != Some(attempt) {
            return Ok(());
        }
        match delete(volumes, &volume).await {
            // The controller manager writes to it, too.
            Err(error) if is_precondition_failed(&error) => {}
            Err(error) if is_not_found(&error) => return Ok(()),
            deleted => return deleted,
        }
    }
    Ok(())
}

/// The patch fails if somebody has deleted the object.
fn not_deleting() -> PatchOperation {
    test("/metadata/deletionTimestamp", Value::Null)
}

/// The patch fails unless it is this very object.
pub fn test_uid(volume: &Volume) -> PatchOperation {
    test("/metadata/uid", json!(volume.uid))
}

/// The patch fails unless an annotation has this value; null also means that it is not there.
pub fn test_annotation(key: &str, value: impl Into<Value>) -> PatchOperation {
    PatchOperation::Test(TestOperation {
        path: annotation(key),
        value: value.into(),
    })
}

/// The patch fails unless `path` holds `value`; null also means that it is not there.
pub fn test(path: &str, value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation {
        path: pointer(path),
        value,
    })
}

/// Sets `path`.
pub fn set(path: &str, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation {
        path: pointer(path),
        value,
    })
}

/// Sets an annotation; volumes of ours always have some.
pub fn set_annotation(key: &str, value: &str) -> PatchOperation {
    PatchOperation::Add(AddOperation {
        path: annotation(key),
        value: json!(value),
    })
}

/// The patch fails if an annotation is there.
pub fn test_no_annotation(key: &str) -> PatchOperation {
    test_annotation(key, Value::Null)
}

/// Takes our finalizer off a volume that is being deleted, if the volume passes these tests: the last step of every cleanup.
/// A volume that is gone, or another one of that name, is success.
pub async fn remove_finalizer(
    volumes: &Api<PersistentVolume>,
    volume: &Volume,
    tests: Vec<PatchOperation>,
) -> kube::Result<()> {
    let mut before = None;
    loop {
        let Some(now) = volumes.get_metadata_opt(&volume.name).await? else {
            return Ok(());
        };
        let finalizers = now.metadata.finalizers.unwrap_or_default();
        let ours = finalizers.iter().position(|held| held == names::FINALIZER);
        let (Some(ours), true) = (ours, now.metadata.uid.as_ref() == Some(&volume.uid)) else {
            return Ok(());
        };
        let path = format!("/metadata/finalizers/{ours}");
        let mut operations = tests.clone();
        operations.extend([
            test("/metadata/uid", json!(volume.uid)),
            test(&path, json!(names::FINALIZER)),
            PatchOperation::Remove(RemoveOperation { path: pointer(&path) }),
        ]);
        match apply(volumes, &volume.name, operations).await {
            Err(error) if is_not_found(&error) => return Ok(()),
            // Another finalizer went between the look and the patch. If none did, a test failed.
            Err(error) if is_precondition_failed(&error) && before.as_ref() != Some(&finalizers) => {
                before = Some(finalizers)
            }
            done => return done,
        }
    }
}

/// Lets a volume go with its data, in one write: Kubernetes keeps it from now on, and our finalizer holds it no more. Fails if
/// it is not the very object that was judged, or has been deleted since.
pub async fn retain_and_release(volumes: &Api<PersistentVolume>, volume: &Volume) -> kube::Result<()> {
    let Some(now) = volumes.get_metadata_opt(&volume.name).await? else {
        return Ok(());
    };
    let finalizers = now.metadata.finalizers.unwrap_or_default();
    let Some(ours) = finalizers.iter().position(|held| held == names::FINALIZER) else {
        return Ok(());
    };
    let path = format!("/metadata/finalizers/{ours}");
    let mut operations = vec![test_uid(volume)];
    if !volume.deleting {
        operations.push(not_deleting());
    }
    operations.extend([
        set("/spec/persistentVolumeReclaimPolicy", json!("Retain")),
        test(&path, json!(names::FINALIZER)),
        PatchOperation::Remove(RemoveOperation { path: pointer(&path) }),
    ]);
    apply(volumes, &volume.name, operations).await
}

/// The object is not in the state that was judged: a test failed (422) or a precondition did (409).
pub fn is_precondition_failed(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 409 | 422))
}

/// Another has the name already, or another write came first (409).
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// The object is not there.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Our paths are spelt right; one that is not names the whole object, which no test matches.
fn pointer(path: &str) -> PointerBuf {
    PointerBuf::parse(path).unwrap_or_default()
}

fn annotation(key: &str) -> PointerBuf {
    PointerBuf::from_tokens(["metadata", "annotations", key])
}

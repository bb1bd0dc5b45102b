//! Writes to the metadata of the objects of archives, with preconditions.

use json_patch::{Patch as Operations, PatchOperation};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::cluster::patch::{self, is_not_found, set, test};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::failpoints::{self, Point};
use crate::model::archive::Archive;
use crate::model::names;

/// Adds Bindery's finalizer, if the object has not changed.
pub async fn add(archives: &Api<Archive>, archive: &Archive) -> Result<(), Error> {
    let mut finalizers = archive.finalizers().to_vec();
    finalizers.push(names::ARCHIVE_FINALIZER.to_owned());
    let version = test("/metadata/resourceVersion", json!(archive.resource_version()));
    let addition = vec![version, set("/metadata/finalizers", json!(finalizers))];
    apply(archives, archive, addition).await.map(drop)
}

/// Removes Bindery's finalizer. It is also a success if the object is gone.
pub async fn remove(archives: &Api<Archive>, archive: &Archive) -> Result<(), Error> {
    without_finalizer(archives, archive).await.map(drop)
}

/// Removes Bindery's finalizer. Returns the object after that; nothing if it is gone.
async fn without_finalizer(archives: &Api<Archive>, archive: &Archive) -> Result<Option<Archive>, Error> {
    let mut finalizers = archive.finalizers().iter();
    let Some(index) = finalizers.position(|held| held == names::ARCHIVE_FINALIZER) else {
        return Ok(Some(archive.clone()));
    };
    let path = format!("/metadata/finalizers/{index}");
    let removal = vec![test(&path, json!(names::ARCHIVE_FINALIZER)), patch::remove(&path)];
    apply(archives, archive, removal).await
}

/// Deletes an object without its directory. An object that is marked as deleted and has the finalizer looks as if a person
/// had deleted it. So the finalizer goes first: after a crash in between, the object gets it again.
pub async fn delete_object(archives: &Api<Archive>, archive: &Archive) -> Result<(), Error> {
    let Some(released) = without_finalizer(archives, archive).await? else {
        return Ok(());
    };
    if released.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    failpoints::point(Point::ArchiveReleased);
    let same = DeleteParams {
        preconditions: Some(Preconditions {
            uid: released.uid(),
            resource_version: released.resource_version(),
        }),
        ..DeleteParams::default()
    };
    match archives.delete(&released.name_any(), &same).await {
        Err(error) if is_not_found(&error) => Ok(()),
        deleted => Ok(deleted.map(drop)?),
    }
}

/// Sets an annotation, or removes it.
pub async fn annotate(ctx: &Context, archive: &Archive, key: &str, value: Option<&str>) -> Result<(), Error> {
    let archives: Api<Archive> = Api::namespaced(ctx.cluster.client.clone(), &archive.namespace().unwrap_or_default());
    let fields = json!({"metadata": {"uid": archive.uid(), "annotations": {key: value}}});
    archives
        .patch(&archive.name_any(), &PatchParams::default(), &Patch::Merge(fields))
        .await?;
    Ok(())
}

/// Patches an object if it is still the same one. Returns the object after that; nothing if it is gone.
async fn apply(
    archives: &Api<Archive>,
    archive: &Archive,
    mut operations: Vec<PatchOperation>,
) -> Result<Option<Archive>, Error> {
    operations.insert(
        0,
        test("/metadata/uid", json!(archive.uid().map_or(Value::Null, Value::from))),
    );
    let operations = Patch::Json::<()>(Operations(operations));
    match archives
        .patch(&archive.name_any(), &PatchParams::default(), &operations)
        .await
    {
        Err(error) if is_not_found(&error) => Ok(None),
        done => Ok(done.map(Some)?),
    }
}

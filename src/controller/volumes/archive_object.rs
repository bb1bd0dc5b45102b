//! Writes the objects of archives.
//!
//! The name of an object follows from its archive, so a write that is repeated after a crash finds the object of the
//! first one. An object that the namespace of the claim does not accept is written in Bindery's own namespace. If the
//! definition of archives is not installed, no object is written, and the archive is made as before: it gets an object
//! when the definition is installed.

use std::collections::BTreeMap;

use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};

use super::archive_home::home;
use super::step::Step;
use crate::cluster::api_error::ApiFault;
use crate::cluster::patch::is_conflict;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::failpoints::{self, Point};
use crate::model::archive::{Archive, ArchiveSpec, object_name};
use crate::model::directory::Directory;
use crate::model::identity::Identity;
use crate::model::names::{self, annotation};

/// The number of names that are tried for one object.
const MAX_NAMES: usize = 4;

/// Writes the object of the archive of a volume. Returns it, as `namespace/name`. Returns nothing if the directory is not
/// an archive, or if no object can be written.
pub async fn write_for_volume(step: Step<'_>, identity: Identity, place: &Directory) -> Result<Option<String>, Error> {
    let Step {
        leader,
        ctx,
        volume,
        record,
    } = step;
    if place.archive_times().is_none() {
        return Ok(None);
    }
    let home = home(ctx, volume).await?;
    let Some(spec) = ArchiveSpec::of_volume(volume, record, &ctx.installation, identity, place, home.as_ref()) else {
        return Ok(None);
    };
    failpoints::point(Point::ArchiveMade);
    let written = write(leader, &spec, home.as_ref().map(|home| &*home.name)).await?;
    failpoints::point(Point::ArchiveRecorded);
    Ok(written.map(|archive| shown(&archive)))
}

/// Writes an object in this namespace, or in Bindery's own if that does not accept it. Returns the object; nothing if no
/// object can be written.
pub async fn write(leader: &Leader, spec: &ArchiveSpec, home: Option<&str>) -> Result<Option<Archive>, Error> {
    let ctx = &leader.ctx;
    if let Some(home) = home.filter(|home| *home != ctx.options.own_namespace) {
        leader.may_act()?;
        match create(ctx, spec, home, &BTreeMap::new()).await {
            Ok(archive) => return Ok(Some(archive)),
            Err(error) if is_refused(&error) => {
                tracing::debug!(namespace = home, %error, "the namespace does not accept the object of an archive");
            }
            Err(error) => return Err(error.into()),
        }
    }
    write_in_own_namespace(leader, spec, &BTreeMap::new()).await
}

async fn write_in_own_namespace(
    leader: &Leader,
    spec: &ArchiveSpec,
    annotations: &BTreeMap<String, String>,
) -> Result<Option<Archive>, Error> {
    let ctx = &leader.ctx;
    leader.may_act()?;
    match create(ctx, spec, &ctx.options.own_namespace, annotations).await {
        Ok(archive) => Ok(Some(archive)),
        Err(kube::Error::Api(status)) if is_not_served(status.code) => {
            leader.archives.report_absence(&format!(
                "the API server does not know {}. Everything else works. To have them, install the definition: see \
                 docs/archives.md",
                names::ARCHIVES
            ));
            Ok(None)
        }
        Err(error) if is_refused(&error) => {
            let fault = ApiFault::from_create(&error);
            leader
                .archives
                .report_absence(&format!("the API server refused one, {}: {fault}", spec.directory));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes a copy of an object in Bindery's own namespace, with the annotations that say how long the archive is kept.
/// Returns the copy; nothing if it cannot be written.
pub async fn write_copy(leader: &Leader, archive: &Archive) -> Result<Option<Archive>, Error> {
    let mut annotations = archive.annotations().clone();
    annotations.retain(|key, _| [annotation::KEEP_UNTIL, annotation::KEEP_UNTIL_APPLIED].contains(&&**key));
    write_in_own_namespace(leader, &archive.spec, &annotations).await
}

/// Returns an object as messages name it.
pub fn shown(archive: &Archive) -> String {
    format!("{}/{}", archive.namespace().unwrap_or_default(), archive.name_any())
}

/// Returns the objects with this key that the API server has, in all namespaces.
pub async fn with_key(ctx: &Context, key: &str) -> kube::Result<Vec<Archive>> {
    let archives: Api<Archive> = Api::all(ctx.cluster.client.clone());
    let found = archives
        .list(&ListParams::default().labels(&format!("{}={key}", names::ARCHIVE_KEY)))
        .await?;
    let has_key = |archive: &Archive| archive.spec.key() == Some(key);
    Ok(found.items.into_iter().filter(has_key).collect())
}

/// Creates an object. It is also a success if the object exists.
async fn create(
    ctx: &Context,
    spec: &ArchiveSpec,
    namespace: &str,
    annotations: &BTreeMap<String, String>,
) -> kube::Result<Archive> {
    let archives: Api<Archive> = Api::namespaced(ctx.cluster.client.clone(), namespace);
    let made = spec.archived_at.0;
    let mut seed = spec.seed().to_owned();
    let mut attempts = 0;
    loop {
        let name = object_name(&spec.claim_name, made, &seed);
        let mut archive = spec.build(namespace, &name);
        archive.metadata.annotations = (!annotations.is_empty()).then(|| annotations.clone());
        let error = match archives.create(&PostParams::default(), &archive).await {
            Err(error) if is_conflict(&error) => error,
            created => {
                if created.is_ok() {
                    ctx.metrics.step("archive_recorded");
                }
                return created;
            }
        };
        if let Some(existing) = archives.get_opt(&name).await?
            && existing.spec.key() == spec.key()
            && existing.spec.instance == spec.instance
        {
            return Ok(existing);
        }
        attempts += 1;
        if attempts == MAX_NAMES {
            return Err(error);
        }
        // An object of another archive has the name.
        seed = format!("{}/{attempts}", spec.seed());
    }
}

/// Returns whether the resource or the namespace does not exist, or the definition is being deleted.
fn is_not_served(code: u16) -> bool {
    matches!(code, 404 | 405)
}

/// Returns whether the same request would be refused again.
fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if is_not_served(status.code) || matches!(status.code, 400 | 403 | 409 | 422))
}

//! Writes the objects of archives.
//!
//! The name of an object follows from its archive, so a write that is repeated after a crash finds the object of the
//! first one. An object that the namespace of the claim does not accept is written in Bindery's own namespace. If the
//! definition of archives is not installed, no object is written, and the archive is made as before: it gets an object
//! when the definition is installed.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};

use super::archive_finalizer as finalizer;
use super::archive_home::home;
use super::step::Step;
use crate::cluster::api_error::ApiFault;
use crate::cluster::patch::{is_conflict, is_not_found};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::failpoints::{self, Point};
use crate::model::archive::{Archive, ArchiveSpec, object_name};
use crate::model::directory::{ArchiveName, Directory};
use crate::model::identity::Identity;
use crate::model::names::{self, annotation, reason};

/// The number of names that are tried for one object.
const MAX_NAMES: usize = 4;
/// The number of objects per request.
const PAGE_SIZE: u32 = 500;
/// The number of refusals after which the archive of a volume stays without an object. An API server that has just started
/// refuses requests until it has read all roles.
const MAX_REFUSALS: u32 = 6;

/// Writes the object of the archive of a volume. Returns it, as `namespace/name`. Returns nothing if the directory is not
/// an archive, or if no object can be written. Later the archive could get an object again, but what is known of the claim
/// would be lost. So an API server that refuses the object is asked some times.
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
    let written = match write(leader, &spec, home.as_ref().map(|home| &*home.name)).await {
        Err(Error::Api(error)) if is_refused(&error) && leader.backoff.failures(&volume.name) >= MAX_REFUSALS => {
            let fault = ApiFault::from_create(&error);
            let note = format!(
                "archive {place} of share {} has no Archive yet: the API server refused it: {fault}. It gets one later, \
                 without what is known of the claim",
                record.share
            );
            ctx.events.warn(volume, reason::ARCHIVE_NOT_RECORDED, note);
            None
        }
        written => written?,
    };
    failpoints::point(Point::ArchiveRecorded);
    Ok(written.map(|archive| shown(&archive)))
}

/// Deletes the objects of the archives that the directory was before the policy of the volume was changed. `place` is where
/// the directory is now.
pub async fn delete_earlier(step: Step<'_>, place: &Directory) -> Result<(), Error> {
    let (ctx, volume) = (step.ctx, step.volume);
    let key = |place: &Directory| {
        let name = ArchiveName::read(place.split_last().1, &ctx.installation.instance)?;
        Some(name.key.to_owned())
    };
    let now = key(place);
    let earlier: BTreeSet<String> = step.record.moved_to.iter().filter_map(key).collect();
    for key in earlier.iter().filter(|key| now.as_ref() != Some(key)) {
        let mut found = match ctx.cluster.archives_with_key(key).await {
            Err(error) if is_not_found(&error) => return Ok(()),
            found => found?,
        };
        found.retain(|archive| is_own(ctx, archive) && archive.spec.volume_uid.as_deref() == Some(&*volume.uid));
        for archive in &found {
            let namespace = archive.namespace().unwrap_or_default();
            step.leader.may_act()?;
            finalizer::delete_object(&Api::namespaced(ctx.cluster.client.clone(), &namespace), archive).await?;
        }
    }
    Ok(())
}

/// Writes an object in this namespace, or in Bindery's own if that does not accept it. Returns the object; nothing if the
/// definition is not installed. Fails if the API server refuses the object.
pub async fn write(leader: &Leader, spec: &ArchiveSpec, home: Option<&str>) -> Result<Option<Archive>, Error> {
    let ctx = &leader.ctx;
    if let Some(home) = home.filter(|home| *home != ctx.options.own_namespace) {
        leader.may_act()?;
        match create(ctx, spec, home, &BTreeMap::new()).await {
            Ok(archive) => return Ok(Some(archive)),
            Err(error) if is_refused(&error) => {
                tracing::debug!(namespace = home, %error, "the namespace does not accept the object of an archive");
                // An earlier attempt may have written it.
                let found = match ctx.cluster.archives_with_key(spec.key().unwrap_or_default()).await {
                    Err(error) if is_not_found(&error) => Vec::new(),
                    found => found?,
                };
                let is_used = |one: &Archive| is_own(ctx, one) && one.metadata.deletion_timestamp.is_none();
                if let Some(existing) = found.into_iter().find(is_used) {
                    return Ok(Some(existing));
                }
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
        // Roles that do not name archives: the API server refuses the request before it looks for the definition.
        Err(error) if is_refused(&error) && leader.archives.is_installed() == Some(false) => {
            let fault = ApiFault::from_create(&error);
            let why = format!("the API server refused one, {}: {fault}", spec.directory);
            leader.archives.report_absence(&why);
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

/// Returns the keys of all objects.
pub async fn keys(ctx: &Context) -> Result<HashSet<String>, Error> {
    let archives: Api<Archive> = Api::all(ctx.cluster.client.clone());
    let mut keys = HashSet::new();
    let mut page = ListParams::default().labels(names::ARCHIVE_KEY).limit(PAGE_SIZE);
    loop {
        let found = archives.list_metadata(&page).await?;
        let labels = found
            .items
            .iter()
            .filter_map(|one| one.labels().get(names::ARCHIVE_KEY));
        keys.extend(labels.cloned());
        match found.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(keys),
        }
    }
}

/// Returns whether this installation wrote an object.
pub fn is_own(ctx: &Context, archive: &Archive) -> bool {
    let (spec, own) = (&archive.spec, &ctx.installation);
    spec.instance == own.instance && spec.provisioner == own.provisioner
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
        let is_it = |existing: &Archive| existing.spec.key() == spec.key() && is_own(ctx, existing);
        let existing = archives.get_opt(&name).await?;
        let has_name = existing.is_some();
        if let Some(existing) = existing.filter(is_it) {
            return Ok(existing);
        }
        attempts += 1;
        if attempts == MAX_NAMES {
            return Err(error);
        }
        // Otherwise the object that had the name is gone.
        if has_name {
            let all = ctx.cluster.archives_with_key(spec.key().unwrap_or_default()).await?;
            let is_here = |one: &Archive| is_it(one) && one.namespace().as_deref() == Some(namespace);
            if let Some(existing) = all.into_iter().find(is_here) {
                return Ok(existing);
            }
            seed = format!("{}/{attempts}", spec.seed());
        }
    }
}

/// Returns whether the resource or the namespace does not exist, or the definition is being deleted.
fn is_not_served(code: u16) -> bool {
    matches!(code, 404 | 405)
}

/// Returns whether the API server refused a request, and not only this attempt.
pub fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if is_not_served(status.code) || matches!(status.code, 400 | 403 | 409 | 422))
}

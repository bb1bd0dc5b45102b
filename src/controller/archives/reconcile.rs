//! Reconciles the object of one archive.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use tracing::Instrument;

use super::find::{self, Found};
use super::remove::{self, Outcome};
use super::{expiry, restoration, status};
use crate::cluster::cache::CachedArchive;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::volumes::archive_finalizer as finalizer;
use crate::controller::volumes::{archive_home, archive_object};
use crate::failpoints::{self, Point};
use crate::model::archive::{Archive, ArchivePhase, ArchiveRecord};
use crate::model::names::{self, reason};
use crate::policy::archives::{self, Facts, Place, Plan, State};

/// Returns whether an object may need a reconcile, according to the cache. A cluster may have many that need none.
pub fn is_due(ctx: &Context, cached: &CachedArchive) -> bool {
    if cached.maker != *ctx.installation {
        return false;
    }
    let deleted = cached.meta().deletion_timestamp.is_some();
    if deleted || !cached.has_finalizer {
        return cached.has_finalizer || !deleted;
    }
    let Ok(record) = &cached.record else { return false };
    let (annotation, applied) = (cached.keep_until.as_deref(), cached.keep_until_applied.as_deref());
    let wanted = archives::expiry(annotation, applied, record.expires(), Timestamp::now());
    let is_applied = annotation == applied && wanted == Ok(record.expires());
    // What its volume says may not be in the object yet.
    if cached.phase == Some(ArchivePhase::Restoring) {
        return true;
    }
    let is_settled = cached.phase.is_some() && cached.expires == record.expires() && is_applied;
    !is_settled || !is_at_home(ctx, cached)
}

/// Returns whether an object is in a namespace in which it may be, according to the cache.
fn is_at_home(ctx: &Context, cached: &CachedArchive) -> bool {
    let namespace = cached.namespace().unwrap_or_default();
    if namespace == ctx.options.own_namespace {
        return true;
    }
    let found = ctx
        .cluster
        .namespaces
        .get(&kube::runtime::reflector::ObjectRef::new(&namespace));
    let uid = found.and_then(|found| found.metadata.uid.clone());
    cached.claim_namespace.as_ref() == Some(&namespace) && cached.namespace_uid.is_some() && cached.namespace_uid == uid
}

/// Waits in the queue of the archive's NFS server, then takes one step.
pub async fn reconcile(cached: Arc<CachedArchive>, leader: Arc<Leader>) -> Result<Action, Error> {
    let server = cached.record.as_ref().map_or("", |record| record.share.server());
    let permit = leader
        .archive_queue
        .acquire(server, cached.meta().deletion_timestamp.as_ref().map(|time| time.0));
    let Some(_permit) = leader.term.stop.run_until_cancelled(permit).await else {
        return Err(Error::NotLeading);
    };
    let span = tracing::info_span!("archive", object = key(&cached));
    let next = Box::pin(step(&leader, &cached)).instrument(span).await?;
    leader.backoff.reset(&key(&cached));
    Ok(next)
}

/// Returns the key of an object in the record of failures.
pub fn key(cached: &CachedArchive) -> String {
    format!(
        "archive {}/{}",
        cached.namespace().unwrap_or_default(),
        cached.name_any()
    )
}

async fn step(leader: &Leader, cached: &CachedArchive) -> Result<Action, Error> {
    let ctx = &leader.ctx;
    let archives: Api<Archive> = Api::namespaced(ctx.cluster.client.clone(), &cached.namespace().unwrap_or_default());
    let Some(archive) = archives.get_opt(&cached.name_any()).await? else {
        return Ok(Action::await_change());
    };
    leader.may_act()?;
    match archives::plan(facts(ctx, &archive).await?) {
        Plan::Leave => {}
        Plan::Protect => finalizer::add(&archives, &archive).await?,
        Plan::Follow => follow(leader, &archive).await?,
        Plan::Discard => finalizer::delete_object(&archives, &archive).await?,
        Plan::Move => move_to_own_namespace(leader, &archives, &archive).await?,
        Plan::Release => {
            tracing::info!(
                "the definition of archives or the namespace is being deleted, or was deleted and created again: the \
                 directory is kept"
            );
            finalizer::remove(&archives, &archive).await?;
        }
        Plan::Remove => return remove(leader, &archives, &archive).await,
    }
    Ok(Action::await_change())
}

async fn facts(ctx: &Context, archive: &Archive) -> Result<Facts, Error> {
    let deleted = archive.metadata.deletion_timestamp.as_ref().map(|time| time.0);
    let has_finalizer = archive.finalizers().iter().any(|held| held == names::ARCHIVE_FINALIZER);
    let namespace = archive_home::namespace_of(ctx, archive).await?;
    let mut facts = Facts {
        is_own: archive_object::is_own(ctx, archive),
        state: State::of(deleted.is_some(), has_finalizer),
        definition_ends: false,
        place: namespace.place,
        namespace_ends: namespace.ends,
        own_namespace_ends: false,
        // The uid tells whether the namespace of a claim is the same one.
        is_left_over: namespace.place == Place::Own && archives::is_left_over(deleted, namespace.created),
        is_restored: archive.is_restored(),
    };
    if deleted.is_some() {
        let definition = definition(ctx).await?;
        let created = definition.as_ref().and_then(|found| found.creation_timestamp.as_ref());
        facts.is_left_over |= archives::is_left_over(deleted, created.map(|time| time.0));
        // The API server marks the definition as deleted before it deletes the objects.
        facts.definition_ends = definition.is_none_or(|found| found.deletion_timestamp.is_some());
        facts.own_namespace_ends = namespace.ends && archive_home::own_namespace_ends(ctx).await?;
    }
    Ok(facts)
}

/// Returns the metadata of the definition of archives.
async fn definition(ctx: &Context) -> Result<Option<ObjectMeta>, Error> {
    let definitions: Api<CustomResourceDefinition> = Api::all(ctx.cluster.client.clone());
    let found = definitions.get_metadata_opt(names::ARCHIVES).await?;
    Ok(found.map(|found| found.metadata))
}

/// Compares an object with the share: changes the expiry if the object asks for it, and writes the status.
pub async fn follow(leader: &Leader, archive: &Archive) -> Result<(), Error> {
    let ctx = &leader.ctx;
    let record = match ArchiveRecord::read(archive) {
        Ok(record) => record,
        Err(why) => {
            tracing::warn!(
                archive = archive_object::shown(archive),
                "this object is not used: {why}"
            );
            return Ok(());
        }
    };
    if restoration::follow(leader, archive, &record).await? {
        return Ok(());
    }
    let found = match find::find_renamed(ctx, &record).await? {
        Found::At(place) => expiry::change(leader, archive, &record, place).await?,
        found => found,
    };
    status::write(ctx, archive, &record, &found).await?;
    match found {
        Found::At(_) => expiry::record_applied(ctx, archive).await,
        Found::Replaced(_) | Found::Missing => Ok(()),
    }
}

/// Writes the object in Bindery's own namespace, and deletes the one in the namespace that ends. The directory stays.
async fn move_to_own_namespace(leader: &Leader, archives: &Api<Archive>, archive: &Archive) -> Result<(), Error> {
    let ctx = &leader.ctx;
    if let Err(why) = ArchiveRecord::read(archive) {
        return release_invalid(ctx, archives, archive, &why).await;
    }
    // An object that was forged, or that a backup tool has created again, is not copied.
    if remove::other_object(ctx, archive).await?.is_some() {
        return finalizer::delete_object(archives, archive).await;
    }
    let Some(copy) = archive_object::write_copy(leader, archive).await? else {
        return Err(Error::NotMoved(ctx.options.own_namespace.clone()));
    };
    failpoints::point(Point::ArchiveCopied);
    ctx.metrics.step("archive_moved");
    let note = format!(
        "moved from namespace {}, which is being deleted or is not the namespace of the claim; the directory is kept",
        archive.namespace().unwrap_or_default()
    );
    ctx.events.normal(&copy, reason::ARCHIVE_MOVED, note);
    copy_expiry(ctx, archive, &copy).await?;
    finalizer::delete_object(archives, archive).await
}

/// Lets an object go that names no archive. It is not copied, and no directory is touched.
async fn release_invalid(ctx: &Context, archives: &Api<Archive>, archive: &Archive, why: &str) -> Result<(), Error> {
    finalizer::delete_object(archives, archive).await?;
    report_kept(ctx, archive, why);
    Ok(())
}

fn report_kept(ctx: &Context, archive: &Archive, why: &str) {
    let note = format!("the object is deleted, and no directory is removed: {why}");
    ctx.events.warn(archive, reason::ARCHIVE_KEPT, note);
}

/// Copies the annotation that says how long the archive is kept, if the copy existed before.
async fn copy_expiry(ctx: &Context, archive: &Archive, copy: &Archive) -> Result<(), Error> {
    let Some(until) = archive.keep_until().filter(|_| copy.keep_until().is_none()) else {
        return Ok(());
    };
    finalizer::annotate(ctx, copy, names::annotation::KEEP_UNTIL, Some(until)).await
}

async fn remove(leader: &Leader, archives: &Api<Archive>, archive: &Archive) -> Result<Action, Error> {
    let ctx = &leader.ctx;
    let (server, share) = (&archive.spec.server, &archive.spec.share);
    let directory = format!("directory {} of share {server}:{share}", archive.current_directory());
    let outcome = match ArchiveRecord::read(archive) {
        Ok(record) => remove::remove(leader, archive, &record).await?,
        Err(why) => Outcome::Kept(why),
    };
    if outcome != Outcome::Missing {
        finalizer::remove(archives, archive).await?;
    }
    match outcome {
        Outcome::Missing => {
            let note = format!(
                "this Archive was deleted, and {directory} was not found. If it returns within a day, it is removed; after \
                 that, the object goes. If the data is gone, an administrator of the cluster can remove the finalizer {}",
                names::ARCHIVE_FINALIZER
            );
            ctx.events.warn(archive, reason::ARCHIVE_MISSING, note);
            return Ok(Action::requeue(ctx.options.retention_interval));
        }
        Outcome::Removed => {
            ctx.metrics.step("archive_removed");
            let note = "the directory was moved to the trash; its files are being removed".to_owned();
            ctx.events.normal(archive, reason::ARCHIVE_REMOVED, note);
        }
        Outcome::Gone => {
            let note = format!(
                "the object is deleted, and nothing was removed: {directory} was not found. If it is found later, it gets \
                 another object"
            );
            ctx.events.warn(archive, reason::ARCHIVE_MISSING, note);
        }
        Outcome::Kept(why) => report_kept(ctx, archive, &why),
    }
    Ok(Action::await_change())
}

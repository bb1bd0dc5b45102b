//! Lets the objects of archives follow a share: an archive without an object gets one, and an object whose archive is
//! gone becomes `Missing` and is deleted after a day.
//!
//! Called in the rounds of [`crate::controller::retention`].

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use kube::{Api, Resource, ResourceExt};
use tokio::sync::OnceCell;

use super::find::{self, Found};
use super::{reconcile, restoration, status};
use crate::cluster::api_error::ApiFault;
use crate::cluster::cache::CachedArchive;
use crate::cluster::patch::{is_not_found, is_precondition_failed};
use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::leader::archive_objects::ByKey;
use crate::controller::volumes::{archive_finalizer as finalizer, archive_object, trash_archive};
use crate::model::archive::{Archive, ArchivePhase, ArchiveRecord, ArchiveSpec};
use crate::model::directory::{ArchiveName, Directory, Share};
use crate::model::share_id::ShareId;
use crate::policy::archives::{is_given_up, is_kept};

/// The objects during one round of a share, and the archives that the round has seen.
pub struct Round<'a> {
    leader: &'a Leader,
    share: &'a Share,
    objects: ByKey,
    seen: HashSet<String>,
    /// The keys of all objects that the API server has. They are read when an archive without an object is found.
    keys: OnceCell<HashSet<String>>,
    /// The identity of the share.
    share_id: OnceCell<ShareId>,
}

impl<'a> Round<'a> {
    /// Begins a round. Returns nothing if archives have no objects.
    pub fn begin(leader: &'a Leader, share: &'a Share) -> Option<Self> {
        Some(Self {
            leader,
            share,
            objects: leader.archives.by_key()?,
            seen: HashSet::new(),
            keys: OnceCell::new(),
            share_id: OnceCell::new(),
        })
    }

    /// Begins with the next trash root. Called after its archives were listed and their volumes were read: an archive in the
    /// list whose volume was gone then has its object in the API server now, because a cleanup writes it first.
    pub fn next_root(&mut self) {
        self.keys = OnceCell::new();
    }

    /// Notes that an archive is on the share.
    pub fn see(&mut self, name: &ArchiveName<'_>) {
        self.seen.insert(name.key.to_owned());
    }

    /// Gives an archive an object, or compares the object that it has with the share.
    pub async fn follow(&self, place: &Directory, name: &ArchiveName<'_>) -> Result<(), Error> {
        let objects = self.objects.get(name.key).map_or(&[][..], Vec::as_slice);
        if objects.is_empty() {
            return go_on(self.share, self.give_object(place, name).await);
        }
        if objects.len() > 1 {
            go_on(self.share, drop_duplicates(self.leader, name.key).await)?;
        }
        for object in objects.iter().filter(|object| self.is_stale(object, place, name)) {
            go_on(self.share, compare(self.leader, object).await)?;
        }
        Ok(())
    }

    /// Deletes the objects of an archive that has expired and is in the trash.
    pub async fn expired(&self, name: &ArchiveName<'_>) -> Result<(), Error> {
        for object in self.objects.get(name.key).into_iter().flatten() {
            go_on(self.share, delete_object(self.leader, object).await)?;
        }
        Ok(())
    }

    /// Looks for each archive of this share that has an object and that the round has not seen.
    pub async fn finish(&self) -> Result<(), Error> {
        for object in self.objects.values().flatten() {
            let Ok(record) = &object.record else { continue };
            if !self.follows(object, record) || self.seen.contains(&record.key) {
                continue;
            }
            let done = missing(self.leader, object, record).await;
            // The disk of the share is not mounted: the other objects would say the same.
            let is_last = self.seen.is_empty() && matches!(done, Err(Error::FileSystemChanged(_)));
            go_on(self.share, done)?;
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Returns whether an object follows this share. A share may have several names: an object follows the one that it
    /// names.
    fn follows(&self, object: &CachedArchive, record: &ArchiveRecord) -> bool {
        record.share == *self.share
            && object.maker == *self.leader.ctx.installation
            && object.meta().deletion_timestamp.is_none()
    }

    /// Returns whether an object differs from what the round has seen.
    fn is_stale(&self, object: &CachedArchive, place: &Directory, name: &ArchiveName<'_>) -> bool {
        let Ok(record) = &object.record else { return false };
        let is_same =
            record.directory == *place && object.expires == name.until && object.phase == Some(ArchivePhase::Available);
        self.follows(object, record) && !is_same
    }

    /// Writes the object of an archive that has none: the archive was made by an earlier version, while the definition was
    /// not installed, or before the API server was restored from a backup.
    async fn give_object(&self, place: &Directory, name: &ArchiveName<'_>) -> Result<(), Error> {
        let (share, ctx) = (self.share, &self.leader.ctx);
        // The cache may be behind.
        let keys = self.keys.get_or_try_init(|| archive_object::keys(ctx)).await?;
        if keys.contains(name.key) {
            return Ok(());
        }
        let Some(identity) = ctx.look_up(share, place).await? else {
            return Ok(());
        };
        let read = || ctx.storage.identify(share, storage_deadline());
        let share_id = self.share_id.get_or_try_init(read).await?;
        let mut spec = ArchiveSpec::of_name(share, &ctx.installation, identity, place, name);
        spec.share_id = Some(share_id.to_string());
        if let Some(archive) = archive_object::write(self.leader, &spec, None).await? {
            tracing::info!(%share, directory = %place, archive = archive_object::shown(&archive), "an archive had no object");
        }
        Ok(())
    }
}

/// Continues a round after an error that concerns one archive only.
pub fn go_on(share: &Share, done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(Error::FileSystemChanged(why)) => {
            tracing::warn!(%share, "the object of an archive of this share is not changed: {why}");
            Ok(())
        }
        Err(Error::Storage(error)) if !error.unanswered() => {
            tracing::warn!(%share, "an archive of this share could not be compared with its object; Bindery retries in the \
                                    next round: {error}");
            Ok(())
        }
        Err(Error::Api(error)) if is_precondition_failed(&error) || is_not_found(&error) => Ok(()),
        Err(Error::Api(error)) if archive_object::is_refused(&error) => {
            let fault = ApiFault::from(&error);
            tracing::warn!(%share, "the API server refused the object of an archive; Bindery retries in the next round: {fault}");
            Ok(())
        }
        // Another reconcile has changed the object. The next round looks again.
        Err(Error::Changed | Error::ArchiveInUse(_) | Error::BeingRestored(_)) => Ok(()),
        done => done,
    }
}

/// Looks for an archive that the round has not seen.
async fn missing(leader: &Leader, object: &CachedArchive, record: &ArchiveRecord) -> Result<(), Error> {
    let now = Timestamp::now();
    let is_given_up = object.missing_since.is_some_and(|since| is_given_up(since, now));
    let has_expired = record.expires().is_some_and(|until| until <= now);
    let is_known = object.phase == Some(ArchivePhase::Missing) && !is_given_up && !has_expired;
    if is_known && find::find(&leader.ctx, record).await? == Found::Missing {
        return Ok(());
    }
    compare(leader, object).await
}

/// Compares an object with the share. If its directory is missing, writes that into the object, or deletes the object: after
/// a day, or at once if the archive has expired.
async fn compare(leader: &Leader, object: &CachedArchive) -> Result<(), Error> {
    let ctx = &leader.ctx;
    let is_used = |archive: &Archive| archive.metadata.deletion_timestamp.is_none();
    let Some(archive) = live(ctx, object).await?.filter(is_used) else {
        return Ok(());
    };
    let Ok(record) = ArchiveRecord::read(&archive) else {
        return Ok(());
    };
    if restoration::follow(leader, &archive, &record).await? {
        return Ok(());
    }
    let found = find::find_renamed(ctx, &record).await?;
    if matches!(found, Found::At(_)) {
        return reconcile::follow(leader, &archive).await;
    }
    let now = Timestamp::now();
    let is_given_up = archive.missing_since().is_some_and(|since| is_given_up(since, now));
    let is_over = is_given_up || found == Found::Missing && is_removed(ctx, &archive, &record, now).await?;
    if !is_over {
        return status::write(ctx, &archive, &record, &found).await;
    }
    tracing::info!(
        archive = reconcile::key(object),
        "the directory has expired or is missing for a day: the object is deleted"
    );
    leader.may_act()?;
    finalizer::delete_object(&api(ctx, object), &archive).await
}

/// Returns whether Bindery has removed a directory that is missing: it has expired, or is in the trash.
async fn is_removed(ctx: &Context, archive: &Archive, record: &ArchiveRecord, now: Timestamp) -> Result<bool, Error> {
    let has_expired = record.expires().is_some_and(|until| until <= now);
    if has_expired && !is_kept(archive.keep_until(), now) {
        return Ok(true);
    }
    trash_archive::is_in_trash(ctx, record).await
}

/// Deletes the objects of which only the name of the archive was known, if another object of the same directory says more.
async fn drop_duplicates(leader: &Leader, key: &str) -> Result<(), Error> {
    let ctx = &leader.ctx;
    let mut own = ctx.cluster.archives_with_key(key).await?;
    own.retain(|archive| archive_object::is_own(ctx, archive) && archive.metadata.deletion_timestamp.is_none());
    let (named, unnamed): (Vec<_>, Vec<_>) = own.into_iter().partition(|one| one.spec.volume_name.is_some());
    let is_described = |one: &Archive| {
        named
            .iter()
            .any(|other| other.spec.directory_id == one.spec.directory_id)
    };
    let is_applied = |one: &Archive| one.keep_until().is_none() || one.keep_until() == one.keep_until_applied();
    for archive in unnamed.iter().filter(|one| is_described(one) && is_applied(one)) {
        let archives: Api<Archive> =
            Api::namespaced(ctx.cluster.client.clone(), &archive.namespace().unwrap_or_default());
        leader.may_act()?;
        finalizer::delete_object(&archives, archive).await?;
    }
    Ok(())
}

/// Deletes an object. Its directory is gone.
async fn delete_object(leader: &Leader, object: &CachedArchive) -> Result<(), Error> {
    let ctx = &leader.ctx;
    let Some(archive) = live(ctx, object).await?.filter(|_| object.maker == *ctx.installation) else {
        return Ok(());
    };
    leader.may_act()?;
    finalizer::delete_object(&api(ctx, object), &archive).await
}

async fn live(ctx: &Context, object: &CachedArchive) -> Result<Option<Archive>, Error> {
    let found = api(ctx, object).get_opt(&object.name_any()).await?;
    Ok(found.filter(|found| found.uid().as_ref() == Some(&object.uid)))
}

fn api(ctx: &Context, object: &CachedArchive) -> Api<Archive> {
    Api::namespaced(ctx.cluster.client.clone(), &object.namespace().unwrap_or_default())
}

/// Returns the shares that the objects of this installation name.
pub fn shares(leader: &Leader) -> Vec<Share> {
    let own = own(leader);
    let shares = own
        .iter()
        .filter_map(|object| Some(object.record.as_ref().ok()?.share.clone()));
    shares.collect()
}

/// Sets the metric of the objects of this installation.
pub fn count(leader: &Leader) {
    let own = own(leader);
    let phases = own.iter().map(|object| object.phase.unwrap_or_default());
    leader.ctx.metrics.archives(phases);
}

fn own(leader: &Leader) -> Vec<Arc<CachedArchive>> {
    let mut objects = leader.archives.all().unwrap_or_default();
    objects.retain(|object| object.maker == *leader.ctx.installation);
    objects
}

//! Lets the objects of archives follow a share: an archive without an object gets one, and an object whose archive is
//! gone becomes `Missing` and is deleted after a day.
//!
//! Called in the rounds of [`crate::controller::retention`].

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use kube::{Api, Resource, ResourceExt};

use super::find::{self, Found};
use super::{finalizer, reconcile, status};
use crate::cluster::cache::CachedArchive;
use crate::cluster::patch::{is_not_found, is_precondition_failed};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::leader::archive_objects::ByKey;
use crate::controller::volumes::archive_object;
use crate::model::archive::{Archive, ArchivePhase, ArchiveRecord, ArchiveSpec};
use crate::model::directory::{ArchiveName, Directory, Share};
use crate::policy::archives::is_given_up;

/// The objects during one round of a share, and the archives that the round has seen.
pub struct Round<'a> {
    leader: &'a Leader,
    share: &'a Share,
    objects: ByKey,
    seen: HashSet<String>,
    /// Whether the share shows another file system than before. Then its objects are not changed.
    is_other_file_system: AtomicBool,
}

impl<'a> Round<'a> {
    /// Begins a round. Returns nothing if archives have no objects.
    pub fn begin(leader: &'a Leader, share: &'a Share) -> Option<Self> {
        Some(Self {
            leader,
            share,
            objects: leader.archives.by_key()?,
            seen: HashSet::new(),
            is_other_file_system: AtomicBool::new(false),
        })
    }

    /// Notes that an archive is on the share.
    pub fn see(&mut self, name: &ArchiveName<'_>) {
        self.seen.insert(name.key.to_owned());
    }

    /// Gives an archive an object, or compares the object that it has with the share.
    pub async fn follow(&self, place: &Directory, name: &ArchiveName<'_>) -> Result<(), Error> {
        let objects = self.objects.get(name.key).map_or(&[][..], Vec::as_slice);
        if objects.is_empty() {
            return self.go_on(give_object(self.leader, self.share, place, name).await);
        }
        for object in objects.iter().filter(|object| self.is_stale(object, place, name)) {
            let done = async {
                match live(&self.leader.ctx, object).await? {
                    Some(archive) => reconcile::follow(self.leader, &archive).await,
                    None => Ok(()),
                }
            };
            self.go_on(done.await)?;
        }
        Ok(())
    }

    /// Deletes the objects of an archive that has expired and is in the trash.
    pub async fn expired(&self, name: &ArchiveName<'_>) -> Result<(), Error> {
        for object in self.objects.get(name.key).into_iter().flatten() {
            self.go_on(delete_object(self.leader, object).await)?;
        }
        Ok(())
    }

    /// Looks for each archive of this share that has an object and that the round has not seen.
    pub async fn finish(&self) -> Result<(), Error> {
        for object in self.objects.values().flatten() {
            let Ok(record) = &object.record else { continue };
            if self.follows(object, record) && !self.seen.contains(&record.key) {
                self.go_on(missing(self.leader, object, record).await)?;
            }
        }
        Ok(())
    }

    /// Returns whether an object follows this share in this round. A share may have several names: an object follows the
    /// one that it names.
    fn follows(&self, object: &CachedArchive, record: &ArchiveRecord) -> bool {
        record.share == *self.share
            && object.maker == *self.leader.ctx.installation
            && object.meta().deletion_timestamp.is_none()
            && !self.is_other_file_system.load(Ordering::Relaxed)
    }

    /// Returns whether an object differs from what the round has seen.
    fn is_stale(&self, object: &CachedArchive, place: &Directory, name: &ArchiveName<'_>) -> bool {
        let Ok(record) = &object.record else { return false };
        let is_same =
            record.directory == *place && object.expires == name.until && object.phase == Some(ArchivePhase::Available);
        self.follows(object, record) && !is_same
    }

    /// Continues the round after an error that concerns one object only, or only the objects of this share.
    fn go_on(&self, done: Result<(), Error>) -> Result<(), Error> {
        match done {
            Err(Error::FileSystemChanged(why)) => {
                let share = self.share;
                tracing::warn!(%share, "the objects of the archives of this share are not changed: {why}");
                self.is_other_file_system.store(true, Ordering::Relaxed);
                Ok(())
            }
            // Another reconcile has changed the object. The next round looks again.
            Err(Error::Changed | Error::ArchiveInUse(_)) => Ok(()),
            Err(Error::Api(error)) if is_precondition_failed(&error) || is_not_found(&error) => Ok(()),
            done => done,
        }
    }
}

/// Writes the object of an archive that has none: the archive was made by an earlier version, while the definition was not
/// installed, or before the API server was restored from a backup.
async fn give_object(leader: &Leader, share: &Share, place: &Directory, name: &ArchiveName<'_>) -> Result<(), Error> {
    let ctx = &leader.ctx;
    // The cache may be behind.
    if !archive_object::with_key(ctx, name.key).await?.is_empty() {
        return Ok(());
    }
    let Some(identity) = ctx.look_up(share, place).await? else {
        return Ok(());
    };
    let spec = ArchiveSpec::of_name(share, &ctx.installation, identity, place, name);
    if let Some(archive) = archive_object::write(leader, &spec, None).await? {
        tracing::info!(%share, directory = %place, archive = archive_object::shown(&archive), "an archive had no object");
    }
    Ok(())
}

/// Looks for an archive that the round has not seen. If it is missing, writes that into its object, and deletes the object
/// after a day.
async fn missing(leader: &Leader, object: &CachedArchive, record: &ArchiveRecord) -> Result<(), Error> {
    let ctx = &leader.ctx;
    let found = find::find(ctx, record).await?;
    let is_gone = matches!(found, Found::Missing);
    if is_gone
        && let Some(since) = object.missing_since
        && is_given_up(since, Timestamp::now())
    {
        tracing::info!(
            archive = reconcile::key(object),
            "the directory is missing for a day: the object is deleted"
        );
        return delete_object(leader, object).await;
    }
    if is_gone && object.phase == Some(ArchivePhase::Missing) {
        return Ok(());
    }
    match live(ctx, object).await? {
        Some(archive) => status::write(ctx, &archive, record, &found).await,
        None => Ok(()),
    }
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

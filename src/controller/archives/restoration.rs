//! Archives that are given to claims. The volume that gets an archive says what becomes of the object.

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use super::find::{self, Found};
use crate::cluster::archives::write_status;
use crate::cluster::cache::{CachedArchive, CachedVolume};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::volumes::archive_finalizer as finalizer;
use crate::controller::volumes::archive_object;
use crate::controller::volumes::restore::restoration_of;
use crate::model::archive::{Archive, ArchivePhase, ArchiveRecord, ArchiveStatus, restored_volume};
use crate::model::directory::Directory;
use crate::model::volume::Volume;
use crate::policy::archives::is_given_up;
use crate::storage::Moved;

/// Reads the volume that gets an archive, or has got it.
pub async fn volume_of(ctx: &Context, key: &str) -> Result<Option<Volume>, Error> {
    Ok(ctx.cluster.volume_of_archive(&restored_volume(key), key).await?)
}

/// Returns whether it is not known yet whether the claim gets the archive.
pub fn is_undecided(volume: &Volume) -> bool {
    // If the record cannot be read, nothing is known.
    let is_being_restored = volume
        .record
        .as_ref()
        .map_or(true, |record| record.being_restored().is_some());
    is_being_restored && !volume.had_claim()
}

/// Follows the volume that gets this archive. Returns whether there is one, or whether the object was deleted: then nothing
/// else is to be done for the object.
pub async fn follow(leader: &Leader, archive: &Archive, record: &ArchiveRecord) -> Result<bool, Error> {
    let ctx = &leader.ctx;
    let Some(volume) = volume_of(ctx, &record.key).await? else {
        return without_volume(leader, archive, record).await;
    };
    let now = Timestamp::now();
    if archive.restored_since().is_some_and(|since| is_given_up(since, now)) && !is_undecided(&volume) {
        delete(leader, archive).await?;
        return Ok(true);
    }
    let restoration = restoration_of(&volume);
    let status = ArchiveStatus::of_restore(archive, restoration, !is_undecided(&volume), now);
    if archive.status.as_ref() != Some(&status) {
        write_status(&api(ctx, archive), archive, &status).await?;
        if status.phase == ArchivePhase::Restored {
            ctx.metrics.step("archive_restored");
        }
    }
    Ok(true)
}

/// The volume is gone, or there was none. If the archive was restored, and is not on the share again, its object goes. If the
/// directory is at the path of the volume, it becomes the archive again.
async fn without_volume(leader: &Leader, archive: &Archive, record: &ArchiveRecord) -> Result<bool, Error> {
    let ctx = &leader.ctx;
    let Some(status) = &archive.status else {
        return Ok(false);
    };
    if status.restore.is_none() || find::find_renamed(ctx, record).await? != Found::Missing {
        return Ok(false);
    }
    if status.phase == ArchivePhase::Restored {
        delete(leader, archive).await?;
        return Ok(true);
    }
    move_back(leader, archive, record).await?;
    Ok(false)
}

/// Makes the directory the archive again, if it is at the path of the volume that was to get it, and no volume has it. A
/// request that was sent before that volume was removed took effect later. Returns whether the directory was moved.
pub async fn move_back(leader: &Leader, archive: &Archive, record: &ArchiveRecord) -> Result<bool, Error> {
    let ctx = &leader.ctx;
    let restore = archive.status.as_ref().and_then(|status| status.restore.as_ref());
    let Some(path) = restore.and_then(|restore| Directory::parse(&restore.directory).ok()) else {
        return Ok(false);
    };
    if ctx.look_up(&record.share, &path).await? != Some(record.identity) || has_volume(ctx, record, &path) {
        return Ok(false);
    }
    leader.may_act()?;
    let moved = ctx
        .rename(&record.share, &path, record.identity, &record.directory)
        .await?;
    tracing::warn!(
        archive = archive_object::shown(archive),
        ?moved,
        "a late request had moved the directory of this archive; Bindery has moved it back"
    );
    if moved == Moved::Done {
        ctx.metrics.step("put_back");
    }
    Ok(moved == Moved::Done)
}

/// Returns whether a volume has the directory that an archive was.
fn has_volume(ctx: &Context, archive: &ArchiveRecord, path: &Directory) -> bool {
    let has_it = |volume: &CachedVolume| {
        let has_it = |record: &crate::model::volume::Record| {
            record.identity == Some(archive.identity)
                || record.share.server() == archive.share.server()
                    && record.share.join(&record.directory) == archive.share.join(path)
        };
        volume.read().record.as_ref().is_ok_and(has_it)
    };
    !ctx.cluster.volumes.store().state_filter(has_it).is_empty()
}

async fn delete(leader: &Leader, archive: &Archive) -> Result<(), Error> {
    leader.may_act()?;
    tracing::info!(
        archive = archive_object::shown(archive),
        "a claim has the directory: the object is deleted"
    );
    finalizer::delete_object(&api(&leader.ctx, archive), archive).await
}

fn api(ctx: &Context, archive: &Archive) -> Api<Archive> {
    Api::namespaced(ctx.cluster.client.clone(), &archive.namespace().unwrap_or_default())
}

/// Returns the object of the archive that a volume gets, if it may have to follow a change of the volume.
pub fn after_volume(leader: &Leader, cached: &CachedVolume) -> Option<ObjectRef<CachedArchive>> {
    let volume = cached.read();
    let archive = volume.record.as_ref().ok()?.restored.as_ref()?;
    leader
        .ctx
        .is_own(volume)
        .then(|| ObjectRef::new(&archive.name).within(&archive.namespace))
}

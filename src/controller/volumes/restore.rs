//! The volume that gets the directory of an archive: completes it for its claim, or gives the directory back.
//!
//! [`crate::provision`] moves the directory before the claim is created. After a crash, or if the claim is not created, the
//! volume says where the directory was and where it was to go.

use jiff::Timestamp;
use kube::{Api, ResourceExt};

use super::file_system::{self, AtPath};
use super::step::Step;
use super::{archive_object, live, overlap};
use crate::cluster::archives::write_status;
use crate::controller::context::storage_deadline;
use crate::controller::error::Error;
use crate::failpoints::{self, Point};
use crate::model::archive::{ArchivePhase, ArchiveRestoration, ArchiveStatus};
use crate::model::choices::RestoreAttributes;
use crate::model::identity::Identity;
use crate::model::volume::{Origin, Restored, Volume};
use crate::provision::{Mark, RestoreTo};
use crate::storage::Moved;

/// What happened to the directory of an archive whose volume no claim got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutBack {
    /// It is the archive again, or still.
    Archive,
    /// It is at the path of the volume, because another volume has it.
    InUse,
    /// It was not found.
    Missing,
}

/// Makes sure that the directory is at the path of the volume, with the attributes that it is to have. Returns its identity.
/// An empty directory is never made in its place.
pub async fn complete(step: Step<'_>, archive: &Restored) -> Result<Identity, Error> {
    let Step {
        leader,
        ctx,
        volume,
        record,
    } = step;
    leader.may_act()?;
    let to = RestoreTo::of_volume(volume, record, archive);
    ctx.provisioner
        .restore(&to, Mark::IfPossible, storage_deadline())
        .await?;
    // The volume may use another NFS version than the archive, in which the numbers differ.
    let found = ctx.look_up(&record.share, &record.directory).await?;
    found.ok_or(Error::Changed)
}

/// Returns what the object of an archive says about the volume that gets it.
pub fn restoration_of(volume: &Volume) -> ArchiveRestoration {
    let (claim, record) = (volume.claim.as_ref(), volume.record.as_ref().ok());
    ArchiveRestoration {
        claim_name: claim.map(|claim| claim.name.clone()).unwrap_or_default(),
        directory: record.map(|record| record.directory.to_string()).unwrap_or_default(),
        volume_name: volume.name.clone(),
    }
}

/// Writes into the objects of an archive that a claim has got it. Without that, a directory that stays at its path after its
/// volume is gone would be taken for one that a late request has moved there.
pub async fn record_restored(step: Step<'_>, archive: &Restored) -> Result<(), Error> {
    let Step {
        leader, ctx, volume, ..
    } = step;
    let key = archive.key(&ctx.installation.instance);
    let Some(key) = key.filter(|_| leader.archives.is_installed() == Some(true)) else {
        return Ok(());
    };
    for object in ctx.cluster.archives_with_key(key).await? {
        let is_recorded = object.status.as_ref().map(|status| status.phase) == Some(ArchivePhase::Restored);
        if !is_recorded && archive_object::is_own(ctx, &object) {
            let status = ArchiveStatus::of_restore(&object, restoration_of(volume), true, Timestamp::now());
            let objects = Api::namespaced(ctx.cluster.client.clone(), &object.namespace().unwrap_or_default());
            write_status(&objects, &object, &status).await?;
            ctx.metrics.step("archive_restored");
        }
    }
    Ok(())
}

/// Returns the origin of the directory after a claim has got the volume.
pub fn origin_of_used(archive: &Restored) -> Origin {
    match archive.attributes {
        RestoreAttributes::Keep => Origin::Adopted,
        RestoreAttributes::Class => Origin::New,
    }
}

/// Makes the directory an archive again, under the name that it had. It is never removed, even if it is empty.
pub async fn put_back(step: Step<'_>, archive: &Restored) -> Result<PutBack, Error> {
    let Step {
        leader,
        ctx,
        volume,
        record,
    } = step;
    let share = archive.share(&record.share);
    let (path, place, identity) = (&record.directory, &archive.archive, archive.identity);
    if ctx.look_up(&share, path).await? != Some(identity) {
        // The expiry in its name may have been changed.
        let found = ctx
            .provisioner
            .place_of_archive(&record.share, archive, storage_deadline());
        if found.await?.is_some() {
            return Ok(PutBack::Archive);
        }
        // If its disk is not mounted, the directory comes back with the disk, and only this volume says what it is.
        file_system::check_file_system(step, AtPath::Nothing).await?;
        if ctx.look_up(&share, path).await? != Some(identity) {
            return Ok(PutBack::Missing);
        }
    }
    // Other volumes are compared in the NFS version of this one.
    let seen = if archive.version == record.share.version() {
        Some(identity)
    } else {
        ctx.look_up(&record.share, path).await?
    };
    if let Some(seen) = seen
        && overlap::has_another_volume(step, seen).await?
    {
        return Ok(PutBack::InUse);
    }
    // A server replaces an empty directory without an error.
    if ctx.look_up(&share, place).await?.is_some() {
        return Err(Error::ArchiveNameTaken(place.to_string(), share.to_string()));
    }
    live::being_deleted(step).await?;
    leader.may_act()?;
    let moved = ctx.rename(&share, path, identity, place).await;
    failpoints::point(Point::RestoreUndone);
    if let Err(Error::VolumeGone) = live::being_deleted(step).await {
        give_again(step, archive).await?;
        return Err(Error::VolumeGone);
    }
    match moved? {
        Moved::Done => {
            tracing::info!(volume = volume.name, %share, archive = %place, "no claim got this archive: it is put back");
            ctx.metrics.step("archive_put_back");
            Ok(PutBack::Archive)
        }
        Moved::Missing | Moved::Another(_) => Err(Error::Changed),
    }
}

/// Moves the directory to the path of the volume again, if a newer volume of this name has it there. The process was paused
/// until another replica had put the archive back, and a claim got it again.
async fn give_again(step: Step<'_>, archive: &Restored) -> Result<(), Error> {
    let Step {
        ctx, volume, record, ..
    } = step;
    let now = ctx.cluster.volume(&volume.name).await?;
    let Some(now) = now.filter(|now| !now.deleting) else {
        return Ok(());
    };
    if now.record.as_ref().is_ok_and(|now| now.directory == record.directory) {
        let share = archive.share(&record.share);
        let moved = ctx
            .rename(&share, &archive.archive, archive.identity, &record.directory)
            .await?;
        tracing::warn!(
            volume = volume.name,
            ?moved,
            "a late request had moved the directory of a newer volume; Bindery has moved it back"
        );
        ctx.metrics.step("put_back");
    }
    Ok(())
}

//! Removes the directory of an archive whose object somebody has deleted.
//!
//! What an object says is not trusted alone. Its directory is moved to the trash only if it has the name of an archive of
//! the volume that the object names, and the identity that the object records; if no other object names it; and if its
//! volume is gone. Otherwise the directory is kept, and an Event says why.
//!
//! If the directory is not found, a call that reaches the NFS server late may still make it an archive again. So the object
//! stays for a day, and the directory is removed if it returns. The object records when the directory goes to the trash:
//! after a crash, a directory that is not found then was removed.

use jiff::Timestamp;
use kube::ResourceExt;

use super::find::{self, Found};
use super::{restoration, status};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::volumes::archive_object;
use crate::controller::volumes::archive_owner::{self, OwnerState};
use crate::controller::volumes::trash_archive;
use crate::failpoints::{self, Point};
use crate::model::archive::{Archive, ArchiveRecord};
use crate::policy::archives::{is_given_up, is_kept};

/// What happened to the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the trash.
    Removed,
    /// It was gone before.
    Gone,
    /// It was not found, and may return.
    Missing,
    /// It is kept, for this reason.
    Kept(String),
}

/// Moves the directory of an archive to the trash.
pub async fn remove(leader: &Leader, archive: &Archive, record: &ArchiveRecord) -> Result<Outcome, Error> {
    let ctx = &leader.ctx;
    if let Some(other) = other_object(ctx, archive).await? {
        return Ok(Outcome::Kept(format!("Archive {other} has the same directory")));
    }
    if let Some(volume) = restoration::volume_of(ctx, &record.key).await? {
        if restoration::is_undecided(&volume) {
            return Err(Error::BeingRestored(volume.name));
        }
        return Ok(Outcome::Kept(format!(
            "it is the directory of volume {}, which is in use",
            volume.name
        )));
    }
    // An earlier attempt has moved it.
    if trash_archive::is_in_trash(ctx, record).await? {
        return Ok(Outcome::Removed);
    }
    let place = match find::find_renamed(ctx, record).await? {
        Found::Missing => return missing(leader, archive, record).await,
        Found::Replaced(place) => {
            return Ok(Outcome::Kept(format!(
                "directory {place} of share {} is not the directory that this Archive was written for",
                record.share
            )));
        }
        Found::At(place) => place,
    };
    if let Some(owner) = archive_owner::owner_of(ctx, archive) {
        match archive_owner::owner_state(leader, &owner, &record.share, &place).await? {
            OwnerState::Free => {}
            OwnerState::InCleanup => return Err(Error::ArchiveInUse(owner)),
            OwnerState::PutBack => {
                return Ok(Outcome::Kept(format!(
                    "it is the directory of volume {owner}, which is in use"
                )));
            }
        }
    }
    status::write_removing(ctx, archive, &place).await?;
    leader.may_act()?;
    if !trash_archive::move_to_trash(leader, &record.share, &place, record.identity).await? {
        return Err(Error::Changed);
    }
    failpoints::point(Point::ArchiveInTrash);
    tracing::info!(archive = archive_object::shown(archive), share = %record.share, directory = %place, "moved to the trash");
    Ok(Outcome::Removed)
}

/// The directory was not found. Looks where a late call may have moved it. Its volume may still be cleaned up, and make it
/// an archive.
async fn missing(leader: &Leader, archive: &Archive, record: &ArchiveRecord) -> Result<Outcome, Error> {
    let ctx = &leader.ctx;
    if let Some(owner) = archive_owner::owner_of(ctx, archive)
        && archive_owner::is_being_moved_to(ctx, &owner, &record.directory).await?
    {
        return Err(Error::ArchiveInUse(owner));
    }
    if archive.is_restored() {
        return Ok(Outcome::Gone);
    }
    if restoration::move_back(leader, archive, record).await? {
        // The next attempt finds it.
        return Err(Error::Changed);
    }
    if archive.is_being_removed() {
        return Ok(Outcome::Removed);
    }
    let now = Timestamp::now();
    let has_expired = record.expires().is_some_and(|until| until <= now) && !is_kept(archive.keep_until(), now);
    if has_expired || archive.missing_since().is_some_and(|since| is_given_up(since, now)) {
        return Ok(Outcome::Gone);
    }
    status::write(ctx, archive, record, &Found::Missing).await?;
    Ok(Outcome::Missing)
}

/// Returns another object with the same directory that is not being deleted.
pub async fn other_object(ctx: &Context, archive: &Archive) -> Result<Option<String>, Error> {
    let Some(key) = archive.spec.key() else { return Ok(None) };
    let all = ctx.cluster.archives_with_key(key).await?;
    let other = all
        .iter()
        .find(|other| other.uid() != archive.uid() && other.metadata.deletion_timestamp.is_none());
    Ok(other.map(archive_object::shown))
}

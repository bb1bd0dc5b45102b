//! Undoes the effect of a late request on the directory of a newer volume.
//!
//! A request is late if a replica was paused, or a call hung, until another replica had cleaned up the volume and a
//! newer volume had the same path. The identity usually distinguishes the two directories, but some file systems give
//! the inode number of a removed directory to the next one (ext4 does at once). So after each move Bindery checks that
//! the volume still exists and is still being deleted. If not, it moves the directory back, with all of its files.
//! Programs that use the directory notice nothing, because NFS clients use file handles. If the process dies in
//! between, or the check fails, the rounds of [`crate::controller::retention`] and [`super::empty_trash`] move the directory back:
//! the newer volume records its identity.

use serde_json::{Value, json};

use super::live;
use super::step::Step;
use crate::cluster::patch;
use crate::controller::context::storage_deadline;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::directory::{Directory, Share, TrashRoot};
use crate::model::identity::Identity;
use crate::model::names::volume_annotation;
use crate::model::share_id::View;
use crate::model::volume::Record;
use crate::storage::{Outcome, Removed};

/// Removes the directory of a volume if it is empty. If it was the directory of a newer volume, the controller creates
/// it again, and no file is lost.
pub async fn remove_empty(step: Step<'_>, identity: Identity) -> Result<Removed, Error> {
    let Step {
        leader, ctx, record, ..
    } = step;
    // The directory was looked up before this read. If the volume still exists, the directory was the volume's own.
    live::being_deleted(step).await?;
    leader.may_act()?;
    let removed = ctx
        .storage
        .remove_empty(&record.share, &record.directory, identity, storage_deadline())
        .await;
    let may_be_gone = match &removed {
        // If the answer to the call was lost and the call was repeated, the result is `Missing`.
        Ok(removed) => matches!(removed, Removed::Done | Removed::Missing),
        Err(error) => error.outcome == Outcome::Unknown,
    };
    if may_be_gone {
        let checked = live::being_deleted(step).await;
        if let Err(Error::VolumeGone) = checked {
            mark_not_ready(step).await?;
        }
        checked?;
    }
    Ok(removed?)
}

/// Moves a directory back that belongs to a newer volume at the same path. If that path is in use again, the directory
/// becomes an archive that never expires, because it holds files of a user.
pub async fn put_back(step: Step<'_>, identity: Identity, from: &Directory) -> Result<(), Error> {
    let Step {
        ctx, volume, record, ..
    } = step;
    let (share, directory) = (&record.share, &record.directory);
    if ctx.look_up(share, from).await? != Some(identity) {
        return Ok(());
    }
    let mut to = directory.clone();
    if ctx.look_up(share, directory).await?.is_some() {
        if from.is_kept_forever() {
            return Ok(());
        }
        to = TrashRoot::containing(from).place(&step.archive(jiff::Timestamp::now(), None));
    }
    let moved = ctx.rename(share, from, identity, &to).await?;
    tracing::warn!(
        volume = volume.name, %share, %directory, %from, %to, ?moved,
        "a late request had moved the directory of a newer volume; Bindery has moved it to this path"
    );
    ctx.metrics.step("put_back");
    Ok(())
}

/// Moves a directory back if it belongs to a volume that is not being deleted. Returns whether it does. The directory
/// was looked up before the volume was read, so the cleanup of that volume cannot have moved it.
pub async fn put_back_to_owner(leader: &Leader, owner: &str, share: &Share, place: &Directory) -> Result<bool, Error> {
    let Some(found) = leader.ctx.look_up(share, place).await? else {
        return Ok(false);
    };
    let Some(volume) = leader.ctx.cluster.volume(owner).await? else {
        return Ok(false);
    };
    let Ok(record) = &volume.record else { return Ok(false) };
    if volume.deleting || record.share != *share || record.identity != Some(found) {
        return Ok(false);
    }
    if is_another_directory(leader, (share, place), record, found).await? {
        return Ok(false);
    }
    leader.may_act()?;
    put_back(Step::new(leader, &volume, record), found, place).await?;
    Ok(true)
}

/// Returns whether the directory at this place is certainly not the directory of a volume, although both have the same
/// identity. On btrfs, each subvolume has its own file numbers, and Linux reports one file system number for all subvolumes
/// below an export.
///
/// It is another one if the volume's is at its path, and was last changed at another time. The time shows that the two are
/// not one directory with two paths, such as a bind mount. The place is looked up before and after, since its directory may
/// be changed in the meantime, or a late request may move it.
///
/// Two names of a server may be two gateways that cache attributes, and a mount may show a path for a while after another
/// node has moved the directory. So they prove nothing.
pub async fn is_another_directory(
    leader: &Leader,
    (share, place): (&Share, &Directory),
    record: &Record,
    identity: Identity,
) -> Result<bool, Error> {
    if share.server() != record.share.server() {
        return Ok(false);
    }
    for share in [share, &record.share] {
        if leader.ctx.storage.identify(share, storage_deadline()).await?.view == View::Mounted {
            return Ok(false);
        }
    }
    let look_up = async |share: &Share, directory: &Directory| {
        let found = leader.ctx.storage.look_up(share, directory, storage_deadline()).await?;
        Ok::<_, Error>(
            found
                .filter(|found| found.identity == identity)
                .and_then(|found| found.changed),
        )
    };
    let before = look_up(share, place).await?;
    let at_path = look_up(&record.share, &record.directory).await?;
    let after = look_up(share, place).await?;
    Ok(before.is_some() && before == after && at_path.is_some() && at_path != before)
}

/// Marks the newer volume of this name as not ready, so that its next reconcile creates its directory again.
async fn mark_not_ready(step: Step<'_>) -> Result<(), Error> {
    let Step { ctx, volume, .. } = step;
    let Some(now) = ctx.cluster.volume(&volume.name).await? else {
        return Ok(());
    };
    if now.uid != volume.uid && now.ready && !now.deleting {
        tracing::warn!(
            volume = now.name,
            "a cleanup of an earlier volume may have removed the empty directory of this one; Bindery creates it again"
        );
        let unready = json!({"metadata": {"annotations": {
            volume_annotation::READY: Value::Null,
            volume_annotation::DIRECTORY_ID: Value::Null,
        }}});
        patch::merge(&ctx.persistent_volumes(), &now, unready).await?;
    }
    Ok(())
}

//! Checks all shares in rounds: moves expired archives to the trash, sends the directories in the trash to
//! [`super::empty_trash`], and looks for [`super::lost_directories`].
//!
//! Triggers: a timer, because a share cannot be watched; and a server that answers again. The name of an archive
//! contains its installation and the time when it expires. The archive of a volume whose cleanup has not ended is kept,
//! because the policy may still change. The directory of a volume that is not being deleted is moved back to its path.
//! Archives and trash are in the trash roots of the share ([`TrashRoot`]).

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use tokio::time::sleep;

use super::{lost_directories, put_back, trash_roots};
use crate::cluster::cache::CachedVolume;
use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::directory::{Directory, InTrash, Share, TrashRoot};
use crate::model::volume::Record;
use crate::policy::class::Class;
use crate::storage::Moved;

/// Makes a round now and after each interval. When a server answers again, checks its shares at once. Never returns.
pub async fn run(leader: &Leader) {
    let pause = leader.ctx.options.retention_interval;
    let mut back = pin!(leader.ctx.outages.recoveries());
    loop {
        clean_shares(leader, |_| true, pause).await;
        let mut next = pin!(sleep(pause));
        loop {
            tokio::select! {
                () = &mut next => break,
                Some(server) = back.next() => clean_shares(leader, |share| server.may_concern(share.server()), pause).await,
            }
        }
    }
}

/// The volumes of this installation. The key is the tag in the names of their archives.
type Owners = HashMap<String, Arc<CachedVolume>>;

/// Returns every share that a class or a volume of this installation names.
fn shares(ctx: &Context) -> BTreeSet<Share> {
    let classes = ctx.cluster.classes.store().state();
    let ours = classes
        .iter()
        .filter(|class| class.provisioner == ctx.installation.provisioner);
    let of_classes = ours.filter_map(|class| Some(Class::read(class, &ctx.defaults).ok()?.share_with_version()));
    let volumes = ctx.cluster.volumes.store().state();
    let of_volumes = volumes.iter().filter_map(|volume| {
        let volume = volume.read();
        let ours = ctx.is_own(volume);
        Some(volume.record.as_ref().ok().filter(|_| ours)?.share.clone())
    });
    of_classes.chain(of_volumes).collect()
}

async fn clean_shares(leader: &Leader, which: impl Fn(&Share) -> bool, pause: Duration) {
    for share in shares(&leader.ctx).into_iter().filter(which) {
        let cleaned = clean_share(leader, &share).await;
        let looked = lost_directories::report(leader, &share).await;
        if let Err(error) = cleaned.and(looked) {
            tracing::warn!(%share, "could not check the archives, the trash and the directories of a share; Bindery \
                                    retries in {pause:?}: {error}");
        }
    }
}

/// Checks one share. If the NFS server refuses a request, the round continues with the next entry. If the NFS server or
/// the API server does not answer, the rest of the share is checked in the next round.
async fn clean_share(leader: &Leader, share: &Share) -> Result<(), Error> {
    let ctx = &leader.ctx;
    let trash_roots = trash_roots::trash_roots(ctx, share).await?;
    // The trash comes first, because removals may take long. The rest of the round does not wait for them.
    for root in &trash_roots {
        let trash = root.place(&Directory::trash());
        for name in ctx.storage.list(share, Some(&trash), storage_deadline()).await? {
            if let Some(found) = InTrash::read(&name, &ctx.installation.instance) {
                leader.remove_from_trash(share, root.place(&found.place));
            }
        }
    }
    for root in &trash_roots {
        let names = ctx.storage.list(share, root.directory(), storage_deadline()).await?;
        // The volumes are read after the list, so that the volume of each archive in the list is among them.
        let owners = owners(ctx);
        for name in names {
            match check_archive(leader, share, root, &name, &owners).await {
                Err(Error::Storage(error)) if !error.unanswered() => {
                    tracing::warn!(%share, name, "could not handle this entry of the share; Bindery retries in the \
                                                  next round: {error}");
                    ctx.metrics.step("not_removed");
                }
                done => done?,
            }
        }
    }
    Ok(())
}

async fn check_archive(
    leader: &Leader,
    share: &Share,
    root: &TrashRoot,
    name: &str,
    owners: &Owners,
) -> Result<(), Error> {
    let ctx = &leader.ctx;
    if let Some(owner) = Directory::tag_of(name).and_then(|tag| owners.get(tag))
        && let Some(place) = root.child(name)
    {
        let owner = &owner.read().name;
        if put_back::put_back_to_owner(leader, owner, share, &place).await?
            || is_being_moved_to(ctx, owner, &place).await?
        {
            return Ok(());
        }
    }
    match Directory::expiring(name, &ctx.installation.instance) {
        Some((archive, until)) if until <= Timestamp::now() => expire(leader, share, root, &archive).await,
        _ => Ok(()),
    }
}

/// Returns whether the volume still exists, and records this place for its directory or has an invalid record.
async fn is_being_moved_to(ctx: &Context, owner: &str, place: &Directory) -> Result<bool, Error> {
    let volume = ctx.cluster.volume(owner).await?;
    let is_elsewhere = |record: &Record| !record.moved_to.contains(place);
    Ok(volume.is_some_and(|volume| !volume.record.as_ref().is_ok_and(is_elsewhere)))
}

/// Returns the volumes of all shares, because one share may have several names.
fn owners(ctx: &Context) -> Owners {
    let may_own = |volume: &CachedVolume| ctx.is_own(volume.read());
    let owners = ctx.cluster.volumes.store().state_filter(may_own).into_iter();
    owners
        .map(|volume| {
            (
                Directory::archive_tag(&ctx.installation.instance, &volume.read().name),
                volume,
            )
        })
        .collect()
}

async fn expire(leader: &Leader, share: &Share, root: &TrashRoot, archive: &Directory) -> Result<(), Error> {
    let ctx = &leader.ctx;
    let trash = root.place(&Directory::in_trash_without_uid(
        &ctx.installation.instance,
        archive.as_str(),
    ));
    let archive = &root.place(archive);
    let Some(identity) = ctx.look_up(share, archive).await? else {
        return Ok(());
    };
    trash_roots::make_trash(leader, share, root).await?;
    leader.may_act()?;
    if ctx.rename(share, archive, identity, &trash).await? == Moved::Done {
        tracing::info!(%share, %archive, "the archive has expired and is removed");
        ctx.metrics.step("archive_expired");
        leader.remove_from_trash(share, trash);
    }
    Ok(())
}

//! Checks all shares in rounds: moves expired archives to the trash, compares the others with their objects
//! ([`super::archives::follow`]), sends the directories in the trash to [`super::volumes::empty_trash`], and looks for
//! [`super::volumes::lost_directories`].
//!
//! Triggers: a timer, because a share cannot be watched; and a server that answers again. The name of an archive
//! contains its installation and the time when it expires. The archive of a volume whose cleanup has not ended is kept,
//! because the policy may still change; so is an archive whose object says so. The directory of a volume that is not
//! being deleted is moved back to its path. Archives and trash are in the trash roots of the share ([`crate::model::directory::TrashRoot`]).

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::time::{sleep, timeout};

use super::archives::follow::{self, Round};
use super::archives::kept;
use super::volumes::archive_owner::{self, OwnerState};
use super::volumes::{lost_directories, put_back, trash_archive, trash_roots};
use crate::cluster::cache::CachedVolume;
use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::shares_in_use::shares_in_use;
use crate::model::archive::restored_volume;
use crate::model::directory::{ArchiveName, Directory, InTrash, Share};

/// How long the first round waits for the objects of archives.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Makes a round when the objects of archives are known, and after each interval. When a server answers again, checks its
/// shares at once. Never returns.
pub async fn run(leader: &Leader) {
    let pause = leader.ctx.options.retention_interval;
    let mut back = pin!(leader.ctx.outages.recoveries());
    // The trash need not wait for the API server for long.
    let _ = timeout(LONGEST_WAIT, leader.archives.until_known()).await;
    loop {
        clean_shares(leader, |_| true, pause).await;
        let mut next = pin!(sleep(pause));
        loop {
            tokio::select! {
                () = &mut next => break,
                () = leader.archives.until_known() => break,
                Some(server) = back.next() => clean_shares(leader, |share| server.may_concern(share.server()), pause).await,
            }
        }
    }
}

/// The volumes of this instance. The key is the tag in the names of their archives.
type Owners = HashMap<String, Arc<CachedVolume>>;

async fn clean_shares(leader: &Leader, which: impl Fn(&Share) -> bool, pause: Duration) {
    for share in shares_in_use(leader).into_iter().filter(which) {
        let cleaned = clean_share(leader, &share).await;
        let looked = lost_directories::report(leader, &share).await;
        if let Err(error) = cleaned.and(looked) {
            tracing::warn!(%share, "could not check the archives, the trash and the directories of a share; Bindery \
                                    retries in {pause:?}: {error}");
        }
    }
    follow::count(leader);
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
    let mut round = Round::begin(leader, share);
    for root in &trash_roots {
        let names = ctx.storage.list(share, root.directory(), storage_deadline()).await?;
        // The volumes are read after the list, so that the volume of each archive in the list is among them.
        let owners = owners(ctx);
        if let Some(round) = &mut round {
            round.next_root();
        }
        for name in names {
            let Some(archive) = ArchiveName::read(&name, &ctx.installation.instance) else {
                continue;
            };
            let Some(place) = root.child(&name) else { continue };
            if let Some(round) = &mut round {
                round.see(&archive);
            }
            let checked = check_archive(leader, share, &place, &archive, &owners, round.as_ref()).await;
            match checked {
                Err(Error::Storage(error)) if !error.unanswered() => {
                    tracing::warn!(%share, name, "could not handle this entry of the share; Bindery retries in the \
                                                  next round: {error}");
                    ctx.metrics.step("not_removed");
                }
                done => done?,
            }
        }
    }
    match &round {
        Some(round) => round.finish().await,
        None => Ok(()),
    }
}

/// Checks one archive: moves it back to its volume, or moves it to the trash if it has expired, or compares it with its
/// object.
async fn check_archive(
    leader: &Leader,
    share: &Share,
    place: &Directory,
    name: &ArchiveName<'_>,
    owners: &Owners,
    round: Option<&Round<'_>>,
) -> Result<(), Error> {
    if let Some(owner) = owners.get(name.tag())
        && archive_owner::owner_state(leader, &owner.read().name, share, place).await? != OwnerState::Free
    {
        return Ok(());
    }
    let volume = restored_volume(name.key);
    if is_cached(leader, &volume) && is_of_volume(leader, &volume, share, place, name).await? {
        return Ok(());
    }
    if name.until.is_some_and(|until| until <= Timestamp::now()) {
        // The webhook of another replica may just have created the volume.
        if is_of_volume(leader, &volume, share, place, name).await? {
            return Ok(());
        }
        if kept::is_still_needed(leader, share, name).await? {
            return Ok(());
        }
        let is_in_trash = expire(leader, share, place).await?;
        return match round.filter(|_| is_in_trash) {
            Some(round) => round.expired(name).await,
            None => Ok(()),
        };
    }
    match round {
        Some(round) => round.follow(place, name).await,
        None => Ok(()),
    }
}

fn is_cached(leader: &Leader, volume: &str) -> bool {
    leader.ctx.cluster.volumes.get(&ObjectRef::new(volume)).is_some()
}

/// Returns whether a volume gets this archive, or has got it. Then a late request may have made its directory an archive
/// again, and it is moved back.
async fn is_of_volume(
    leader: &Leader,
    volume: &str,
    share: &Share,
    place: &Directory,
    name: &ArchiveName<'_>,
) -> Result<bool, Error> {
    if leader.ctx.cluster.volume_of_archive(volume, name.key).await?.is_none() {
        return Ok(false);
    }
    put_back::put_back_to_owner(leader, volume, share, place).await?;
    Ok(true)
}

/// Returns the volumes of all shares, because one share may have several names.
fn owners(ctx: &Context) -> Owners {
    archive_owner::all(ctx)
        .into_iter()
        .map(|volume| {
            (
                Directory::archive_tag(&ctx.installation.instance, &volume.read().name),
                volume,
            )
        })
        .collect()
}

/// Moves an archive to the trash. Returns whether it was moved.
async fn expire(leader: &Leader, share: &Share, place: &Directory) -> Result<bool, Error> {
    let ctx = &leader.ctx;
    let Some(identity) = ctx.look_up(share, place).await? else {
        return Ok(false);
    };
    if !trash_archive::move_to_trash(leader, share, place, identity).await? {
        return Ok(false);
    }
    tracing::info!(%share, archive = %place, "the archive has expired and is removed");
    ctx.metrics.step("archive_expired");
    Ok(true)
}

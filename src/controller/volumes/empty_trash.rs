//! Removes the directories in the trash. Their volumes may not exist any more.
//!
//! Trigger: a cleanup, or a round of [`crate::controller::retention`], sends a directory. Each directory has its own task, which
//! ends when the directory is gone or must not be removed. For each server at most three tasks run at the same time.
//! After each call a task lets the next one run, so a large tree does not delay small ones. A removal that fails is
//! retried after a pause that doubles, or when the server answers again.
//!
//! The name of a directory in the trash contains the installation, and the name and uid of its volume. While that
//! volume waits for its cleanup, this loop does not touch the directory. If the volume is gone and the directory has an
//! aside name, a late request moved it there, and it is kept. If a volume in use records the identity of the directory,
//! the directory is moved back to the path of that volume, unless it is certainly another directory.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{StreamExt, future};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::put_back;
use crate::cluster::cache::CachedVolume;
use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::controller::leader::server_queue::ServerQueue;
use crate::controller::leader::{Leader, TrashEntry};
use crate::model::directory::{Directory, InTrash, Share, TrashRoot};
use crate::model::identity::Identity;
use crate::model::names::{is_object_name, reason};
use crate::model::volume::{Phase, Record};
use crate::ops::metrics::Metrics;
use crate::policy::class::Class;
use crate::policy::groups;
use crate::storage::{Moved, Tree};

/// The maximum number of trees of one NFS server that are removed at the same time. Nobody waits for them.
const PARALLEL: usize = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Empties the trash for one term of leadership. Never returns.
pub async fn run(leader: &Leader, mut handed_over: mpsc::UnboundedReceiver<TrashEntry>) {
    let removals = ServerQueue::new(PARALLEL);
    let _reset = ResetMetric(&leader.ctx.metrics);
    let mut in_progress = FuturesUnordered::new();
    let mut known = HashSet::new();
    loop {
        tokio::select! {
            Some(entry) = handed_over.recv() => {
                if known.insert(entry.clone()) {
                    in_progress.push(empty(leader, &removals, entry));
                }
            }
            Some(entry) = in_progress.next() => {
                known.remove(&entry);
            }
            else => return,
        }
        leader.ctx.metrics.in_trash(known.len());
    }
}

/// Sets the metric to 0 at the end of the term, because only the leader knows the number.
struct ResetMetric<'a>(&'a Metrics);

impl Drop for ResetMetric<'_> {
    fn drop(&mut self) {
        self.0.in_trash(0);
    }
}

/// Removes a directory in the trash, in as many attempts as needed. Returns the entry when nothing is left to do.
async fn empty(leader: &Leader, removals: &ServerQueue, entry: TrashEntry) -> TrashEntry {
    let ctx = &leader.ctx;
    let mut pause = FIRST_PAUSE;
    loop {
        let permit = removals.acquire(entry.share.server(), None).await;
        let error = match remove_some(leader, &entry).await {
            Ok(true) | Err(Error::NotLeading) => return entry,
            Ok(false) => {
                pause = FIRST_PAUSE;
                continue;
            }
            Err(error) => error,
        };
        drop(permit);
        report_not_removed(ctx, &entry, &error, pause);
        let back = ctx.outages.recoveries();
        let mut back = pin!(back.filter(|server| future::ready(server.may_concern(entry.share.server()))));
        // Waits until the pause is over, or the server answers again.
        let _ = timeout(pause, back.next()).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Removes as much as is possible in one call to the server. Returns whether nothing is left to do: the directory is
/// gone, or it must not be removed.
async fn remove_some(leader: &Leader, entry: &TrashEntry) -> Result<bool, Error> {
    let ctx = &leader.ctx;
    let TrashEntry { share, place } = entry;
    let Some(name) = InTrash::read(place.split_last().1, &ctx.installation.instance) else {
        return Ok(true);
    };
    if is_being_cleaned(ctx, &name).await? {
        return Ok(true);
    }
    let Some(identity) = ctx.look_up(share, place).await? else {
        return Ok(true);
    };
    for owner in volumes_in_use(ctx, share, identity).await? {
        let owner = owner.read();
        if let Ok(record) = &owner.record
            && put_back::is_another_directory(leader, (share, place), record, identity).await?
        {
            continue;
        }
        // If that volume is being deleted, the directory is checked again in the next round.
        put_back::put_back_to_owner(leader, &owner.name, share, place).await?;
        return Ok(true);
    }
    leader.may_act()?;
    if name.aside {
        archive_forever(ctx, entry, identity).await?;
        return Ok(true);
    }
    if ctx.storage.remove_tree(share, place, storage_deadline()).await? == Tree::Remains {
        return Ok(false);
    }
    tracing::info!(%share, trash = %place, "removed a directory from the trash");
    ctx.metrics.removed_from_trash.inc();
    Ok(true)
}

/// Returns whether the volume of a directory still waits for its cleanup.
async fn is_being_cleaned(ctx: &Context, name: &InTrash<'_>) -> Result<bool, Error> {
    // The directory has only the beginning of a long name of a volume. Such a volume is found by its uid.
    let cut_name = || {
        let is_it = |volume: &CachedVolume| Some(&*volume.read().uid) == name.uid;
        let found = ctx.cluster.volumes.store().find(is_it);
        found.map(|volume| volume.name_any())
    };
    let owner = if is_object_name(name.owner) {
        Some(name.owner.to_owned())
    } else {
        cut_name()
    };
    let Some(owner) = owner else { return Ok(false) };
    let volume = ctx.cluster.volume(&owner).await?;
    Ok(volume.is_some_and(|volume| name.uid.is_none_or(|uid| volume.uid == uid && volume.has_finalizer)))
}

/// Returns the volumes in use that record a directory with this identity, under any name of the server. Those of the same
/// share come first.
async fn volumes_in_use(ctx: &Context, share: &Share, identity: Identity) -> Result<Vec<Arc<CachedVolume>>, Error> {
    let mut owners = ctx.cluster.volumes.store().state_filter(|volume| {
        let volume = volume.read();
        let is_given = |record: &Record| record.identity == Some(identity);
        let in_use = !volume.deleting || volume.phase == Phase::Bound;
        ctx.is_own(volume) && in_use && volume.record.as_ref().is_ok_and(is_given)
    });
    if owners.is_empty() {
        return Ok(owners);
    }
    let view = ctx.storage.identify(share, storage_deadline()).await?.view;
    let record_is =
        |volume: &CachedVolume, test: &dyn Fn(&Record) -> bool| volume.read().record.as_ref().is_ok_and(test);
    let is_here = |volume: &CachedVolume| record_is(volume, &|record| record.share == *share);
    owners.retain(|owner| is_here(owner) || record_is(owner, &|record| record.location().view() == view));
    owners.sort_by_key(|owner| !is_here(owner));
    Ok(owners)
}

/// Makes an archive that never expires of a directory whose volume is gone and for which no policy is known.
async fn archive_forever(ctx: &Context, entry: &TrashEntry, identity: Identity) -> Result<(), Error> {
    let TrashEntry { share, place } = entry;
    let classes = ctx.cluster.classes.store().state();
    let found = ctx.storage.look_up(share, place, storage_deadline()).await?;
    let own_group = found.and_then(|found| found.gid);
    let own_group = own_group.filter(|gid| groups::is_in_a_range(*gid, &classes));
    let archive = Directory::archive_of_aside(place, jiff::Timestamp::now(), &ctx.installation.instance, own_group);
    let archive = TrashRoot::containing(place).place(&archive);
    if ctx.rename(share, place, identity, &archive).await? == Moved::Done {
        tracing::warn!(
            %share, from = %place, to = %archive,
            "a directory was moved aside for a volume that no longer exists, and no policy says that it may be \
             removed: it is kept"
        );
        ctx.metrics.step("put_back");
    }
    Ok(())
}

fn report_not_removed(ctx: &Context, entry: &TrashEntry, error: &Error, pause: Duration) {
    let TrashEntry { share, place } = entry;
    tracing::warn!(%share, trash = %place, ?pause, "could not remove a directory from the trash; Bindery retries: {error}");
    ctx.metrics.not_removed_from_trash.inc();
    // Outages of servers are reported elsewhere.
    let Error::Storage(error) = error else { return };
    if error.unanswered() {
        return;
    }
    let is_of_share = |class: &StorageClass| {
        let read = Class::read(class, &ctx.defaults).ok();
        class.provisioner == ctx.installation.provisioner
            && read.is_some_and(|read| read.share_with_version() == *share)
    };
    let note = format!("{place} of share {share} cannot be removed: {error}. Bindery retries");
    for class in ctx.cluster.classes.store().state_filter(is_of_share) {
        ctx.events.warn(&*class, reason::TRASH_NOT_EMPTIED, note.clone());
    }
}

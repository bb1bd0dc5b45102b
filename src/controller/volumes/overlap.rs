//! Finds other volumes with the same directory, or one above or inside it, before a directory is created or moved.

use kube::ResourceExt;

use super::destination::same_policy;
use super::find::FoundAt;
use super::step::Step;
use super::{aliases, find, live};
use crate::cluster::cache::CachedVolume;
use crate::cluster::patch::{self, set_annotation};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::model::identity::Identity;
use crate::model::location::{Evidence, Location, Overlap, Relation};
use crate::model::names::{reason, volume_annotation};
use crate::model::volume::{Phase, Volume};
use crate::policy::reconcile::Plan;
use crate::policy::shared_directory::{CleanupOrder, cleanup_order, inherited};

/// Whether another volume has an overlapping directory.
pub enum OverlapState {
    /// No other volume.
    None,
    /// The named volume, which a claim has had or which Bindery did not create.
    InUse(String),
    /// The named volume, which is being created and will be removed again.
    BeingCreated(String),
}

/// Returns why the directory of a volume is kept: another volume uses it, or a directory above or inside it. The volume
/// is already being deleted, so of two volumes at least one sees the other.
///
/// Fails if the cleanup of another volume comes first, or another volume is being created and will be removed again.
pub async fn reason_to_keep(step: Step<'_>) -> Result<Option<String>, Error> {
    wait_for_cache(step).await?;
    let mut location = step.record.location();
    let mut reason = recorded_reason_to_keep(step, &location).await?;
    if reason.is_none() && location.identity.is_none() {
        location.identity = match find::find(step).await? {
            FoundAt::Path(identity) | FoundAt::Moved(identity, _) => Some(identity),
            FoundAt::Missing | FoundAt::Replaced => None,
        };
        reason = recorded_reason_to_keep(step, &location).await?;
    }
    match reason {
        None => aliases::foreign_volume_using(step, &location).await,
        reason => Ok(reason),
    }
}

/// Fails if the cleanup of another volume comes first. Writes the policy to volumes that stay and hold files of this
/// one. The NFS server is not asked.
pub async fn wait_for_other_cleanups(step: Step<'_>) -> Result<(), Error> {
    wait_for_cache(step).await?;
    for (cleanup_order, other, overlap) in cleanup_orders(step, &step.record.location()).await? {
        match cleanup_order {
            CleanupOrder::WaitForCleanup => wait_for_cleanup_of(step, &other).await?,
            CleanupOrder::KeepDirectory => write_inherited_policy(step, &other, overlap).await?,
            CleanupOrder::WaitForRollback | CleanupOrder::Proceed => {}
        }
    }
    Ok(())
}

/// Waits until the cache has this version of the volume. Fails if that takes too long.
pub async fn wait_for_cache(step: Step<'_>) -> Result<(), Error> {
    let Step { ctx, volume, .. } = step;
    let is_current = ctx.cluster.wait_for_version(&volume.name, &volume.version).await;
    if is_current { Ok(()) } else { Err(Error::CacheBehind) }
}

/// Returns the same as [`reason_to_keep`], but compares only the records of the volumes.
async fn recorded_reason_to_keep(step: Step<'_>, location: &Location<'_>) -> Result<Option<String>, Error> {
    let mut reason = None;
    for (cleanup_order, other, overlap) in cleanup_orders(step, location).await? {
        match cleanup_order {
            CleanupOrder::KeepDirectory => {
                write_inherited_policy(step, &other, overlap).await?;
                reason.get_or_insert_with(|| describe_overlap(step.ctx, &other, overlap));
            }
            CleanupOrder::Proceed => {}
            _ if reason.is_some() => {}
            CleanupOrder::WaitForRollback => return Err(Error::OverlapBeingCreated(other.name)),
            CleanupOrder::WaitForCleanup => wait_for_cleanup_of(step, &other).await?,
        }
    }
    Ok(reason)
}

/// Writes the policy of this volume, which is being cleaned up, to another volume that stays and also holds its files.
/// Does so only if the policy of this volume keeps more.
async fn write_inherited_policy(step: Step<'_>, other: &Volume, overlap: Overlap) -> Result<(), Error> {
    let Step { ctx, volume, .. } = step;
    let inherited = inherited(volume, other, overlap, &ctx.installation);
    let (Some((on_delete, retention)), Ok(other_record)) = (inherited, &other.record) else {
        return Ok(());
    };
    // If the policy of the other volume was changed in the meantime, the patch fails: the new policy may keep even
    // more.
    let mut operations = same_policy(other, other_record);
    operations.extend([
        patch::test_uid(other),
        set_annotation(volume_annotation::ON_DELETE, on_delete.as_str()),
    ]);
    operations.extend(
        retention.map(|retention| set_annotation(volume_annotation::ARCHIVE_RETENTION, &retention.to_string())),
    );
    step.leader.may_act()?;
    let written = patch::apply(&ctx.persistent_volumes(), &other.name, operations).await;
    written.map_err(|error| Error::PolicyNotWritten(other.name.clone(), error))?;
    let kept = retention.map_or_else(String::new, |retention| format!(", archiveRetention {retention}"));
    let note = format!(
        "onDelete of this volume is now {on_delete}{kept}: its directory also holds the files of volume {}, which was \
         deleted and whose policy keeps more ({}). To change it: kubectl annotate pv --overwrite {} {}=...",
        volume.name,
        step.directory(),
        other.name,
        volume_annotation::ON_DELETE,
    );
    ctx.events.warn_by_cause(other, reason::RETAINED, &volume.uid, note);
    Ok(())
}

/// Returns the overlapping volumes, each with the order in which it and this volume are cleaned up. Reads each volume
/// from the API server.
async fn cleanup_orders(
    step: Step<'_>,
    location: &Location<'_>,
) -> Result<Vec<(CleanupOrder, Volume, Overlap)>, Error> {
    let Step { ctx, volume, .. } = step;
    let mut orders = Vec::new();
    for (other, overlap) in ctx.cluster.cached_overlaps(location, &volume.name) {
        if cleanup_order(volume, other.read(), overlap, true, &ctx.installation) == CleanupOrder::Proceed {
            continue;
        }
        // The cache may be behind.
        let Some(other) = ctx.cluster.volume(&other.name_any()).await? else {
            continue;
        };
        let in_use = other.deleting && live::plan(ctx, &other).await?.0 == Plan::Leave;
        orders.push((
            cleanup_order(volume, &other, overlap, in_use, &ctx.installation),
            other,
            overlap,
        ));
    }
    orders.sort_by_key(|(cleanup_order, ..)| *cleanup_order);
    Ok(orders)
}

async fn wait_for_cleanup_of(step: Step<'_>, other: &Volume) -> Result<(), Error> {
    step.leader.waiters.add(&other.name, &step.volume.name);
    // The other cleanup may have ended before this volume was added to the waiters.
    match step.ctx.cluster.volume(&other.name).await? {
        Some(other) if other.has_finalizer => Err(Error::WaitsForCleanup(other.name)),
        _ => Ok(()),
    }
}

fn describe_overlap(ctx: &Context, other: &Volume, overlap: Overlap) -> String {
    let made = if other.maker.is_none() {
        ", which Bindery did not create,"
    } else {
        ""
    };
    let name = &other.name;
    let mut sentence = match overlap.relation {
        Relation::Same => format!("volume {name}{made} uses it too"),
        Relation::Inside | Relation::Above => {
            format!("the directory of volume {name}{made} contains it or is inside it")
        }
    };
    let is_same = overlap.relation == Relation::Same;
    if is_same && other.deleting && ctx.is_own(other) {
        sentence.push_str(", and is cleaned up after this one");
    }
    if let (Some(why), Ok(record)) = (overlap.why(), &other.record) {
        sentence = format!(
            "{sentence}, as directory {} of share {}: {why}",
            record.directory, record.share
        );
    }
    sentence
}

/// Looks for another volume with an overlapping directory. The volume itself must be written before (created, or marked
/// as deleted). After success the cache has everything that was written before the volume.
pub async fn find_overlap(step: Step<'_>) -> Result<OverlapState, Error> {
    let Step {
        ctx, volume, record, ..
    } = step;
    wait_for_cache(step).await?;
    let location = record.location();
    let look = ctx.cluster.overlap(&location, &volume.name, Some(&volume.version));
    Ok(match look.await? {
        None => OverlapState::None,
        Some((other, _)) if other.had_claim() || other.maker.is_none() => OverlapState::InUse(other.name),
        Some((other, _)) => OverlapState::BeingCreated(other.name),
    })
}

/// Returns whether another volume has, or may have, the directory that was found at the path of this volume.
pub async fn has_another_volume(step: Step<'_>, identity: Identity) -> Result<bool, Error> {
    if volume_of_same_directory(step, identity).is_some() {
        return Ok(true);
    }
    let other = aliases::foreign_volume_using(step, &found_at_path(step, identity)).await?;
    Ok(other.is_some())
}

/// Returns the location of the directory that was found at the path of a volume.
fn found_at_path(step: Step<'_>, identity: Identity) -> Location<'_> {
    Location {
        identity: Some(identity),
        ..step.record.location()
    }
}

/// Returns another volume in use that records the same identity for its directory, according to the cache.
pub fn volume_of_same_directory(step: Step<'_>, identity: Identity) -> Option<String> {
    let holds = |(other, overlap): (std::sync::Arc<CachedVolume>, Overlap)| {
        let other = other.read();
        let in_use = !other.deleting || other.phase == Phase::Bound;
        let same = overlap.evidence == Evidence::Numbers && in_use && other.had_claim();
        same.then(|| other.name.clone())
    };
    let overlaps = step
        .ctx
        .cluster
        .cached_overlaps(&found_at_path(step, identity), &step.volume.name);
    overlaps.into_iter().find_map(holds)
}

//! The trees that are measured: the directories of volumes in use, and of archives.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::cluster::cache::{CachedArchive, CachedVolume};
use crate::controller::context::Context;
use crate::controller::leader::Leader;
use crate::model::archive::ArchivePhase;
use crate::model::directory::{Directory, Share};
use crate::model::identity::Identity;
use crate::model::volume::{Phase, Volume};

/// A new volume is empty, so it is not measured at once.
const FIRST_AFTER: Duration = Duration::from_mins(10);
/// The shortest time between two measurements of an archive, which seldom changes.
pub const ARCHIVES_AFTER: Duration = Duration::from_hours(7 * 24);

/// The object of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A volume: its name and its uid.
    Volume(String, String),
    /// An archive: its namespace, its name, and its uid.
    Archive(String, String, String),
}

/// A tree to be measured.
#[derive(Clone, Debug)]
pub struct Target {
    pub owner: Owner,
    pub share: Share,
    pub directory: Directory,
    pub identity: Identity,
    /// When it is due.
    pub due: Timestamp,
}

/// Returns this time after a pause.
pub fn after(time: Timestamp, pause: Duration) -> Timestamp {
    time.checked_add(pause).unwrap_or(Timestamp::MAX)
}

/// Returns all trees of this installation.
pub fn all(leader: &Leader) -> Vec<Target> {
    let ctx = &leader.ctx;
    let interval = ctx.options.usage_interval;
    let volumes = ctx.cluster.volumes.store().state();
    let of_volumes = volumes.iter().filter_map(|volume| of_volume(ctx, volume, interval));
    let archives = leader.archives.all().unwrap_or_default();
    let of_archives = archives.iter().filter_map(|archive| of_archive(ctx, archive, interval));
    of_volumes.chain(of_archives).collect()
}

/// Returns whether a volume of this installation is in use, so that its space is measured and reported.
pub fn is_in_use(ctx: &Context, volume: &Volume) -> bool {
    ctx.is_own(volume) && volume.ready && volume.phase == Phase::Bound && !volume.deleting
}

fn of_volume(ctx: &Context, cached: &CachedVolume, interval: Duration) -> Option<Target> {
    let volume = cached.read();
    let record = volume.record.as_ref().ok()?;
    let due = match volume.usage {
        Some(usage) => after(usage.measured, interval),
        None => after(volume.created.unwrap_or_default(), interval.min(FIRST_AFTER)),
    };
    is_in_use(ctx, volume).then_some(Target {
        owner: Owner::Volume(volume.name.clone(), volume.uid.clone()),
        share: record.share.clone(),
        directory: record.directory.clone(),
        identity: record.identity?,
        due,
    })
}

fn of_archive(ctx: &Context, archive: &CachedArchive, interval: Duration) -> Option<Target> {
    let record = archive.record.as_ref().ok()?;
    let is_own = archive.maker == *ctx.installation;
    let is_there = archive.phase == Some(ArchivePhase::Available) && archive.meta().deletion_timestamp.is_none();
    let due = match archive.usage {
        Some(usage) => after(usage.measured, interval.max(ARCHIVES_AFTER)),
        None => after(
            archive
                .meta()
                .creation_timestamp
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            interval.min(FIRST_AFTER),
        ),
    };
    (is_own && is_there).then(|| Target {
        owner: Owner::Archive(
            archive.namespace().unwrap_or_default(),
            archive.name_any(),
            archive.uid.clone(),
        ),
        share: record.share.clone(),
        directory: record.directory.clone(),
        identity: record.identity,
        due,
    })
}

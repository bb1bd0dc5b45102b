//! Reports volumes in use whose directory does not exist any more.
//!
//! Trigger: a round of [`crate::controller::retention`], because a share cannot be watched. A server can lose directories of bound
//! claims: with the export option `async`, and on btrfs, Linux answers before its disk has the change, and a crash undoes
//! the last changes. Pods with such a claim cannot mount it, so the claim and the volume get an Event. Bindery does not create
//! the directory again by itself, because an empty directory would hide from the pods that data is missing. An
//! administrator lets it do so by removing the annotation `bindery.dev/ready` ([`super::bind`]).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::file_system::{self, AtPath};
use super::step::Step;
use crate::cluster::cache::CachedVolume;
use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::directory::{Directory, Share};
use crate::model::names::{reason, volume_annotation};
use crate::model::volume::{Phase, Volume};
use crate::storage::Fault;

/// The most directories of one share that are reported in one round.
const MAX_REPORTED: usize = 100;

/// Looks for the directories of all volumes of a share that are in use: one listing for each directory above them. If the
/// root of the share is another one, reports only the first volume: all others have the same cause.
pub async fn report(leader: &Leader, share: &Share) -> Result<(), Error> {
    let ctx = &leader.ctx;
    let mut reported = 0;
    // The volumes are read before the listings, so that each directory existed before.
    for (parent, volumes) in by_parent(ctx, share) {
        let names = ctx.storage.list(share, parent.as_ref(), storage_deadline()).await;
        let names: HashSet<String> = match names {
            Ok(names) => names.into_iter().collect(),
            Err(error) if error.unanswered() => return Err(error.into()),
            Err(error) => {
                tracing::debug!(%share, ?parent, %error, "could not look for the directories of volumes");
                continue;
            }
        };
        for cached in volumes {
            let Ok(record) = &cached.read().record else { continue };
            if names.contains(record.directory.split_last().1) {
                continue;
            }
            let looked = report_if_lost(leader, &cached.read().name).await;
            match looked {
                Ok(Looked::OtherRoot) => return Ok(()),
                Ok(Looked::Lost) => {
                    reported += 1;
                    if reported == MAX_REPORTED {
                        return Ok(());
                    }
                }
                Ok(Looked::Exists) => {}
                Err(Error::Storage(error)) if !error.unanswered() => {
                    tracing::debug!(%share, directory = %record.directory, %error, "could not look for a directory");
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Returns the volumes of a share that are in use, by the directory above theirs; `None` is the root of the share.
fn by_parent(ctx: &Context, share: &Share) -> BTreeMap<Option<Directory>, Vec<Arc<CachedVolume>>> {
    let of_share = |volume: &CachedVolume| {
        let volume = volume.read();
        is_in_use(ctx, volume) && volume.record.as_ref().is_ok_and(|record| record.share == *share)
    };
    let mut by_parent: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for volume in ctx.cluster.volumes.store().state_filter(of_share) {
        let Ok(record) = &volume.read().record else { continue };
        by_parent
            .entry(record.directory.parent())
            .or_default()
            .push(Arc::clone(&volume));
    }
    by_parent
}

/// Returns whether a claim has the volume, and its directory existed. Without the identity, it may never have existed.
fn is_in_use(ctx: &Context, volume: &Volume) -> bool {
    let has_identity = volume.record.as_ref().is_ok_and(|record| record.identity.is_some());
    ctx.is_own(volume) && volume.ready && !volume.deleting && volume.phase == Phase::Bound && has_identity
}

/// What became of the directory of a volume.
enum Looked {
    /// It exists, or nobody needs it.
    Exists,
    /// It is reported as lost.
    Lost,
    /// It is reported as lost, and the root of the share is another one than before.
    OtherRoot,
}

/// Reads the volume again, and reports it if its directory does not exist.
async fn report_if_lost(leader: &Leader, name: &str) -> Result<Looked, Error> {
    let ctx = &leader.ctx;
    let Some(volume) = ctx.cluster.volume(name).await?.filter(|now| is_in_use(ctx, now)) else {
        return Ok(Looked::Exists);
    };
    let Ok(record) = &volume.record else {
        return Ok(Looked::Exists);
    };
    let step = Step::new(leader, &volume, record);
    match ctx.look_up(&record.share, &record.directory).await {
        Ok(None) => {}
        Err(error) if error.fault == Fault::NotADirectory => {}
        Ok(Some(_)) => return Ok(Looked::Exists),
        Err(error) => return Err(error.into()),
    }
    let now = ctx.storage.identify(&record.share, storage_deadline()).await?;
    let looked = match file_system::root_change(ctx, record, now) {
        None => Looked::Lost,
        Some(_) => Looked::OtherRoot,
    };
    let checked = file_system::check_file_system(step, AtPath::Nothing).await;
    let (cause, note) = match checked {
        Ok(()) => ("Lost".to_owned(), lost(step)),
        Err(Error::FileSystemChanged(why)) => ("FileSystemChanged".to_owned(), why),
        Err(error) => return Err(error),
    };
    ctx.events.warn_by_cause(&volume, reason::LOST, &cause, note.clone());
    if let Some(claim) = &volume.claim {
        ctx.events.warn_by_cause(claim, reason::LOST, &cause, note);
    }
    ctx.metrics.step("directory_lost");
    Ok(looked)
}

fn lost(step: Step<'_>) -> String {
    let volume = &step.volume.name;
    format!(
        "{} of volume {volume} does not exist any more: the server has lost it (with the export option async, or on \
         btrfs, a crash undoes the last changes), or somebody has moved or removed it. Pods cannot mount it. If it had data, restore \
         it from a backup. Then let Bindery record it, or create it again without files: kubectl annotate pv {volume} \
         {}-",
        step.directory(),
        volume_annotation::READY,
    )
}

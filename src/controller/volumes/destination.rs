//! Where a directory is to go, and the record of that on its volume.

use serde_json::{Value, json};

use crate::cluster::patch::{self, set_annotation, test, test_annotation};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::failpoints::{self, Point};
use crate::model::directory::{Directory, TrashRoot};
use crate::model::identity::Identity;
use crate::model::names::mark;
use crate::model::reclaim::Reclaim;
use crate::model::retention::Retention;
use crate::model::volume::{Record, Volume};

/// So many places are written on a volume at most. The directory was not at the oldest ones when a newer one was written.
const MOST_PLACES: usize = 32;

/// Where a directory is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the trash.
    Trash,
    /// To an archive that is kept so long.
    Archive(Retention),
    /// Nowhere. What was moved from its path already is to be kept in an archive without an end.
    Keep,
}

/// Where the directory, which is not there yet, is to go below this depot: where an earlier try has meant it to go, if that
/// is still right.
pub fn target(
    ctx: &Context,
    volume: &Volume,
    record: &Record,
    destination: Destination,
    root: &TrashRoot,
) -> Directory {
    let now = jiff::Timestamp::now();
    // An archive that was meant long ago would be kept too short a time, or be over when it is made.
    let is_fresh = |place: &Directory| match (destination, place.archive_times()) {
        (Destination::Archive(retention), Some((_, until))) => retention.still_ends_at(until, now),
        _ => true,
    };
    let recorded = record.moved_to.iter().rev();
    let fits = |place: &&Directory| {
        TrashRoot::containing(place) == *root && is_destination(ctx, volume, destination, place) && is_fresh(place)
    };
    let mut fits = recorded.filter(fits);
    if let Some(place) = fits.next() {
        return place.clone();
    }
    let retention = match destination {
        Destination::Trash => {
            return root.place(&Directory::in_trash(
                &ctx.installation.instance,
                &volume.name,
                &volume.uid,
            ));
        }
        Destination::Archive(retention) => retention,
        Destination::Keep => Retention::Forever,
    };
    let tag = Directory::archive_tag(&ctx.installation.instance, &volume.name);
    root.place(&record.directory.archive(now, &tag, retention.ends(now)))
}

/// Whether a place is one where the directory is to go.
pub fn is_destination(ctx: &Context, volume: &Volume, destination: Destination, place: &Directory) -> bool {
    let retention = match destination {
        Destination::Trash => {
            let trash = Directory::in_trash(&ctx.installation.instance, &volume.name, &volume.uid);
            return *place == TrashRoot::containing(place).place(&trash);
        }
        Destination::Archive(retention) => retention,
        Destination::Keep => Retention::Forever,
    };
    let times = place.archive_times();
    times.is_some_and(|(made, until)| retention.ends(made) == until)
}

/// Writes on the volume where its directory is about to go, and which directory it is; unless the volume says so.
/// Fails if the policy, or what is written there, is not what it was.
pub async fn record_target(
    leader: &Leader,
    volume: &Volume,
    record: &Record,
    progress: &mut Progress,
    target: &Directory,
) -> Result<(), Error> {
    if progress.recorded.last() == Some(target) {
        return Ok(());
    }
    let before = lines(&progress.recorded);
    progress.recorded.retain(|place| place != target);
    progress.recorded.push(target.clone());
    let too_many = progress.recorded.len().saturating_sub(MOST_PLACES);
    progress.recorded.drain(..too_many);
    let mut operations = same_policy(volume, record);
    operations.extend([
        patch::test_uid(volume),
        test_annotation(mark::MOVED_TO, before.map_or(Value::Null, Value::from)),
        set_annotation(mark::MOVED_TO, &lines(&progress.recorded).unwrap_or_default()),
    ]);
    if record.identity.is_none() {
        operations.push(set_annotation(mark::DIRECTORY_ID, &progress.identity.to_string()));
    }
    patch::apply(&leader.ctx.persistent_volumes(), &volume.name, operations).await?;
    failpoints::point(Point::TargetRecorded);
    Ok(())
}

/// What is known of a directory that is being moved.
pub struct Progress {
    /// Which directory it is.
    pub identity: Identity,
    /// What the volume says of where it may be, the last place last.
    pub recorded: Vec<Directory>,
}

/// As [`crate::model::volume`] reads it.
fn lines(places: &[Directory]) -> Option<String> {
    let places: Vec<&str> = places.iter().map(Directory::as_str).collect();
    (!places.is_empty()).then(|| places.join("\n"))
}

/// A patch with these fails if somebody has changed the policy.
pub fn same_policy(volume: &Volume, record: &Record) -> Vec<json_patch::PatchOperation> {
    let mut tests = vec![
        test_annotation(mark::ON_DELETE, record.on_delete.as_str()),
        test_annotation(mark::ARCHIVE_RETENTION, record.retention_text.clone()),
    ];
    if volume.reclaim == Reclaim::Delete {
        tests.push(test(
            "/spec/persistentVolumeReclaimPolicy",
            json!(volume.reclaim.as_str()),
        ));
    }
    tests
}

//! Where a directory is moved to, and the record of that in the annotation `bindery.dev/moved-to`.

use serde_json::{Value, json};

use crate::cluster::patch::{self, set_annotation, test, test_annotation};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::failpoints::{self, Point};
use crate::model::directory::{Directory, TrashRoot};
use crate::model::identity::Identity;
use crate::model::names::volume_annotation;
use crate::model::reclaim::Reclaim;
use crate::model::retention::Retention;
use crate::model::volume::{Record, Volume};

/// The number of places that are recorded at most. A directory was not at the oldest ones when a newer one was
/// recorded.
const MOST_PLACES: usize = 32;

/// Where a directory is to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the trash.
    Trash,
    /// To an archive that is kept for this time.
    Archive(Retention),
    /// Nowhere. If it was already moved from its path, it becomes an archive that never expires.
    Keep,
}

/// Returns the place below this trash root to which the directory is to be moved. It is the place that an earlier
/// attempt has recorded, if that one is still right.
pub fn target(
    ctx: &Context,
    volume: &Volume,
    record: &Record,
    destination: Destination,
    root: &TrashRoot,
) -> Directory {
    let now = jiff::Timestamp::now();
    // An archive time that was recorded long ago would end too early.
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
    let instance = &ctx.installation.instance;
    root.place(&record.archive(now, instance, &volume.name, retention.ends(now)))
}

/// Returns whether a place is a right one for this destination.
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

/// Records on the volume where its directory is about to be moved, and the identity of the directory. Fails if the
/// policy or the record has changed.
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
        test_annotation(volume_annotation::MOVED_TO, before.map_or(Value::Null, Value::from)),
        set_annotation(
            volume_annotation::MOVED_TO,
            &lines(&progress.recorded).unwrap_or_default(),
        ),
    ]);
    if record.identity.is_none() {
        operations.push(set_annotation(
            volume_annotation::DIRECTORY_ID,
            &progress.identity.to_string(),
        ));
    }
    patch::apply(&leader.ctx.persistent_volumes(), &volume.name, operations).await?;
    failpoints::point(Point::TargetRecorded);
    Ok(())
}

/// A move in progress.
pub struct Progress {
    /// The identity of the directory.
    pub identity: Identity,
    /// The places that the volume records, the latest one last.
    pub recorded: Vec<Directory>,
}

/// Formats places as [`crate::model::volume`] reads them.
fn lines(places: &[Directory]) -> Option<String> {
    let places: Vec<&str> = places.iter().map(Directory::as_str).collect();
    (!places.is_empty()).then(|| places.join("\n"))
}

/// Returns tests for a JSON patch. The patch fails if the policy of the volume has changed.
pub fn same_policy(volume: &Volume, record: &Record) -> Vec<json_patch::PatchOperation> {
    let mut tests = vec![
        test_annotation(volume_annotation::ON_DELETE, record.on_delete.as_str()),
        test_annotation(volume_annotation::ARCHIVE_RETENTION, record.retention_text.clone()),
    ];
    if volume.reclaim == Reclaim::Delete {
        tests.push(test(
            "/spec/persistentVolumeReclaimPolicy",
            json!(volume.reclaim.as_str()),
        ));
    }
    tests
}

//! The destinations of a directory, and their record in the annotation `bindery.dev/moved-to`.

use serde_json::{Value, json};

use super::step::Step;
use crate::cluster::patch::{self, set_annotation, test, test_annotation};
use crate::controller::error::Error;
use crate::failpoints::{self, Point};
use crate::model::directory::{Directory, TrashRoot};
use crate::model::identity::Identity;
use crate::model::names::volume_annotation;
use crate::model::reclaim::Reclaim;
use crate::model::retention::Retention;
use crate::model::volume::{Record, Volume};

/// The maximum number of recorded places. The oldest are dropped: the directory was found at a newer place since.
const MAX_PLACES: usize = 32;

/// The destination of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The trash.
    Trash,
    /// An archive that is kept for this time.
    Archive(Retention),
    /// Its path, if it was not moved yet. If it was moved, an archive that never expires.
    Keep,
}

impl Destination {
    /// Returns how long an archive is kept; `None` for the trash.
    fn retention(self) -> Option<Retention> {
        match self {
            Self::Trash => None,
            Self::Archive(retention) => Some(retention),
            Self::Keep => Some(Retention::Forever),
        }
    }

    /// Returns whether this place is a valid destination of this kind for the directory of the volume.
    pub fn is_at(self, step: Step<'_>, place: &Directory) -> bool {
        match self.retention() {
            None => *place == TrashRoot::containing(place).place(&step.in_trash()),
            Some(retention) => place
                .archive_times()
                .is_some_and(|(made, until)| retention.ends(made) == until),
        }
    }
}

/// A move in progress.
pub struct Move<'a> {
    /// The step that moves the directory.
    pub step: Step<'a>,
    /// The destination of the directory.
    pub destination: Destination,
    /// The identity of the directory.
    pub identity: Identity,
    /// The places that the volume records, the latest one last.
    pub recorded: Vec<Directory>,
}

impl Move<'_> {
    /// Chooses the place below this trash root to which the directory is moved. Records the place, and the identity of
    /// the directory, on the volume. Fails if the policy or the record has changed.
    pub async fn record_target(&mut self, root: &TrashRoot) -> Result<Directory, Error> {
        let Step {
            ctx, volume, record, ..
        } = self.step;
        let target = self.target(root);
        if self.recorded.last() == Some(&target) {
            return Ok(target);
        }
        let before = lines(&self.recorded);
        self.recorded.retain(|place| *place != target);
        self.recorded.push(target.clone());
        let too_many = self.recorded.len().saturating_sub(MAX_PLACES);
        self.recorded.drain(..too_many);
        let now = lines(&self.recorded).unwrap_or_default();
        let mut operations = same_policy(volume, record);
        operations.extend([
            patch::test_uid(volume),
            test_annotation(volume_annotation::MOVED_TO, before.map_or(Value::Null, Value::from)),
            set_annotation(volume_annotation::MOVED_TO, &now),
        ]);
        if record.identity.is_none() {
            let identity = self.identity.to_string();
            operations.push(set_annotation(volume_annotation::DIRECTORY_ID, &identity));
        }
        patch::apply(&ctx.persistent_volumes(), &volume.name, operations).await?;
        failpoints::point(Point::TargetRecorded);
        Ok(target)
    }

    /// Returns the place that an earlier attempt recorded, if it is still valid; otherwise a new place.
    fn target(&self, root: &TrashRoot) -> Directory {
        let Self { step, destination, .. } = *self;
        let now = jiff::Timestamp::now();
        // The retention of an archive that was named long ago would end too early.
        let is_fresh = |place: &Directory| match (destination, place.archive_times()) {
            (Destination::Archive(retention), Some((_, until))) => retention.still_ends_at(until, now),
            _ => true,
        };
        let fits = |place: &&Directory| {
            TrashRoot::containing(place) == *root && destination.is_at(step, place) && is_fresh(place)
        };
        let recorded = step.record.moved_to.iter().rev().find(fits).cloned();
        // An archive that was to expire stays the same archive, with the same object.
        let earlier = || {
            let mut places = step.record.moved_to.iter().rev();
            let is_here =
                |place: &&Directory| destination == Destination::Keep && TrashRoot::containing(place) == *root;
            places.find_map(|place| Some(place).filter(is_here)?.with_expiry(None))
        };
        recorded.or_else(earlier).unwrap_or_else(|| {
            root.place(&match destination.retention() {
                None => step.in_trash(),
                Some(retention) => step.archive(now, retention.ends(now)),
            })
        })
    }
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

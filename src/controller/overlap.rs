//! Other volumes in the same tree: nothing is made or moved without a look for them.

use super::Volumes;
use super::failure::Failure;
use crate::policy::taken::overlapping;
use crate::volume::{Record, Volume};

impl Volumes {
    /// A volume whose directory is above or in this one, and may hold data. One that no claim has had yet is waited for: its
    /// maker sees this one and backs out.
    ///
    /// Whoever asks has written first (a new volume, a deletion mark) and looks then, so one of two in an area always sees
    /// the other.
    pub(super) async fn overlaps(&self, volume: &Volume, record: &Record) -> Result<Option<String>, Failure> {
        let others = self.cluster.neighbours(&record.share, &record.directory).await?;
        let path = record.share.join(&record.directory);
        let (given, coming): (Vec<_>, Vec<_>) = others.into_iter().partition(Volume::was_given);
        let at = |others: &[Volume]| {
            let other = overlapping(record.share.server(), &path, &volume.name, others);
            other.map(|other| other.name.clone())
        };
        match (at(&given), at(&coming)) {
            (Some(other), _) => Ok(Some(other)),
            (None, Some(other)) => Err(Failure::Neighbour(other)),
            (None, None) => Ok(None),
        }
    }
}

//! Other volumes in the same tree: nothing is made or moved without a look for them.

use super::Volumes;
use super::failure::Failure;
use crate::policy::taken::{Overlap, overlap_of};
use crate::volume::{Record, Volume};

impl Volumes {
    /// A volume whose directory is above or in this one, and may hold data. One that no claim has had yet is waited for: its
    /// maker sees this one and backs out.
    ///
    /// Whoever asks has written first (a new volume, a deletion mark) and looks then, so one of two always sees the other.
    pub(super) async fn overlaps(&self, volume: &Volume, record: &Record) -> Result<Option<String>, Failure> {
        match self.neighbour(volume, record).await? {
            Overlap::None => Ok(None),
            Overlap::Given(other) => Ok(Some(other)),
            Overlap::Coming(other) => Err(Failure::Neighbour(other)),
        }
    }

    /// Who else is in the tree of a volume's directory.
    pub(super) async fn neighbour(&self, volume: &Volume, record: &Record) -> Result<Overlap, Failure> {
        let (share, directory) = (&record.share, &record.directory);
        let others = self
            .cluster
            .neighbours(share, directory, &volume.name, Some(&volume.version));
        let others = others.await?;
        let path = record.share.join(&record.directory);
        Ok(overlap_of(record.share.server(), &path, &volume.name, others))
    }
}

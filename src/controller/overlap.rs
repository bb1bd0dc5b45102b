//! Other volumes in the same tree: nothing is made or moved without a look for them.

use super::Volumes;
use super::failure::Failure;
use crate::volume::{Record, Volume};

/// Who else is in the tree of a volume's directory.
pub(super) enum Overlap {
    /// Nobody.
    None,
    /// This volume, which a claim has had: its directory may hold data.
    Given(String),
    /// This volume, which is just being made and will back out.
    Coming(String),
}

impl Volumes {
    /// A volume whose directory is above or in this one, and may hold data. One that no claim has had yet is waited for: its
    /// maker sees this one and backs out.
    pub(super) async fn overlaps(&self, volume: &Volume, record: &Record) -> Result<Option<String>, Failure> {
        match self.neighbour(volume, record).await? {
            Overlap::None => Ok(None),
            Overlap::Given(other) => Ok(Some(other)),
            Overlap::Coming(other) => Err(Failure::Neighbour(other)),
        }
    }

    /// Whoever asks has written first (a new volume, a deletion mark), and looks then.
    pub(super) async fn neighbour(&self, volume: &Volume, record: &Record) -> Result<Overlap, Failure> {
        let (share, directory) = (&record.share, &record.directory);
        let look = self
            .cluster
            .neighbour(share, directory, &volume.name, Some(&volume.version));
        Ok(match look.await? {
            None => Overlap::None,
            Some(other) if other.was_given() => Overlap::Given(other.name),
            Some(other) => Overlap::Coming(other.name),
        })
    }
}

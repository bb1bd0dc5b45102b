//! The part of a review that concerns only claims that name an archive.
//!
//! The right of the user to read the archive is checked in the review: server-side apply reaches a webhook before the API
//! server checks whether the user may create the claim. A review in which that cannot be checked is refused, and not queued,
//! because nobody knows later who has created the claim.

use super::claim_review::{Reply, Review, deny};
use crate::cluster::api_error::ApiFault;
use crate::model::data_source::DataSource;
use crate::model::volume::NewVolume;

impl Review<'_> {
    /// Returns the name in the claim's data source, if it is that of an archive.
    pub(super) fn archive(&self) -> Option<&str> {
        match &self.claim.data_source {
            DataSource::Archive(name) => Some(name),
            _ => None,
        }
    }

    /// Returns the answer if something could not be read that the decision about the archive needs. `None` if the claim
    /// names no archive.
    pub(super) fn archive_not_read(&self, fault: &ApiFault) -> Option<Reply> {
        self.archive_refusal(fault).map(deny)
    }

    /// Returns the message of that answer.
    pub(super) fn archive_refusal(&self, fault: &ApiFault) -> Option<String> {
        let name = self.archive()?;
        Some(format!(
            "Bindery could not read what decides whether this claim may get Archive {name}: {fault}; create the claim again"
        ))
    }

    /// Says which archive a claim gets, if the claim has named it by its claim only, or if nothing is done.
    pub(super) fn warn_of_archive(&mut self, new: &NewVolume) {
        let (Some(restored), Some(name)) = (&new.restored, self.archive()) else {
            return;
        };
        let archive = if restored.name == name {
            format!("Archive {name}")
        } else {
            format!("Archive {}, the newest of claim {name}", restored.name)
        };
        if self.dry_run {
            let warning = format!(
                "without dry run, this claim gets {archive}: directory {} of share {} is moved to {}",
                restored.archive,
                new.share,
                new.directory.shown()
            );
            self.warnings.push(warning);
        } else if restored.name != name {
            self.warnings.push(format!("this claim gets {archive}"));
        }
    }
}

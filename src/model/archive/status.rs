//! Builds the status of an archive that is given to a claim.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{Archive, ArchivePhase, ArchiveRestoration, ArchiveStatus, FOUND, REMOVING, RESTORED};
use crate::model::directory::Directory;

impl ArchiveStatus {
    /// The status of an archive that is given to this claim. `has_it` says whether the claim has the directory. `archive` is
    /// the path of the archive.
    #[must_use]
    pub fn of_restore(archive: &Archive, restore: ArchiveRestoration, has_it: bool, now: Timestamp) -> Self {
        let before = archive.status.as_ref();
        let ArchiveRestoration {
            claim_name,
            volume_name,
            ..
        } = &restore;
        let (phase, status, message) = if has_it {
            let message = format!("the directory is that of claim {claim_name} (PersistentVolume {volume_name})");
            (ArchivePhase::Restored, "True", message)
        } else {
            let message =
                format!("the directory is being given to claim {claim_name} (PersistentVolume {volume_name})");
            (ArchivePhase::Restoring, "False", message)
        };
        let same = before.and_then(|before| {
            let mut conditions = before.conditions.iter();
            conditions.find(|one| one.type_ == RESTORED && one.status == status && one.message == message)
        });
        let condition = Condition {
            type_: RESTORED.to_owned(),
            status: status.to_owned(),
            reason: phase.as_str().to_owned(),
            last_transition_time: same.map_or(Time(seconds(now)), |same| same.last_transition_time.clone()),
            message,
            observed_generation: None,
        };
        let directory = archive.current_directory().to_owned();
        let until = Directory::recorded(&directory).and_then(|place| place.archive_times()?.1);
        Self {
            phase,
            directory,
            expires_at: until.map(Time),
            restore: Some(restore),
            conditions: vec![condition],
        }
    }

    /// The same of an archive that has this path, because its name was changed on the server.
    #[must_use]
    pub fn at(self, place: &Directory) -> Self {
        Self {
            directory: place.to_string(),
            expires_at: place.archive_times().and_then(|(_, until)| until).map(Time),
            ..self
        }
    }
}

impl Archive {
    /// Whether a claim has the directory, or had it.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.status.as_ref().map(|status| status.phase) == Some(ArchivePhase::Restored)
    }

    /// Whether the directory is being moved to the trash, or is there.
    #[must_use]
    pub fn is_being_removed(&self) -> bool {
        let mut conditions = self.status.iter().flat_map(|status| &status.conditions);
        conditions.any(|one| one.type_ == FOUND && one.reason == REMOVING)
    }

    /// Since when a claim has the directory; `None` if none has it.
    #[must_use]
    pub fn restored_since(&self) -> Option<Timestamp> {
        let status = self.status.as_ref()?;
        let restored = status.conditions.iter().find(|one| one.type_ == RESTORED)?;
        (status.phase == ArchivePhase::Restored).then_some(restored.last_transition_time.0)
    }
}

/// The API has no fractions of a second in the time of a condition.
pub fn seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

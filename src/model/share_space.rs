//! The space of a share, as the leader records it for `bindery df`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::space::{FileSpace, Space};

/// A share, and its space if its server tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShareSpace {
    /// The NFS server.
    pub server: String,
    /// The export.
    pub share: String,
    /// The size of the file system, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How much of it is free, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<u64>,
    /// How many files the file system can have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// How many more files can be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_files: Option<u64>,
    /// When the server was asked.
    pub measured_at: String,
    /// Since when the server has not answered; missing if it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_since: Option<String>,
}

impl ShareSpace {
    /// Creates the entry of a share that was asked for at this time.
    pub fn new(server: String, share: String, space: Option<Space>, now: Timestamp) -> Self {
        let files = space.and_then(|space| space.files);
        let of_files = |of: fn(FileSpace) -> u64| files.map(of);
        Self {
            server,
            share,
            size: space.map(|space| space.total),
            available: space.map(|space| space.available),
            files: of_files(|files| files.total),
            available_files: of_files(|files| files.available),
            measured_at: in_seconds(now),
            down_since: None,
        }
    }

    /// Adds since when the server has not answered.
    #[must_use]
    pub fn with_outage(self, since: Option<Timestamp>) -> Self {
        Self {
            down_since: since.map(in_seconds),
            ..self
        }
    }

    /// How much of it is used. The blocks that only root of the server may fill count as used.
    pub fn used(&self) -> Option<u64> {
        Some(self.size?.saturating_sub(self.available?))
    }

    /// How many files it has.
    pub fn used_files(&self) -> Option<u64> {
        Some(self.files?.saturating_sub(self.available_files?))
    }

    /// Whether this differs noticeably from what was recorded: another size, at least 1 % of the size more or less free, or
    /// an outage that has begun or ended.
    pub fn differs_from(&self, recorded: &Self) -> bool {
        let is_other_share = (&self.server, &self.share) != (&recorded.server, &recorded.share);
        let differs = |now: Option<u64>, before: Option<u64>, size: Option<u64>| match (now, before, size) {
            (Some(now), Some(before), Some(size)) => now.abs_diff(before) > size / 100,
            (now, before, _) => now.is_some() != before.is_some(),
        };
        is_other_share
            || self.size != recorded.size
            || self.down_since != recorded.down_since
            || self.files.is_some() != recorded.files.is_some()
            || differs(self.available, recorded.available, self.size)
            || differs(self.available_files, recorded.available_files, self.files)
    }
}

fn in_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(total: u64, available: u64) -> ShareSpace {
        let space = Space {
            total,
            available,
            files: None,
        };
        let now = "2026-11-30T06:00:00.5Z".parse().unwrap();
        ShareSpace::new("nas1".to_owned(), "/export".to_owned(), Some(space), now)
    }

    #[test]
    fn only_noticeable_changes_are_recorded() {
        let before = share(1000, 500);
        for (now, differs) in [
            (share(1000, 500), false),
            (share(1000, 495), false),
            (share(1000, 480), true),
            (share(1000, 520), true),
            (share(2000, 500), true),
        ] {
            assert_eq!(now.differs_from(&before), differs, "{now:?}");
        }
        let silent = ShareSpace {
            size: None,
            available: None,
            ..before.clone()
        };
        assert!(silent.differs_from(&before) && before.differs_from(&silent));
        assert!(!silent.differs_from(&silent));
        let down = before
            .clone()
            .with_outage(Some("2026-11-30T05:59:00.7Z".parse().unwrap()));
        assert_eq!(down.down_since.as_deref(), Some("2026-11-30T05:59:00Z"));
        assert!(down.differs_from(&before) && before.differs_from(&down) && !down.differs_from(&down));
    }

    #[test]
    fn what_the_server_does_not_tell_is_left_out() {
        assert_eq!(
            serde_json::to_string(&share(1000, 500)).unwrap(),
            r#"{"server":"nas1","share":"/export","size":1000,"available":500,"measuredAt":"2026-11-30T06:00:00Z"}"#
        );
    }
}

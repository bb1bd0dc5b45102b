//! The space that a volume or an archive uses, as last measured. An annotation keeps it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A measurement. It is for information only: no program decides with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The bytes that the files use on the disk.
    pub bytes: u64,
    /// The number of files, directories and links.
    pub files: u64,
    /// The number of directories that Bindery could not read. Their content is not counted.
    pub unread: u64,
    /// The limit of the directory's size that the server reports, if it has one of its own.
    pub limit: Option<u64>,
    /// When the measurement ended.
    pub measured: Timestamp,
}

/// The form in the annotation.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    bytes: u64,
    files: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    unread: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    measured_at: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The error of an annotation that is not a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a measurement of Bindery")]
pub struct NotAUsage;

impl FromStr for Usage {
    type Err = NotAUsage;

    fn from_str(text: &str) -> Result<Self, NotAUsage> {
        let written: Written = serde_json::from_str(text).map_err(|_| NotAUsage)?;
        Ok(Self {
            bytes: written.bytes,
            files: written.files,
            unread: written.unread,
            limit: written.limit,
            measured: written.measured_at.parse().map_err(|_| NotAUsage)?,
        })
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Timestamp::from_second(self.measured.as_second()).unwrap_or(self.measured);
        let written = Written {
            bytes: self.bytes,
            files: self.files,
            unread: self.unread,
            limit: self.limit,
            measured_at: seconds.to_string(),
        };
        f.write_str(&serde_json::to_string(&written).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_short_json() {
        let usage = Usage {
            bytes: 1024,
            files: 2,
            unread: 0,
            limit: None,
            measured: "2026-11-30T06:00:00.123Z".parse().unwrap(),
        };
        let text = r#"{"bytes":1024,"files":2,"measuredAt":"2026-11-30T06:00:00Z"}"#;
        assert_eq!(usage.to_string(), text);
        let whole = Usage {
            measured: "2026-11-30T06:00:00Z".parse().unwrap(),
            ..usage
        };
        assert_eq!(text.parse(), Ok(whole));
        let more = Usage {
            unread: 3,
            limit: Some(1 << 40),
            ..whole
        };
        assert_eq!(more.to_string().parse(), Ok(more));
    }

    #[test]
    fn any_other_text_is_no_measurement() {
        for text in [
            "",
            "{}",
            "7",
            r#"{"bytes":-1,"files":2,"measuredAt":"2026-11-30T06:00:00Z"}"#,
            r#"{"bytes":1,"files":2,"measuredAt":"x"}"#,
        ] {
            assert_eq!(text.parse::<Usage>(), Err(NotAUsage), "{text}");
        }
    }
}

//! The result of `bindery df`.

use serde::Serialize;

use super::items::{Item, ShareItem};
use super::sums::Sum;

/// What is shown. A kind that was not asked for, or could not be read, is missing.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<Item>>,
    /// The archives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archives: Option<Vec<Item>>,
    /// Sums of volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_sums: Option<Vec<Sum>>,
    /// Sums of archives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive_sums: Option<Vec<Sum>>,
    /// The shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<Vec<ShareItem>>,
}

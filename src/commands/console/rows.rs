//! The rows of the tables of the page.

use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use super::objects::Readable;
use crate::commands::archives::{print, read};
use crate::commands::{age, serialize};
use crate::model::archive::Archive;
use crate::model::quantity;
use crate::model::usage::Usage;
use crate::policy::restore_claim::{Wishes, restore_claim};

/// A table of the page, or why it is not there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Section<T> {
    Rows(Vec<T>),
    Unreadable(String),
}

impl<T> Section<T> {
    pub(super) fn of(rows: Readable<Vec<T>>) -> Self {
        match rows {
            Ok(rows) => Self::Rows(rows),
            Err(why) => Self::Unreadable(why),
        }
    }
}

/// A claim without a bound volume.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Waiting {
    pub(super) namespace: String,
    pub(super) claim: String,
    pub(super) class: String,
    pub(super) age: String,
    pub(super) why: String,
}

/// An NFS server, as the cluster knows it.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) volumes: usize,
    /// That it does not answer, else the last warning about an object on it.
    pub(super) problem: Option<Problem>,
}

/// A problem of a server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Problem {
    pub(super) message: String,
    /// The object that has the problem, and how long ago it was reported.
    pub(super) source: String,
}

/// The space that a directory uses.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Used {
    bytes: u64,
    /// Whether some directories could not be read, so that they are not counted.
    is_incomplete: bool,
    /// How long ago it was measured.
    measured: String,
}

impl Used {
    pub(super) fn new(usage: Usage, now: Timestamp) -> Self {
        Self {
            bytes: usage.bytes,
            is_incomplete: usage.unread > 0,
            measured: age::since(usage.measured, now),
        }
    }
}

/// A claim with a volume.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClaimRow {
    pub(super) namespace: String,
    pub(super) claim: String,
    pub(super) class: String,
    pub(super) size: String,
    /// The size in bytes.
    pub(super) bytes: Option<u64>,
    pub(super) used: Option<Used>,
    pub(super) status: String,
    pub(super) age: String,
    pub(super) volume: String,
    /// `server:/share/directory`, if the volume could be read.
    pub(super) place: Option<String>,
    pub(super) on_delete: Option<String>,
}

/// An archive.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct ArchiveRow {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) claim: String,
    pub(super) size: String,
    /// The size in bytes.
    pub(super) bytes: Option<u64>,
    pub(super) used: Option<Used>,
    pub(super) archived: String,
    pub(super) expires: String,
    pub(super) phase: String,
    pub(super) place: String,
    /// The claim that gets the data back, in YAML.
    pub(super) manifest: Option<String>,
    /// Why there is none.
    pub(super) why: Option<String>,
}

/// Returns the rows of archives, the newest of each claim first.
pub(super) fn archive_rows(mut archives: Vec<Archive>, now: Timestamp) -> Vec<ArchiveRow> {
    read::sort(&mut archives);
    let row = |archive: &Archive| {
        let spec = &archive.spec;
        let manifest = restore_claim(archive, &Wishes::default(), now)
            .and_then(|claim| serialize::yaml(&claim).map_err(|error| error.to_string()));
        let (manifest, why) = match manifest {
            Ok(manifest) => (Some(manifest), None),
            Err(why) => (None, Some(why)),
        };
        let size = spec.capacity.clone().unwrap_or_default();
        ArchiveRow {
            namespace: archive.namespace().unwrap_or_default(),
            name: archive.name_any(),
            claim: print::claim(archive),
            bytes: quantity::bytes(&size).and_then(|bytes| bytes.try_into().ok()),
            size,
            used: print::usage(archive).map(|usage| Used::new(usage, now)),
            archived: age::since(spec.archived_at.0, now),
            expires: print::expires(archive, now),
            phase: print::phase(archive),
            place: format!(
                "{}:{}/{}",
                spec.server,
                spec.share.trim_end_matches('/'),
                archive.current_directory()
            ),
            manifest,
            why,
        }
    };
    archives.iter().map(row).collect()
}

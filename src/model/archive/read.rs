//! Reads the object of an archive. What it says is checked here, before anything acts on it.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use kube::ResourceExt;

use super::{Archive, ArchivePhase, FOUND};
use crate::model::directory::{ArchiveName, Directory, NfsVersion, Share};
use crate::model::identity::Identity;
use crate::model::invalid::Invalid;
use crate::model::names::{annotation, volume_annotation};
use crate::model::share_id::ShareId;
use crate::model::usage::Usage;

/// Where an archive is, as its object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveRecord {
    /// Its share.
    pub share: Share,
    /// Its path below the share, as last seen.
    pub directory: Directory,
    /// The part of its name that identifies it.
    pub key: String,
    /// The identity of the directory.
    pub identity: Identity,
    /// The identity of the share, if it was known.
    pub share_id: Option<ShareId>,
}

impl ArchiveRecord {
    /// Reads an object. The error says which field is wrong.
    pub fn read(archive: &Archive) -> Result<Self, String> {
        let spec = &archive.spec;
        let share =
            Share::parse(&spec.server, &spec.share).map_err(|error| format!("spec.server or spec.share: {error}"))?;
        let version: NfsVersion = parse("spec.nfsVersion", &spec.nfs_version)?;
        let place = |field: &str, path: &str| {
            let name = path.rsplit('/').next().unwrap_or_default();
            let name = ArchiveName::read(name, &spec.instance)
                .filter(|name| {
                    let is_of = |volume: &String| name.is_of(&spec.instance, volume);
                    spec.volume_name.as_ref().is_none_or(is_of)
                })
                .ok_or_else(|| format!("{field} {path:?} is not an archive of the volume that spec names"))?;
            let directory = Directory::recorded(path).ok_or_else(|| format!("{field} {path:?} is not a path"))?;
            Ok::<_, String>((directory, name.key.to_owned()))
        };
        let (original, key) = place("spec.directory", &spec.directory)?;
        let now = archive.status.as_ref().map(|status| &status.directory);
        let directory = match now.filter(|path| !path.is_empty()) {
            None => original,
            Some(path) => match place("status.directory", path)? {
                (directory, same) if same == key => directory,
                _ => {
                    return Err(format!(
                        "status.directory {path:?} and spec.directory name different archives"
                    ));
                }
            },
        };
        Ok(Self {
            share: share.over(version),
            directory,
            key,
            identity: parse("spec.directoryId", &spec.directory_id)?,
            share_id: match &spec.share_id {
                Some(text) => Some(parse("spec.shareId", text)?),
                None => None,
            },
        })
    }

    /// When the archive will be removed, as its name says.
    pub fn expires(&self) -> Option<Timestamp> {
        self.directory.archive_times().and_then(|(_, until)| until)
    }
}

fn parse<T: FromStr<Err: Display>>(field: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|error| Invalid::value(field, value, &error).to_string())
}

impl Archive {
    /// The annotation that says how long the archive is kept.
    pub fn keep_until(&self) -> Option<&str> {
        self.annotations().get(annotation::KEEP_UNTIL).map(String::as_str)
    }

    /// The path of the archive below the share, as last seen.
    pub fn current_directory(&self) -> &str {
        let now = self.status.as_ref().map(|status| &*status.directory);
        now.filter(|path| !path.is_empty()).unwrap_or(&self.spec.directory)
    }

    /// When the archive will be removed, as last seen; `None` if never.
    pub fn expires(&self) -> Option<Timestamp> {
        let time = match &self.status {
            Some(status) => status.expires_at.as_ref(),
            None => self.spec.expires_at.as_ref(),
        };
        time.map(|time| time.0)
    }

    /// The space that the archive uses, if it was measured.
    pub fn usage(&self) -> Option<Usage> {
        self.annotations().get(volume_annotation::USAGE)?.parse().ok()
    }

    /// Since when the directory is missing; `None` if it is not.
    pub fn missing_since(&self) -> Option<Timestamp> {
        let status = self.status.as_ref()?;
        let found = status.conditions.iter().find(|condition| condition.type_ == FOUND)?;
        (status.phase == ArchivePhase::Missing).then_some(found.last_transition_time.0)
    }

    /// The value of that annotation that is on the share.
    pub fn keep_until_applied(&self) -> Option<&str> {
        self.annotations()
            .get(annotation::KEEP_UNTIL_APPLIED)
            .map(String::as_str)
    }
}
